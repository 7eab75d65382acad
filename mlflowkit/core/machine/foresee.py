"""What a retry would do, found out on a copy of the run: nothing is decided, nothing is saved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlflowkit.core.events import RetryAsked
from mlflowkit.core.machine.again import retry
from mlflowkit.core.machine.run import Node, Run
from mlflowkit.core.machine.step import Step
from mlflowkit.core.spec import UNMAPPED, TaskId, instance_name
from mlflowkit.core.states import ENDED, TaskState

#: More instances of one task than that are counted, not named.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Tasks by name, those of which only some instances are meant with the indexes."""

    #: They run again, or wait for those that do: `("fit[3]", "report")`.
    again: tuple[str, ...]
    #: Those of them that had succeeded: what they gave is replaced.
    lost: tuple[str, ...]


def foresee(run: Run, asked: RetryAsked, now: datetime) -> Foreseen:
    """What `asked` would do to a run that has ended.

    Args:
        run: A copy that nobody needs any more: it is changed.
        asked: What a person is about to ask.
        now: Aware, UTC.

    Raises:
        IllegalEvent: the run cannot take this.
    """
    before = {name: _states(node) for name, node in run.nodes.items()}
    retry(Step(run, now), asked)
    again, lost = list[str](), list[str]()
    for task in run.spec.in_order():
        node, was = run.nodes[task.task_id], before[task.task_id]
        kept = _states(node)
        open_ = [i for i in was if kept.get(i) not in ENDED]
        if not node.done:  # without open ones: those go on that never started
            whole = len(open_) in (0, len(was))
            again += _names(task.task_id, open_, whole=whole, of=len(was))
        gave = [i for i, state in was.items() if state is TaskState.SUCCESS]
        gone = [i for i in gave if kept.get(i) is not TaskState.SUCCESS]
        if gone:
            whole = len(gone) == len(gave) == len(was)
            lost += _names(task.task_id, gone, whole=whole, of=len(was))
    return Foreseen(tuple(again), tuple(lost))


def _states(node: Node) -> dict[int, TaskState]:
    found = {i: row.state for i, row in sorted(node.instances.items())}
    found = {i: state for i, state in found.items() if state is not TaskState.REMOVED}
    if node.mapped and not found:
        return {UNMAPPED: TaskState.NONE}
    return found


def _names(task_id: TaskId, indexes: list[int], *, whole: bool, of: int) -> list[str]:
    if whole:
        return [str(task_id)]
    if len(indexes) > NAMED:
        return [f"{task_id} ({len(indexes):,} of {of:,})"]
    return [instance_name(task_id, index) for index in indexes]
