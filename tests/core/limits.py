"""The laws of one offer of places, from a book of its own: no limit is passed, nothing that
has room is left lying, and the more important goes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mlflowkit.core.events import PlacesOffered
from mlflowkit.core.spec import AttemptId, DagSpec, TaskId
from mlflowkit.core.states import TaskState


class Room:
    """What is free, as launches use it up."""

    def __init__(self, spec: DagSpec, offer: PlacesOffered, out: list[AttemptId]) -> None:
        self.spec, self.places = spec, offer.places
        self.pools, self.tasks = dict(offer.pools), dict(offer.tasks)
        self.out = Counter(attempt.task_id for attempt in out)

    def fits(self, task_id: TaskId) -> bool:
        task, limit = self.spec.tasks[task_id], self.spec.max_active_tasks
        own = task.max_active_tis_per_dagrun
        limited = own is not None or task.max_active_tis_per_dag is not None
        return (
            self.places > 0
            and (limit is None or self.out.total() < limit)
            and self.pools.get(task.pool, task.pool_slots) >= task.pool_slots
            and (own is None or self.out[task_id] < own)
            and (not limited or self.tasks.get(task_id, 1) > 0)
        )

    def use(self, task_id: TaskId) -> None:
        task = self.spec.tasks[task_id]
        self.places -= 1
        self.out[task_id] += 1
        if task.pool in self.pools:
            self.pools[task.pool] -= task.pool_slots
        if task_id in self.tasks:
            self.tasks[task_id] -= 1


def check_launches(
    spec: DagSpec,
    offer: PlacesOffered,
    launches: list[AttemptId],
    out: Mapping[AttemptId, bool],
    before: Mapping[TaskId, Mapping[int, TaskState]],
) -> None:
    """Launch for launch: it was scheduled, it had room, and nothing above it did."""
    room = Room(spec, offer, list(out))
    ready = {
        (task_id, index)
        for task_id, states in before.items()
        for index, state in states.items()
        if state is TaskState.SCHEDULED
    }
    for attempt in launches:
        fit = [spec.tasks[t].priority_weight for t, _ in ready if room.fits(t)]
        assert room.fits(attempt.task_id), "a limit was passed"
        assert attempt[1:3] in ready, "what was not scheduled was started"
        weight = spec.tasks[attempt.task_id].priority_weight
        assert weight == max(fit), "something more important had room"
        room.use(attempt.task_id)
        ready.discard(attempt[1:3])
    left = [where for where in ready if room.fits(where[0])]
    assert not left, f"there was room for {left}"
