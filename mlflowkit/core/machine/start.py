"""How task instances come to life: the run opens, and what is scheduled gets a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlflowkit.core.decisions import Launch, WakeAt
from mlflowkit.core.events import PlacesOffered
from mlflowkit.core.machine.flow import judge, judge_each, settle, single
from mlflowkit.core.machine.ready import Lane
from mlflowkit.core.machine.run import REST, WHOLE_RUN, InstanceRow, Node
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED, TaskId
from mlflowkit.core.states import Cause, TaskState


def open_run(step: Step, waits_past: Iterable[TaskId]) -> None:
    """The first event of a run. Once: a second one is old news."""
    make_rows(step)
    if step.run.deadline is not None:
        step.run.add_alarm(step.run.deadline, WHOLE_RUN, UNMAPPED)
        step.decide(WakeAt(step.run.deadline))
    for task_id in waits_past:
        node = step.run.nodes[task_id]
        node.row.waits_past = True
        step.node_changed(node)
    judge_all(step)


def judge_all(step: Step) -> None:
    """Start all that need not wait; close what follows from it."""
    ended = list[InstanceRow]()
    for node in list(step.run.nodes.values()):
        ended += judge(step, node)
    settle(step, ended)


def past_settled(step: Step, task_ids: Iterable[TaskId]) -> None:
    """These tasks need not wait for the run before any more."""
    ended = list[InstanceRow]()
    for task_id in task_ids:
        node = step.run.nodes.get(task_id)
        if node is not None and node.row.waits_past:
            node.row.waits_past = False
            step.node_changed(node)
            inside = node.inside and node.expanded
            ended += judge_each(step, node) if inside else judge(step, node)
    settle(step, ended)


def make_rows(step: Step) -> None:
    """The run is open: every task that is not mapped has its task instance."""
    step.move_run("opened")
    step.run.row.started_at = step.now
    for node in step.run.nodes.values():
        if not node.mapped:
            single(step, node)


def offer(step: Step, event: PlacesOffered) -> None:
    """Hand over as many task instances as there are places and limits allow."""
    budget = _Budget(step, event)
    for instance in _take(step, budget):
        instance.attempt += 1
        instance.queued_at, instance.started_at, instance.ended_at = (
            step.now,
            None,
            None,
        )
        step.move(instance, Cause.PLACE_FOUND)
        step.decide(Launch(step.run.attempt_of(instance)))


class _Budget:
    """How many task instances may still be handed over."""

    def __init__(self, step: Step, event: PlacesOffered) -> None:
        self._run, self._left = step.run, event.places
        self._pools, self._tasks = dict(event.pools), dict(event.tasks)

    def room(self, lane: Lane) -> int:
        """Places for task instances of a lane."""
        room, limit = self._left, self._run.spec.max_active_tasks
        if limit is not None:
            room = min(room, limit - self._run.out)
        if lane.pool in self._pools:
            room = min(room, self._pools[lane.pool] // lane.slots)
        if lane.task_id is not None:
            node = self._run.nodes[lane.task_id]
            of_run = node.spec.max_active_tis_per_dagrun
            if of_run is not None:
                room = min(room, of_run - node.out)
            room = min(room, self._tasks.get(lane.task_id, room))
        return max(room, 0)

    def spend(self, lane: Lane) -> None:
        """One of them is handed over."""
        self._left -= 1
        if lane.pool in self._pools:
            self._pools[lane.pool] -= lane.slots
        if lane.task_id is not None and lane.task_id in self._tasks:
            self._tasks[lane.task_id] -= 1


def _take(step: Step, budget: _Budget) -> Iterator[InstanceRow]:
    """The task instances that are scheduled, while there is room for them; those of a mapped
    task in one row."""
    ready = step.run.ready
    while (lane := ready.first(lambda one: budget.room(one) > 0)) is not None:
        entry = ready.head(lane)
        node = step.run.nodes[entry.task_id]
        if entry.map_index == REST:
            for _ in range(min(budget.room(lane), node.unstarted)):
                budget.spend(lane)
                yield _next_of(step, node)
            step.node_changed(node)
            if node.unstarted:
                continue
        else:
            instance = node.instances[entry.map_index]
            if instance.state is TaskState.SCHEDULED:
                budget.spend(lane)
                yield instance
        ready.pop(lane)


def _next_of(step: Step, node: Node) -> InstanceRow:
    index = node.row.next_index
    node.row.next_index += 1
    instance = InstanceRow(task_id=node.spec.task_id, map_index=index)
    node.instances[index] = instance
    step.move(instance, Cause.UPSTREAM_MET)
    return instance
