"""Backfills in the engine: their runs are made at once, and open as many as they allow."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlflowkit.core.spec import RunId
from mlflowkit.store import backfills, codec
from mlflowkit.store.backfills import Order, Outcome
from mlflowkit.store.pools import check_pools

if TYPE_CHECKING:
    from mlflowkit.engine.owned import OwnedRun
    from mlflowkit.engine.process import EngineProcess


@dataclass(frozen=True, slots=True)
class _Reruns:
    order: Order
    waiting: deque[RunId]


class Backfills:
    """The backfills of one engine that have runs to run again."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine, self._database = engine, engine.database
        #: By backfill, the runs that are still to run again.
        self._reruns: dict[int, _Reruns] = {}

    def start(self, order: Order) -> Outcome:
        """Create the runs of a span that are not there, and start them in order.

        Raises:
            PoolMissing, BadPool: a task of the DAG can never start. Nothing was started.
            HomeUnwritable: it cannot be saved. Nothing was started.
        """
        now = self._engine.now()
        if not order.runs:
            return Outcome(backfill_id=0, created=[], again=[], unended=[], left=[])
        with self._engine.saving() as tx:
            check_pools(tx, codec.decode_spec(order.request.spec_json))
            outcome, created = backfills.create(tx, order, self._engine.engine_id, now)
        for run_id in outcome.unended:
            self._engine.resume(run_id)  # nothing, if this engine works on it already
        self._engine.begin(created, order.max_active)
        self._reruns[outcome.backfill_id] = _Reruns(order, deque(outcome.again))
        self.runs_ended([order.request.dag_id])
        return outcome

    def runs_ended(self, dag_ids: Collection[str]) -> None:
        """Run again what backfills of these DAGs want to run again, as many at once as they
        allow."""
        for backfill_id, reruns in list(self._reruns.items()):
            if reruns.order.request.dag_id in dag_ids:
                self._engine.later.do(
                    ("runs again", backfill_id), partial(self._rerun, backfill_id)
                )

    def _rerun(self, backfill_id: int) -> None:
        reruns = self._reruns.get(backfill_id)
        while reruns is not None and reruns.waiting:
            dag_id, room = reruns.order.request.dag_id, reruns.order.max_active
            if self._engine.gates.under_way(dag_id, backfill_id) >= room:
                return
            run_id = reruns.waiting[0]  # it stays in line until its try is under way
            whole = reruns.order.rerun == "all"
            if self._engine.retry_if_ended(run_id, whole=whole):
                self._engine.gates.opened(run_id, backfill_id)
            reruns.waiting.popleft()
        self._reruns.pop(backfill_id, None)

    def withdraw(self, backfill_id: int) -> list[RunId]:
        """Take the runs of a backfill back that have not opened; what runs goes on. Which.

        Raises:
            HomeUnwritable: it cannot be saved. All of them go on.
        """
        with self._engine.saving() as tx:
            waiting = backfills.queued_of(tx, backfill_id)
            gone = [run_id for run_id in waiting if self._engine.gates.waits(run_id)]
            backfills.withdraw(tx, gone)
        for run_id in gone:
            self._engine.let_go(run_id)
        again = self._reruns.pop(backfill_id, None)
        return [*gone, *(again.waiting if again else ())]

    def limit(self, owned: OwnedRun) -> int | None:
        """How many runs of its backfill may be under way at once."""
        backfill_id = owned.facts["backfill_id"]
        if backfill_id is None:
            return None
        with self._database.reading() as tx:
            return backfills.limit_of(tx, backfill_id)
