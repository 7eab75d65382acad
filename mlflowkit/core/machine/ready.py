"""What may start, in order. Kept in lanes: a lane that has no room is passed by as a whole."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlflowkit.core.spec import TaskId, TaskSpec


class Lane(NamedTuple):
    """What shares the same limits."""

    pool: str
    slots: int
    #: Set where the task has a limit of its own.
    task_id: TaskId | None


class Entry(NamedTuple):
    """What may start: one task instance, or what is left of a mapped task."""

    #: Minus the priority: the smallest entry goes first.
    order: int
    position: int
    map_index: int
    task_id: TaskId


def lane_of(task: TaskSpec) -> Lane:
    limits = (task.max_active_tis_per_dag, task.max_active_tis_per_dagrun)
    own = task.task_id if any(limit is not None for limit in limits) else None
    return Lane(task.pool, task.pool_slots, own)


class Ready:
    """A heap for each lane. No lane is empty."""

    __slots__ = ("lanes",)

    def __init__(self) -> None:
        self.lanes: dict[Lane, list[Entry]] = {}

    def __bool__(self) -> bool:
        return bool(self.lanes)

    def __iter__(self) -> Iterator[Entry]:
        for heap in self.lanes.values():
            yield from heap

    def clear(self) -> None:
        self.lanes.clear()

    def push(self, task: TaskSpec, position: int, map_index: int) -> None:
        entry = Entry(-task.priority_weight, position, map_index, task.task_id)
        heapq.heappush(self.lanes.setdefault(lane_of(task), []), entry)

    def first(self, has_room: Callable[[Lane], bool]) -> Lane | None:
        """The lane whose turn it is, among those with room."""
        if len(self.lanes) == 1:
            lane = next(iter(self.lanes))
            return lane if has_room(lane) else None
        fit = [(heap[0], lane) for lane, heap in self.lanes.items() if has_room(lane)]
        return min(fit, key=lambda one: one[0])[1] if fit else None

    def head(self, lane: Lane) -> Entry:
        return self.lanes[lane][0]

    def pop(self, lane: Lane) -> None:
        heap = self.lanes[lane]
        heapq.heappop(heap)
        if not heap:
            del self.lanes[lane]

    @property
    def priority(self) -> int:
        """That of the most important one."""
        return max((-heap[0].order for heap in self.lanes.values()), default=0)
