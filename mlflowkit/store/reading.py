"""What faces read of the store: runs, attempts, values. Never writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from mlflowkit.core.machine import RunRow
from mlflowkit.core.spec import RunId
from mlflowkit.core.states import RUN_ENDED, RunState
from mlflowkit.core.view import RunView, task_views
from mlflowkit.errors import BadOption
from mlflowkit.store import codec, leases
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction
from mlflowkit.store.pools import get_pools
from mlflowkit.store.tables import attempts, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A line of a list of runs."""

    run_id: str
    dag_id: str
    run_type: str
    state: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """An attempt that has ended."""

    number: int
    outcome: str
    reason: str
    error: str
    facts: dict[str, Any]
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime


def list_runs(
    tx: Transaction,
    dag_id: str | None = None,
    *,
    state: str | None = None,
    limit: int = 100,
) -> list[RunSummary]:
    """Runs, the newest first.

    Raises:
        BadOption: there is no such state.
    """
    if state is not None and state not in list(RunState):
        known = ", ".join(RunState)
        raise BadOption("a list of runs", "state", f"is {state!r}: it is one of {known}")
    columns = [runs.c[name] for name in RunSummary.__dataclass_fields__]
    query = select(*columns).order_by(runs.c.run_key.desc()).limit(limit)
    if dag_id is not None:
        query = query.where(runs.c.dag_id == dag_id)
    if state is not None:
        query = query.where(runs.c.state == state)
    return [RunSummary(**row) for row in tx.execute(query).mappings()]


def run_state(tx: Transaction, run_id: str) -> RunState | None:
    found = tx.execute(select(runs.c.state).where(runs.c.run_id == run_id)).scalar()
    return RunState(found) if found is not None else None


def run_view(
    tx: Transaction, run_id: str, *, engine_alive: Callable[[], bool]
) -> RunView | None:
    """A run as people see it, or None.

    Args:
        engine_alive: Whether an engine holds the home. Asked after the run was read: one that
            begins meanwhile may have taken the run over, and is not to be called dead.
    """
    row = tx.execute(select(runs).where(runs.c.run_id == run_id)).mappings().one_or_none()
    spec = stored.spec_of(tx, run_id)
    if row is None or spec is None:
        return None
    ended = row["state"] in RUN_ENDED
    run_row = RunRow(run_id=RunId(run_id), cancelled=row["cancelled"])
    tasks = task_views(
        spec,
        run_row,
        stored.node_rows(tx, row["run_key"]),
        stored.instance_rows(tx, row["run_key"]),
        get_pools(tx) if not ended else None,
    )
    return RunView(
        run_id=run_id,
        dag_id=row["dag_id"],
        run_type=row["run_type"],
        state=row["state"],
        reason=row["reason"],
        interrupted=not ended
        and not (row["engine_id"] == leases.holder(tx) and engine_alive()),
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        tasks=tasks,
        notes=tuple(codec.decode(row["notes"])),
    )


def ended_attempts(
    tx: Transaction, run_id: str, task_id: str, map_index: int
) -> list[AttemptView]:
    """The attempts of a task instance that have ended, oldest first."""
    columns = [attempts.c[name] for name in AttemptView.__dataclass_fields__]
    found = tx.execute(
        select(*columns)
        .join(runs, runs.c.run_key == attempts.c.run_key)
        .where(
            runs.c.run_id == run_id,
            attempts.c.task_id == task_id,
            attempts.c.map_index == map_index,
        )
        .order_by(attempts.c.number)
    )
    return [
        AttemptView(**{**row, "facts": codec.decode(row["facts"])})
        for row in found.mappings()
    ]
