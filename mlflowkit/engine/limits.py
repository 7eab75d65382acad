"""What limits the task instances that may be out at once, beyond the places there are.

Pools and the limits of a task in its DAG hold over all runs, so the engine works them
out; what one run may have, the machine sees itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from mlflowkit.core.events import PlacesOffered
from mlflowkit.core.spec import TaskId
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.store.database import Database
from mlflowkit.store.pools import get_pools

#: People change pools seldom: the store is asked at most so often.
LOOK_SECONDS = 1.0
UNLIMITED = -1


class Pools:
    """The pools of a home, as the store had them a moment ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[str, int] = {}
        self._looked = -LOOK_SECONDS

    def slots(self) -> Mapping[str, int]:
        """All pools with their slots."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            with self._database.reading() as tx:
                self._known = get_pools(tx)
            self._looked = time.monotonic()
        return self._known


class Limits:
    """The limits for one round of offers."""

    def __init__(self, pools: Mapping[str, int], runs: Iterable[OwnedRun]) -> None:
        self._pools, self._runs = pools, list(runs)
        self._used: Counter[str] = Counter()
        for one in self._runs:
            self._used.update(one.run.slots)

    def offer(self, owned: OwnedRun, places: int) -> PlacesOffered:
        """What a run may have: up to `places`, within its pools."""
        names = {lane.pool for lane in owned.run.ready.lanes}
        pools = {name: self._free(name) for name in names if self._limited(name)}
        return PlacesOffered(places, pools, self._tasks(owned))

    def given(self, before: Mapping[str, int], owned: OwnedRun) -> None:
        """A run has taken what it wanted; `before` are the slots that it had."""
        self._used.update(owned.run.slots)
        self._used.subtract(before)

    def _limited(self, pool: str) -> bool:
        return self._pools.get(pool, 0) != UNLIMITED

    def _free(self, pool: str) -> int:
        """Of a pool that somebody has deleted there is nothing."""
        return max(self._pools.get(pool, 0) - self._used[pool], 0)

    def _tasks(self, owned: OwnedRun) -> dict[TaskId, int]:
        found: dict[TaskId, int] = {}
        for lane in owned.run.ready.lanes:
            if lane.task_id is None:
                continue
            limit = owned.run.spec.tasks[lane.task_id].max_active_tis_per_dag
            if limit is not None:
                found[lane.task_id] = max(limit - self._out(owned, lane.task_id), 0)
        return found

    def _out(self, owned: OwnedRun, task_id: TaskId) -> int:
        """Task instances of a task that are out, over all runs of its DAG."""
        return sum(
            one.run.nodes[task_id].out
            for one in self._runs
            if one.dag_id == owned.dag_id and task_id in one.run.nodes
        )
