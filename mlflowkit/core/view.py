"""What a run looks like: the one picture that a terminal, a widget and a page all draw.

No face works out a state by itself: it prints a `RunView`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlflowkit.core.machine import InstanceRow, NodeRow, RunRow
from mlflowkit.core.machine.run import Node
from mlflowkit.core.spec import UNMAPPED, DagSpec, TaskSpec
from mlflowkit.core.states import RUN_ENDED, TaskState
from mlflowkit.core.waits import why_no_slot

#: What a task with several instances shows: the first of these that one of them is in.
_LOUDEST = (
    TaskState.RUNNING,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.UP_FOR_RETRY,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.NONE,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.SUCCESS,
    TaskState.SKIPPED,
    TaskState.REMOVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    """One task instance."""

    map_index: int
    state: TaskState
    reason: str
    #: Number of its latest attempt; 0 before the first.
    attempt: int
    failures: int
    started_at: datetime | None
    ended_at: datetime | None
    #: When a retry is due, or a timeout ends it.
    alarm: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task in a run."""

    task_id: str
    operator: str
    upstream: tuple[str, ...]
    mapped: bool
    #: The loudest state of its instances.
    state: TaskState
    #: How many instances are in each state, also of those that have no row yet: they are
    #: scheduled, or wait for those above ("none").
    counts: Mapping[TaskState, int]
    instances: tuple[InstanceView, ...] = field(default=())
    #: Why those that are scheduled can never start as things are; empty: they can.
    waits: str = ""

    @property
    def started_at(self) -> datetime | None:
        return min((i.started_at for i in self.instances if i.started_at), default=None)

    @property
    def ended_at(self) -> datetime | None:
        ends = [i.ended_at for i in self.instances if i.ended_at]
        return max(ends, default=None) if len(ends) == len(self.instances) else None

    @property
    def reason(self) -> str:
        """Why it is in its state, where there is a reason."""
        usual = self.waits if self.state is TaskState.SCHEDULED else ""
        return next(
            (i.reason for i in self.instances if i.state is self.state and i.reason), usual
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A DAG run, as people see it."""

    run_id: str
    dag_id: str
    run_type: str
    state: str
    reason: str
    #: It has not ended, and no living engine works on it.
    interrupted: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    tasks: tuple[TaskView, ...]
    notes: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in RUN_ENDED

    def task(self, task_id: str) -> TaskView:
        """Raises KeyError if there is no such task."""
        return next(t for t in self.tasks if t.task_id == task_id)

    def as_states(self) -> dict[str, str]:
        """`{"load": "success", "fit[0]": "failed"}`: mapped tasks by index."""
        found: dict[str, str] = {}
        for task in self.tasks:
            if not task.mapped:
                found[task.task_id] = str(task.state)
            for instance in task.instances if task.mapped else ():
                index = f"[{instance.map_index}]" if instance.map_index != UNMAPPED else ""
                found[f"{task.task_id}{index}"] = str(instance.state)
        return found


def state_of_task(node: Node) -> TaskState:
    """The state of a task in a run: of several instances the loudest while it goes on, and
    the worst at its end."""
    if node.done:
        return node.outcome()
    states = {instance.state for instance in node.instances.values()}
    if node.unstarted:
        states.add(TaskState.NONE if node.held else TaskState.SCHEDULED)
    return next((s for s in _LOUDEST if s in states), TaskState.NONE)


def loudest(counts: Mapping[TaskState, int]) -> TaskState:
    """What a task with several instances shows: of the states that they are in, one."""
    return next((s for s in _LOUDEST if counts.get(s)), TaskState.NONE)


def task_views(
    spec: DagSpec,
    row: RunRow,
    nodes: Iterable[NodeRow],
    instances: Iterable[InstanceRow],
    pools: Mapping[str, int] | None = None,
) -> tuple[TaskView, ...]:
    """The tasks of a run in the order in which they run.

    Args:
        pools: The slots of the pools that there are; None: they are not known.
    """
    by_task: dict[str, list[InstanceRow]] = {}
    for instance in instances:
        if instance.state is not TaskState.REMOVED:
            by_task.setdefault(instance.task_id, []).append(instance)
    node_rows = {n.task_id: n for n in nodes}
    return tuple(
        _task_view(
            task,
            by_task.get(task.task_id, []),
            node_rows.get(task.task_id, NodeRow(task_id=task.task_id)),
            row.cancelled,
            why_no_slot(task, pools) if pools is not None else "",
        )
        for task in spec.in_order()
    )


def _task_view(
    task: TaskSpec, rows: list[InstanceRow], node: NodeRow, cancelled: bool, waits: str
) -> TaskView:
    counts = Counter(row.state for row in rows)
    counts += _without_rows(task, rows, node, cancelled)
    state = loudest(counts)
    return TaskView(
        task_id=task.task_id,
        operator=task.operator,
        upstream=tuple(task.upstream),
        mapped=task.expansion is not None,
        state=state,
        counts={s: n for s, n in counts.items() if n},
        instances=tuple(_instance_view(r) for r in sorted(rows, key=lambda r: r.map_index)),
        waits=waits if counts[TaskState.SCHEDULED] else "",
    )


def _without_rows(
    task: TaskSpec, rows: list[InstanceRow], node: NodeRow, cancelled: bool
) -> Counter[TaskState]:
    """What has no row yet: it may start when there is a place, or waits for those above."""
    length = node.length or 0
    never_started = max(length - node.next_index, 0)
    waiting = length - never_started - sum(row.map_index >= 0 for row in rows)
    held = any(row.state is TaskState.NONE for row in rows)
    state = TaskState.NONE if held else TaskState.SCHEDULED
    if cancelled and not task.teardown:
        state = TaskState.SKIPPED
    found = Counter({state: never_started})
    found[TaskState.NONE] += max(waiting, 0)
    return found


def _instance_view(row: InstanceRow) -> InstanceView:
    return InstanceView(
        map_index=row.map_index,
        state=row.state,
        reason=row.stopping or row.reason,
        attempt=row.attempt,
        failures=row.failures,
        started_at=row.started_at,
        ended_at=row.ended_at,
        alarm=row.alarm,
    )
