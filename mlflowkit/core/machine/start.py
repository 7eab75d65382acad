"""How task instances come to life: the run opens, and what is scheduled gets a place."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from mlflowkit.core.decisions import Launch
from mlflowkit.core.machine.flow import meet, single
from mlflowkit.core.machine.run import REST, InstanceRow, Node
from mlflowkit.core.machine.step import Step
from mlflowkit.core.states import Cause


def open_run(step: Step) -> None:
    """The first event of a run. Once: a second one is old news."""
    make_rows(step)
    for node in step.run.nodes.values():
        if node.unmet == 0:
            meet(step, node)
    step.close_if_over()


def make_rows(step: Step) -> None:
    """The run is open: every task that is not mapped has its task instance."""
    step.move_run("opened")
    step.run.row.started_at = step.now
    for node in step.run.nodes.values():
        if not node.mapped:
            single(step, node)


def offer(step: Step, places: int) -> None:
    """Hand over up to `places` task instances. After a cancel nothing is ready."""
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
        _, index, task_id = ready[0]
        node = step.run.nodes[task_id]
        if index == REST:
            taken = min(places, node.unstarted)
            for _ in range(taken):
                yield _next_of(step, node)
            places -= taken
            step.node_changed(node)
            if node.unstarted:
                return
        else:
            places -= 1
            yield node.instances[index]
        heapq.heappop(ready)


def _next_of(step: Step, node: Node) -> InstanceRow:
    index = node.row.next_index
    node.row.next_index += 1
    instance = InstanceRow(task_id=node.spec.task_id, map_index=index)
    node.instances[index] = instance
    step.move(instance, Cause.UPSTREAM_MET)
    return instance
