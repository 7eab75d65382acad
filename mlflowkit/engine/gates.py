"""Which runs may open: as many at once as their DAG, or their backfill, allows.

A run that may not yet stays queued. What opens it is the end of another run of its DAG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlflowkit.core.gates import may_open
from mlflowkit.core.spec import RunId
from mlflowkit.core.states import RunState
from mlflowkit.engine.owned import OwnedRun


class Gates:
    """The queued runs of an engine, in the order in which they came."""

    def __init__(self, owned: Mapping[RunId, OwnedRun]) -> None:
        self._owned = owned
        self._queued: dict[RunId, None] = {}
        #: Backfills with the runs that each may have under way at once.
        self._backfills: dict[int, int] = {}

    def wait(self, run_id: RunId, backfill_limit: int | None = None) -> None:
        """A run wants to open."""
        self._queued[run_id] = None
        backfill_id = self._owned[run_id].facts["backfill_id"]
        if backfill_id is not None and backfill_limit is not None:
            self._backfills[backfill_id] = backfill_limit

    def forget(self, run_id: RunId) -> None:
        """It is cancelled, or no longer ours."""
        self._queued.pop(run_id, None)

    def opening(self) -> Iterator[RunId]:
        """The runs that may open now; from here on they count as under way."""
        if not self._queued:
            return
        under_way = [one for one in self._owned.values() if self._is_under_way(one)]
        for run_id in list(self._queued):
            owned = self._owned.get(run_id)
            if owned is None or owned.run.row.state is not RunState.QUEUED:
                self.forget(run_id)
            elif self._has_room(owned, under_way):
                self.forget(run_id)
                under_way.append(owned)
                yield run_id

    def _is_under_way(self, one: OwnedRun) -> bool:
        opened = one.run.run_id not in self._queued
        return opened and not one.run.ended

    def _has_room(self, owned: OwnedRun, under_way: list[OwnedRun]) -> bool:
        siblings = [one for one in under_way if one.dag_id == owned.dag_id]
        backfill_id = owned.facts["backfill_id"]
        if backfill_id in self._backfills:
            mine = [s for s in siblings if s.facts["backfill_id"] == backfill_id]
            return len(mine) < self._backfills[backfill_id]
        counted = [s for s in siblings if s.facts["backfill_id"] is None]
        return may_open(owned.run.spec, len(counted))
