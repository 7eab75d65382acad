"""Runs that come of a timetable: by schedule or backfill. One for each interval of a DAG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from mlflowkit.core.spec import RunId
from mlflowkit.core.states import RUN_ENDED, RunState
from mlflowkit.store.tables import runs

PLANNED_TYPES = ("scheduled", "backfill")


def run_before(tx: Connection, dag_id: str, logical_date: datetime) -> RunId | None:
    """The planned run with the latest logical date before this one."""
    found = tx.execute(
        select(runs.c.run_id)
        .where(
            runs.c.dag_id == dag_id,
            runs.c.run_type.in_(PLANNED_TYPES),
            runs.c.logical_date < logical_date,
        )
        .order_by(runs.c.logical_date.desc())
        .limit(1)
    ).scalar()
    return RunId(found) if found is not None else None


def run_at(tx: Connection, dag_id: str, logical_date: datetime) -> RunId | None:
    """The latest run of a DAG with this logical date, of whatever type."""
    found = tx.execute(
        select(runs.c.run_id)
        .where(runs.c.dag_id == dag_id, runs.c.logical_date == logical_date)
        .order_by(runs.c.run_key.desc())
        .limit(1)
    ).scalar()
    return RunId(found) if found is not None else None


def planned_between(
    tx: Connection, dag_id: str, first: datetime, last: datetime
) -> dict[tuple[datetime, datetime], tuple[RunId, RunState]]:
    """The planned runs of a span, by logical date and end of the data interval: after a change
    of schedule, runs of different intervals may have the same date."""
    found = tx.execute(
        select(
            runs.c.logical_date, runs.c.data_interval_end, runs.c.run_id, runs.c.state
        ).where(
            runs.c.dag_id == dag_id,
            runs.c.run_type.in_(PLANNED_TYPES),
            runs.c.logical_date >= first,
            runs.c.logical_date <= last,
        )
    )
    return {
        (r.logical_date, r.data_interval_end): (RunId(r.run_id), RunState(r.state))
        for r in found
    }


def last_success(
    tx: Connection, dag_id: str, before: datetime
) -> dict[str, datetime | None] | None:
    """Moments of the latest successful run whose logical date is before this one."""
    columns = ("data_interval_start", "data_interval_end", "started_at", "ended_at")
    found = (
        tx.execute(
            select(*(runs.c[name] for name in columns))
            .where(
                runs.c.dag_id == dag_id,
                runs.c.state == RunState.SUCCESS,
                runs.c.logical_date < before,
            )
            .order_by(runs.c.logical_date.desc())
            .limit(1)
        )
        .mappings()
        .one_or_none()
    )
    if found is None:
        return None
    start, end, started, ended = (found[name] for name in columns)
    return {
        "data_interval_start": start,
        "data_interval_end": end,
        "start_date": started,
        "end_date": ended,
    }


def unended_counts(tx: Connection, dag_ids: Sequence[str], run_type: str) -> dict[str, int]:
    """How many runs of each DAG have not ended; those with none are left out."""
    found = tx.execute(
        select(runs.c.dag_id, func.count())
        .where(
            runs.c.dag_id.in_(dag_ids),
            runs.c.run_type == run_type,
            runs.c.state.not_in([str(s) for s in RUN_ENDED]),
        )
        .group_by(runs.c.dag_id)
    )
    return {dag_id: count for dag_id, count in found}


def taken(
    tx: Connection, dag_ids: Sequence[str], first: datetime, last: datetime
) -> set[tuple[str, datetime, datetime]]:
    """The planned runs of a span, by DAG, logical date and end of the data interval."""
    found = tx.execute(
        select(runs.c.dag_id, runs.c.logical_date, runs.c.data_interval_end).where(
            runs.c.dag_id.in_(dag_ids),
            runs.c.run_type.in_(PLANNED_TYPES),
            runs.c.logical_date >= first,
            runs.c.logical_date <= last,
        )
    )
    return {(dag_id, logical, end) for dag_id, logical, end in found}


def all_unended(tx: Connection, run_types: Sequence[str]) -> list[tuple[RunId, str | None]]:
    """Runs of any DAG that have not ended, in the order of their logical dates, each with
    the engine that owns it."""
    found = tx.execute(
        select(runs.c.run_id, runs.c.engine_id)
        .where(
            runs.c.run_type.in_(run_types),
            runs.c.state.not_in([str(s) for s in RUN_ENDED]),
        )
        .order_by(runs.c.logical_date, runs.c.run_key)
    )
    return [(RunId(r.run_id), r.engine_id) for r in found]
