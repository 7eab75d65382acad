"""Tasks that wait for their past: the run of the interval before must have ended them well.

Which run that is, is for others to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlflowkit.core.states import TaskState

if TYPE_CHECKING:
    from mlflowkit.core.machine import Run
    from mlflowkit.core.spec import DagSpec, TaskId, TaskSpec

_WELL: Final = (TaskState.SUCCESS, TaskState.SKIPPED)


def waits_for_past(spec: DagSpec) -> bool:
    """Whether some of its tasks wait for the run before."""
    return any(task.depends_on_past for task in spec.tasks.values())


def unsettled(spec: DagSpec, before: Run | None) -> tuple[TaskId, ...]:
    """The tasks that must still wait for the run before; None: there is no such run."""
    if before is None:
        return ()
    waiting = (t for t in spec.tasks.values() if t.depends_on_past)
    return tuple(t.task_id for t in waiting if not _settled(before, t))


def _settled(before: Run, task: TaskSpec) -> bool:
    """A task that the run before did not have yet has nothing to wait for."""
    node = before.nodes.get(task.task_id)
    if node is None:
        return True
    looked_at = [node]
    if task.wait_for_downstream:
        looked_at += [before.nodes[t] for t in before.spec.downstream(task.task_id)]
    return all(one.done and one.outcome() in _WELL for one in looked_at)
