"""How task instances come to life: the run opens, and what is scheduled gets a place."""

from __future__ import annotations

from collections.abc import Iterator

from mlflowkit.core.decisions import Launch
from mlflowkit.core.machine.flow import meet
from mlflowkit.core.machine.run import InstanceRow, Node
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED
from mlflowkit.core.states import Cause, TaskState


def open_run(step: Step) -> None:
    """The first event of a run. Once: a second one is old news."""
    run = step.run
    step.move_run("opened")
    run.row.started_at = step.now
    for task_id, node in run.nodes.items():
        if not node.mapped:
            instance = node.instances[UNMAPPED] = InstanceRow(task_id=task_id)
            step.changed(instance)
    for node in list(run.nodes.values()):
        if node.unmet == 0:
            meet(step, node)
    step.close_if_over()


def offer(step: Step, places: int) -> None:
    """Hand over up to `places` task instances, first come first served."""
    if step.run.row.cancelled:
        return
    for instance in _take(step, places):
        instance.attempt += 1
        instance.queued_at, instance.started_at, instance.ended_at = (
            step.now,
            None,
            None,
        )
        step.move(instance, Cause.PLACE_FOUND)
        step.decide(Launch(step.run.attempt_of(instance)))


def _take(step: Step, places: int) -> Iterator[InstanceRow]:
    """Up to `places` task instances that are scheduled; those of a mapped task in one row."""
    ready = step.run.ready
    while places > 0 and ready:
        task_id, index = ready[0]
        node = step.run.nodes[task_id]
        if index is not None:
            ready.popleft()
            instance = node.instances[index]
            if instance.state is not TaskState.SCHEDULED:
                continue  # it was cancelled or cleared meanwhile
            places -= 1
            yield instance
            continue
        taken = min(places, node.unstarted)
        for _ in range(taken):
            yield _next_of(step, node)
        places -= taken
        if not node.unstarted:
            ready.popleft()
        step.node_changed(node)


def _next_of(step: Step, node: Node) -> InstanceRow:
    index = node.row.next_index
    node.row.next_index += 1
    fresh = InstanceRow(task_id=node.spec.task_id, map_index=index)
    instance = node.instances.setdefault(index, fresh)
    step.move(instance, Cause.UPSTREAM_MET)
    return instance
