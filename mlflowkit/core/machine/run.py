"""A DAG run while an engine owns it: its rows, and counters so that an event costs O(out-degree).

`RunRow`, `NodeRow` and `InstanceRow` are what the store keeps: a run is loaded
from them, and every change is told in them. Task instances of a mapped task that
have not started are a counted range (`next_index` up to `length`), not rows.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mlflowkit.core.decisions import Decision
from mlflowkit.core.machine.ready import Ready
from mlflowkit.core.spec import UNMAPPED, AttemptId, DagSpec, RunId, TaskId, TaskSpec
from mlflowkit.core.states import HOLDS_PLACE, RUN_ENDED, RunState, TaskState

#: What a task instance must not be for those below it to start, the worst first.
BAD: Final = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)
#: In `Run.ready`, after all map indexes: the task instances that were never queued.
REST: Final = 1 << 62
#: In `Run.alarms`, in the place of a task id: the time that the whole run may take.
WHOLE_RUN: Final = TaskId("")


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
    #: How often it gave its place back to look again later.
    reschedules: int = 0
    #: Set while it waits for a retry, or runs under a timeout: when to look again.
    alarm: datetime | None = None
    #: Set while its attempt is being killed: why.
    stopping: str = ""
    #: Beside the state, for people.
    reason: str = ""
    #: Start of its first attempt since it was last cleared: what sensors count their time from.
    first_started_at: datetime | None = None
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
    #: A branch or short circuit: the tasks below that each of its instances left out.
    left_out: dict[int, tuple[TaskId, ...]] = field(
        default_factory=dict[int, tuple[TaskId, ...]]
    )
    #: It waits for the same task of the run before.
    waits_past: bool = False


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

    __slots__ = (
        "above",
        "counts",
        "done",
        "held",
        "inside",
        "instances",
        "items",
        "open_above",
        "out",
        "position",
        "row",
        "scope",
        "setups",
        "sources",
        "spec",
        "swept",
        "whole",
    )

    def __init__(self, position: int, spec: TaskSpec, row: NodeRow) -> None:
        self.position, self.spec, self.row = position, spec, row
        #: Those that have a row: of a mapped task the indexes below `next_index`, and
        #: those that an earlier expansion had (now removed). A mapped task that ended
        #: without being expanded has a single one, with the index `UNMAPPED`.
        self.instances: dict[int, InstanceRow] = {}
        #: Ended task instances by state.
        self.counts: Counter[TaskState] = Counter()
        #: The tasks directly above: those whose instance i is for instance i of this one
        #: (of the same mapped group), and those that count as a whole.
        self.inside: tuple[Node, ...] = ()
        self.whole: tuple[Node, ...] = ()
        #: Setup tasks further up that it needs as well, and what it expands over.
        self.setups: tuple[Node, ...] = ()
        self.sources: tuple[Node, ...] = ()
        #: A teardown: the work further up that it clears away after.
        self.scope: tuple[Node, ...] = ()
        #: Ended task instances of `whole`, by state, and tasks of it that have not ended.
        self.above: Counter[TaskState] = Counter()
        self.open_above = 0
        #: What it expands over has so many items, since that was last counted.
        self.items: int | None = None
        #: All of its task instances have ended.
        self.done = False
        #: Task instances that hold a place.
        self.out = 0
        #: It was expanded, and some of its instances were cleared: they, and those that
        #: never started, wait once more for those above.
        self.held = False
        #: In a mapped group: what is above as a whole has decided; all indexes were told.
        self.swept = False

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

    @property
    def expanded(self) -> bool:
        """It is mapped, and has its task instances."""
        return self.mapped and bool(self.row.length)

    def beside(self, up: Node) -> bool:
        """Whether its instance i has to do with instance i of `up`, and no other."""
        group = self.spec.mapped_group
        return bool(group) and up.spec.mapped_group == group

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
        #: For each task, those that need it although they do not stand directly below:
        #: it is a setup of theirs, what they expand over, or what they clear away after.
        self.also_below: dict[TaskId, list[Node]] = {}
        self._join()
        #: What may start: the more important first, then tasks as they were written, then by
        #: map index, `REST` for those of a mapped task that never started. The order follows
        #: from the rows alone: a run that was loaded goes on as the one in memory would have.
        self.ready = Ready()
        self.alarms: list[tuple[datetime, TaskId, int]] = []
        self.open_nodes = len(self.nodes)
        #: Task instances that hold a place, and the slots of pools that they take.
        self.out = 0
        self.slots: Counter[str] = Counter()
        #: Task instances that a branch left out, with the branches that did.
        self.left_out: dict[tuple[TaskId, int], set[TaskId]] = {}

    def _join(self) -> None:
        for node in self.nodes.values():
            above = [self.nodes[up] for up in node.spec.upstream]
            node.inside = tuple(up for up in above if node.beside(up))
            node.whole = tuple(up for up in above if not node.beside(up))
            node.open_above = len(node.whole)
            axes = node.spec.expansion.axes if node.spec.expansion else ()
            names = dict.fromkeys(ref.task_id for axis in axes for ref in axis.sources())
            node.sources = tuple(self.nodes[name] for name in names)
        if any(task.setup for task in self.spec.tasks.values()):
            for name, node in self.nodes.items():
                further_up = self.spec.setups_further_up(name)
                node.setups = tuple(self.nodes[setup] for setup in further_up)
                node.scope = tuple(self.nodes[t] for t in self.spec.clears_after(name))
        for node in self.nodes.values():
            for up in dict.fromkeys((*node.setups, *node.sources, *node.scope)):
                if up.spec.task_id not in node.spec.upstream:
                    self.also_below.setdefault(up.spec.task_id, []).append(node)

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

    def below(self, node: Node) -> list[Node]:
        """The tasks that listen to how it ends."""
        nodes = [self.nodes[t] for t in self.spec.downstream(node.spec.task_id)]
        return nodes + self.also_below.get(node.spec.task_id, [])

    def add_ready(self, node: Node, map_index: int) -> None:
        self.ready.push(node.spec, node.position, map_index)

    def add_rest(self, node: Node) -> None:
        """What is left of an expanded task, if anything, and if it need not wait."""
        if node.unstarted and not node.held:
            self.add_ready(node, REST)

    def add_alarm(self, when: datetime, task_id: TaskId, map_index: int) -> None:
        heapq.heappush(self.alarms, (when, task_id, map_index))

    @property
    def deadline(self) -> datetime | None:
        """When the time of the whole run is over."""
        timeout, began = self.spec.dagrun_timeout, self.row.started_at
        return began + timeout if timeout is not None and began is not None else None

    def live_attempts(self) -> Iterator[AttemptId]:
        """Attempts that are out."""
        for node in self.nodes.values():
            for instance in node.instances.values():
                if instance.state in HOLDS_PLACE:
                    yield self.attempt_of(instance)

    def hold(self, instance: InstanceRow, change: int) -> None:
        """Note that a task instance takes a place (1), or gives it back (-1)."""
        node = self.nodes[instance.task_id]
        self.out += change
        node.out += change
        self.slots[node.spec.pool] += change * node.spec.pool_slots


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
