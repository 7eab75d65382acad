"""Tasks that wait for their past: which run that is, and what the store knows of it.

Only runs that come of a schedule or a backfill have a past. Those that a person starts
neither wait for one nor are one. What a task waits for there, `core.past` says.
"""

from __future__ import annotations

from mlflowkit.core import past
from mlflowkit.core.spec import TaskId
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.store import planned
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction


def has_past(owned: OwnedRun) -> bool:
    """Whether some of its tasks wait for the run before."""
    return owned.is_planned and past.waits_for_past(owned.run.spec)


def unsettled(tx: Transaction, owned: OwnedRun) -> tuple[TaskId, ...]:
    """The tasks that must still wait for the run before."""
    spec = owned.run.spec
    if not past.waits_for_past(spec):
        return ()
    before = planned.run_before(tx, owned.dag_id, owned.logical_date)
    found = stored.load_run(tx, before) if before is not None else None
    return past.unsettled(spec, found.run if found is not None else None)
