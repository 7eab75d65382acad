"""Who gets the places that are free: shares for the runs, within pools and limits over all runs.

Pools and the limits of a task in its DAG hold over all runs, so they are worked out here;
what one run may have, the machine sees itself. For the engine, and for simulated runs.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from mlflowkit.core.events import PlacesOffered

if TYPE_CHECKING:
    from mlflowkit.core.machine import Run
    from mlflowkit.core.spec import TaskId

#: This many slots of a pool: no limit.
UNLIMITED: Final = -1
#: Makes a run take what it is offered; how many attempts it launched by that.
Take = Callable[["Run", PlacesOffered], int]


def give_out(
    runs: Iterable[Run], places: int, pools: Callable[[], Mapping[str, int]], take: Take
) -> None:
    """Places go round: each run gets its share, and what one does not want the next may have.

    Args:
        runs: All that may be under way, also those that want nothing: they hold slots.
        places: How many attempts may start now.
        pools: Gives the slots of each pool by name; asked only if somebody wants a place.
    """
    if places <= 0:
        return
    everyone = list(runs)
    waiting = [run for run in everyone if run.ready and not run.ended]
    if not waiting:
        return
    limits = Limits(pools(), everyone)
    # The more important first; among equals, who has least.
    hungry = deque(sorted(waiting, key=lambda run: (-run.ready.priority, run.out)))
    while places > 0 and hungry:
        share = max(places // len(hungry), 1)
        run = hungry.popleft()
        before = dict(run.slots)
        launched = take(run, limits.offer(run, share))
        limits.given(before, run)
        places -= launched
        if launched == share and run.ready:
            hungry.append(run)


class Limits:
    """The limits for one round of offers."""

    def __init__(self, pools: Mapping[str, int], runs: Iterable[Run]) -> None:
        self._pools, self._runs = pools, list(runs)
        self._used: Counter[str] = Counter()
        for run in self._runs:
            self._used.update(run.slots)

    def offer(self, run: Run, places: int) -> PlacesOffered:
        """What a run may have: up to `places`, within its pools."""
        names = {lane.pool for lane in run.ready.lanes}
        pools = {name: self._free(name) for name in names if self._limited(name)}
        return PlacesOffered(places, pools, self._tasks(run))

    def given(self, before: Mapping[str, int], run: Run) -> None:
        """A run has taken what it wanted; `before` are the slots that it had."""
        self._used.update(run.slots)
        self._used.subtract(before)

    def _limited(self, pool: str) -> bool:
        return self._pools.get(pool, 0) != UNLIMITED

    def _free(self, pool: str) -> int:
        """Of a pool that somebody has deleted there is nothing."""
        return max(self._pools.get(pool, 0) - self._used[pool], 0)

    def _tasks(self, run: Run) -> dict[TaskId, int]:
        found: dict[TaskId, int] = {}
        for lane in run.ready.lanes:
            if lane.task_id is None:
                continue
            limit = run.spec.tasks[lane.task_id].max_active_tis_per_dag
            if limit is not None:
                found[lane.task_id] = max(limit - self._out(run, lane.task_id), 0)
        return found

    def _out(self, run: Run, task_id: TaskId) -> int:
        """Task instances of a task that are out, over all runs of its DAG."""
        return sum(
            one.nodes[task_id].out
            for one in self._runs
            if one.spec.dag_id == run.spec.dag_id and task_id in one.nodes
        )
