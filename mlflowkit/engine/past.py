"""Tasks that wait for their past: the run of the interval before must have ended them well.

Only runs that come of a schedule or a backfill have a past. Those that a person starts
neither wait for one nor are one.
"""

from __future__ import annotations

from mlflowkit.core.machine import Run
from mlflowkit.core.spec import TaskId, TaskSpec
from mlflowkit.core.states import TaskState
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.store import planned
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction

_WELL = (TaskState.SUCCESS, TaskState.SKIPPED)


def has_past(owned: OwnedRun) -> bool:
    """Whether some of its tasks wait for the run before."""
    return owned.is_planned and any(
        task.depends_on_past for task in owned.run.spec.tasks.values()
    )


def unsettled(tx: Transaction, owned: OwnedRun) -> tuple[TaskId, ...]:
    """The tasks that must still wait for the run before."""
    waiting = [t for t in owned.run.spec.tasks.values() if t.depends_on_past]
    before = planned.run_before(tx, owned.dag_id, owned.logical_date) if waiting else None
    found = stored.load_run(tx, before) if before is not None else None
    if found is None:
        return ()
    return tuple(t.task_id for t in waiting if not _settled(found.run, t))


def _settled(before: Run, task: TaskSpec) -> bool:
    """A task that the run before did not have yet has nothing to wait for."""
    node = before.nodes.get(task.task_id)
    if node is None:
        return True
    looked_at = [node]
    if task.wait_for_downstream:
        looked_at += [before.nodes[t] for t in before.spec.downstream(task.task_id)]
    return all(one.done and one.outcome() in _WELL for one in looked_at)
