"""Runs that start because assets were updated. On while the engine plans."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mlflowkit.core.timetable import condition_met
from mlflowkit.core.timetable.assets import AssetTriggeredTimetable
from mlflowkit.engine.requests import request_of, timetable_of
from mlflowkit.store import assets, published
from mlflowkit.store.new_runs import create_runs

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess
    from mlflowkit.store.database import Transaction
    from mlflowkit.store.published import Published
    from mlflowkit.store.runs import StoredRun

ASSET: Final = "asset_triggered"


class AssetStarts:
    """Which DAGs wait for assets, and those that something has stirred."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine, self._database = engine, engine.database
        #: By asset the DAGs that wait for it.
        self._watchers: dict[str, set[str]] = {}
        #: DAGs that have still to be looked at.
        self._stirred: set[str] = set()
        self.read_watchers()

    def read_watchers(self) -> None:
        """DAGs were published, paused or deleted."""
        with self._database.reading() as tx:
            self._watchers = published.watchers(tx)

    def watchers(self, uri: str) -> Collection[str]:
        """The DAGs that wait for an asset."""
        return self._watchers.get(uri, ())

    def updated(self, dag_ids: Collection[str]) -> None:
        """Start the DAGs whose assets are all there, or as soon as it can be saved."""
        if dag_ids:
            self._stirred.update(dag_ids)
            self._engine.later.do("asset starts", self._start)

    def rest(self) -> None:
        """Start none. The store knows which DAGs have waiting updates."""
        self._stirred.clear()
        self._engine.later.forget("asset starts")

    def _start(self) -> None:
        begun: list[StoredRun] = []
        with self._database.writing() as tx:
            for dag_id in sorted(self._stirred):
                one = published.get(tx, dag_id)
                if one is not None and not one.paused:
                    begun += self._started(tx, one)
        self._stirred.clear()
        self._engine.begin(begun)

    def _started(self, tx: Transaction, one: Published) -> list[StoredRun]:
        timetable = timetable_of(one)
        events = assets.waiting_events(tx, one.dag_id)
        if not isinstance(timetable, AssetTriggeredTimetable) or not events:
            return []
        if not condition_met(timetable.condition, {event.uri for event in events}):
            return []
        now = self._engine.now()
        request = replace(request_of(one, ASSET), logical_date=now)
        begun = create_runs(tx, [request], self._engine.engine_id, now)
        assets.started_by(tx, one.dag_id, begun[0].run_key, events)
        return begun
