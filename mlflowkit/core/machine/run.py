"""A DAG run while an engine owns it: its rows, and counters so that an event costs O(out-degree).

`RunRow`, `NodeRow` and `InstanceRow` are what the store keeps: a run is loaded
from them, and every change is told in them. Task instances of a mapped task that
have not started are a counted range (`next_index` up to `length`), not rows.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mlflowkit.core.decisions import Decision
from mlflowkit.core.spec import UNMAPPED, AttemptId, DagSpec, RunId, TaskId, TaskSpec
from mlflowkit.core.states import ENDED, HOLDS_PLACE, RUN_ENDED, RunState, TaskState

#: What a task instance must not be for those below it to start, the worst first.
BAD: Final = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
#: In `Run.ready`, after all map indexes: the task instances that were never queued.
REST: Final = 1 << 62


@dataclass(slots=True, kw_only=True)
class InstanceRow:
    """One task instance."""

    task_id: TaskId
    map_index: int = UNMAPPED
    state: TaskState = TaskState.NONE
    #: Number of the latest attempt; 0 before the first. The fence.
    attempt: int = 0
    #: Tries spent: attempts that failed. Lost ones are not in it.
    failures: int = 0
    #: Attempts lost since the last one that was not.
    lost: int = 0
    #: Set while it waits for a retry, or runs under a timeout: when to look again.
    alarm: datetime | None = None
    #: Set while its attempt is being killed: why.
    stopping: str = ""
    #: Beside the state, for people.
    reason: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class NodeRow:
    """A task in a run: how far it is expanded."""

    task_id: TaskId
    #: Task instances of a mapped task; None until it is expanded, and for unmapped tasks.
    length: int | None = None
    #: The first map index that has no task instance yet.
    next_index: int = 0
    #: Items of its XComs that some task expands over.
    lengths: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True, kw_only=True)
class RunRow:
    run_id: RunId
    state: RunState = RunState.QUEUED
    reason: str = ""
    #: Set once a person asked to stop: nothing new starts.
    cancelled: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Node:
    """A task in a run, with the counters that make its end cheap to see."""

    __slots__ = ("counts", "done", "instances", "position", "row", "spec", "unmet")

    def __init__(self, position: int, spec: TaskSpec, row: NodeRow) -> None:
        self.position, self.spec, self.row = position, spec, row
        #: Those that have a row: of a mapped task the indexes below `next_index`, and
        #: those that an earlier expansion had (now removed). A mapped task that ended
        #: without being expanded has a single one, with the index `UNMAPPED`.
        self.instances: dict[int, InstanceRow] = {}
        #: Ended task instances by state.
        self.counts: Counter[TaskState] = Counter()
        #: Upstream tasks that have not ended with success.
        self.unmet = len(spec.upstream)
        #: All of its task instances have ended.
        self.done = False

    @property
    def mapped(self) -> bool:
        return self.spec.expansion is not None

    @property
    def size(self) -> int | None:
        """Task instances that it will have; None while that is not known."""
        return self.row.length if self.mapped else 1

    @property
    def unstarted(self) -> int:
        """Task instances of an expanded task that were never queued."""
        return max((self.row.length or 0) - self.row.next_index, 0) if self.mapped else 0

    @property
    def ended_count(self) -> int:
        return self.counts.total()

    def is_whole(self) -> bool:
        return self.size is not None and self.ended_count >= self.size

    @property
    def succeeded(self) -> bool:
        return self.done and self.outcome() is TaskState.SUCCESS

    def outcome(self) -> TaskState:
        """How the task as a whole ended: the worst of its instances."""
        for state in (*BAD, TaskState.SKIPPED):
            if self.counts[state]:
                return state
        return TaskState.SUCCESS


class Run:
    """The whole of a run. Changed only by `core.machine`."""

    def __init__(self, spec: DagSpec, row: RunRow) -> None:
        self.spec, self.row = spec, row
        self.nodes = {
            task.task_id: Node(position, task, NodeRow(task_id=task.task_id))
            for position, task in enumerate(spec.tasks.values())
        }
        #: What may start, a heap: tasks as they were written, then by map index, `REST`
        #: for those of a mapped task that never started. The order follows from the rows
        #: alone, so that a run that was loaded goes on as the one in memory would have.
        self.ready: list[tuple[int, int, TaskId]] = []
        self.alarms: list[tuple[datetime, TaskId, int]] = []
        self.open_nodes = len(self.nodes)
        #: Task instances that hold a place.
        self.out = 0

    @property
    def run_id(self) -> RunId:
        return self.row.run_id

    @property
    def ended(self) -> bool:
        return self.row.state in RUN_ENDED

    def attempt_of(self, instance: InstanceRow) -> AttemptId:
        return AttemptId(
            self.run_id, instance.task_id, instance.map_index, instance.attempt
        )

    def add_ready(self, node: Node, map_index: int) -> None:
        heapq.heappush(self.ready, (node.position, map_index, node.spec.task_id))

    def add_rest(self, node: Node) -> None:
        """What is left of an expanded task, if anything."""
        if node.unstarted:
            self.add_ready(node, REST)

    def add_alarm(self, when: datetime, instance: InstanceRow) -> None:
        heapq.heappush(self.alarms, (when, instance.task_id, instance.map_index))

    def live_attempts(self) -> Iterator[AttemptId]:
        """Attempts that are out."""
        for node in self.nodes.values():
            for instance in node.instances.values():
                if instance.state in HOLDS_PLACE:
                    yield self.attempt_of(instance)


@dataclass(slots=True)
class Outcome:
    """What one event changed and decided. Rows stand once each, as they are now."""

    decisions: list[Decision] = field(default_factory=list[Decision])
    instances: dict[tuple[TaskId, int], InstanceRow] = field(
        default_factory=dict[tuple[TaskId, int], InstanceRow]
    )
    nodes: dict[TaskId, NodeRow] = field(default_factory=dict[TaskId, NodeRow])
    run: RunRow | None = None

    def merge(self, other: Outcome) -> None:
        self.decisions += other.decisions
        self.instances.update(other.instances)
        self.nodes.update(other.nodes)
        self.run = other.run or self.run

    def __bool__(self) -> bool:
        return bool(self.decisions or self.instances or self.nodes or self.run)


def load(
    spec: DagSpec,
    row: RunRow,
    nodes: Iterable[NodeRow],
    instances: Iterable[InstanceRow],
) -> Run:
    """The run that these rows describe, with its counters and alarms made anew.

    Args:
        spec: The DAG as the run's bundle has it.
        row: The run's own row.
        nodes: Rows of tasks that were expanded or gave lengths; others are as at the start.
        instances: All rows of task instances.

    Rows of tasks that the DAG no longer has are left alone.
    """
    run = Run(spec, row)
    for node_row in nodes:
        if node_row.task_id in run.nodes:
            run.nodes[node_row.task_id].row = node_row
    for instance in instances:
        if (node := run.nodes.get(instance.task_id)) is None:
            continue
        if instance.state in ENDED and instance.state is not TaskState.REMOVED:
            node.counts[instance.state] += 1
        node.instances[instance.map_index] = instance
        if instance.alarm is not None:
            run.add_alarm(instance.alarm, instance)
        run.out += instance.state in HOLDS_PLACE
    _count(run)
    return run


def _count(run: Run) -> None:
    """Everything that follows from the rows, and is not in them."""
    for node in run.nodes.values():
        if run.row.cancelled:
            node.counts[TaskState.SKIPPED] += node.unstarted
        node.done = node.is_whole()
        run.open_nodes -= node.done
    for node in run.nodes.values():
        ups = [run.nodes[up] for up in node.spec.upstream]
        node.unmet = sum(not up.succeeded for up in ups)
        for instance in node.instances.values():
            if instance.state is TaskState.SCHEDULED:
                run.add_ready(node, instance.map_index)
        if not run.row.cancelled:
            run.add_rest(node)
