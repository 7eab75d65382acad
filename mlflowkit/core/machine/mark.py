"""A person says how a task instance ended, whatever its code does.

While the run goes on: of what runs, waits, or has not started. Once the run has ended: of what
has ended, and what stands below and could not run for it goes on. Else nothing changes.
"""

from __future__ import annotations

from typing import Final

from mlflowkit.core.decisions import Kill
from mlflowkit.core.events import MarkAsked
from mlflowkit.core.machine.again import (
    clear,
    clear_whole,
    go_on_all,
    set_up_again,
    torn_down,
)
from mlflowkit.core.machine.flow import end
from mlflowkit.core.machine.load import recount
from mlflowkit.core.machine.run import BAD, InstanceRow, Node, Run
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED
from mlflowkit.core.states import ENDED, HOLDS_PLACE, Cause, TaskState
from mlflowkit.errors import IllegalEvent

#: What a person says, as it stands beside the state; while an attempt is killed for it, too.
SUCCESS: Final = str(Cause.MARKED_SUCCESS)
FAILED: Final = str(Cause.MARKED_FAILED)
MARKS: Final = {SUCCESS: Cause.MARKED_SUCCESS, FAILED: Cause.MARKED_FAILED}


def mark(step: Step, asked: MarkAsked) -> None:
    """Set the state of task instances; what runs is killed first."""
    run = step.run
    node = run.nodes.get(asked.task_id)
    if node is None or asked.state not in ("success", "failed"):
        what = f"mark {asked.state!r} of task {asked.task_id!r}"
        raise IllegalEvent(f"run {run.run_id!r}", run.row.state, what)
    said = SUCCESS if asked.state == "success" else FAILED
    indexes = asked.map_indexes or sorted(node.instances)
    fit = [node.instances[i] for i in indexes if not why_not(run, node, i, asked.state)]
    if run.ended and fit:
        _mark_ended(step, node, fit, said)
        return
    for instance in fit:
        if instance.state in HOLDS_PLACE:
            _kill_for(step, instance, said)
        else:
            end(step, instance, MARKS[said], said)


def why_not(run: Run, node: Node, index: int, state: str) -> str:
    """Why a task instance cannot be marked as this now; empty if it can."""
    instance = node.instances.get(index)
    if instance is None or instance.state is TaskState.REMOVED:
        return "it has no task instance yet"
    if node.mapped and index == UNMAPPED:
        return "it was not expanded: clear it instead"
    if run.ended:
        return f"it is {state} already" if instance.state == state else ""
    if instance.state in ENDED:
        return "it has ended: it can be marked once its run has, too"
    if node.mapped and instance.state is TaskState.NONE:
        return "it waits for the tasks above it"  # one row may stand for all the others
    return ""


def _kill_for(step: Step, instance: InstanceRow, said: str) -> None:
    """It ends as was said once it is known to be dead."""
    instance.alarm = None
    if not instance.stopping:
        step.decide(Kill(step.run.attempt_of(instance), said))
    instance.stopping = said
    step.changed(instance)


def _mark_ended(step: Step, node: Node, instances: list[InstanceRow], said: str) -> None:
    """The run's own end follows anew. After a cancel nothing goes on: only the state is set."""
    run = step.run
    gone = torn_down(run)
    step.move_run("cleared")
    run.row.ended_at = None
    if node.row.lengths:  # what it gave is gone
        node.row.lengths = {}
        step.node_changed(node)
    for instance in instances:
        node.counts[instance.state] -= 1
        step.move(instance, MARKS[said], said)
    if run.row.cancelled:
        recount(run)
        step.close_if_over()
        return
    run.row.reason = ""
    if said == SUCCESS:
        _clear_below(step, node, {one.map_index for one in instances})
    set_up_again(step, gone, kept=node)
    go_on_all(step)


def _clear_below(step: Step, node: Node, indexes: set[int]) -> None:
    """What stands below and failed, or was closed by a failure, may run now."""
    for task_id in step.run.spec.all_below(node.spec.task_id):
        down = step.run.nodes[task_id]
        bad = [one for one in down.instances.values() if one.state in BAD]
        if bad and down.mapped and bad[0].map_index == UNMAPPED:
            clear_whole(step, down)  # it was never expanded
            continue
        for one in bad:
            if not down.beside(node) or one.map_index in indexes:
                clear(step, down, one)
                if down.row.left_out.pop(one.map_index, None) is not None:
                    step.node_changed(down)
