"""Backfills: the runs of a span of time, made where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from mlflowkit.core.spec import RunId
from mlflowkit.core.states import RUN_ENDED, RunState
from mlflowkit.ports import RunRequest
from mlflowkit.store import codec
from mlflowkit.store.new_runs import create_runs
from mlflowkit.store.planned import planned_between
from mlflowkit.store.runs import StoredRun
from mlflowkit.store.tables import backfills, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A backfill that somebody wants. Plain data."""

    request: RunRequest
    #: Logical date, start and end of the data interval of each run, in the order of starting.
    runs: Sequence[tuple[datetime, datetime, datetime]]
    #: What to do with runs that are there: "" leaves them, "failed" or "all" run again.
    rerun: str = ""
    max_active: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a backfill has set going."""

    backfill_id: int
    created: list[RunId]
    #: Runs that are there and run again.
    again: list[RunId]
    #: Runs that are there and have not ended: those that nobody works on go on.
    unended: list[RunId]
    #: Runs that are there and were left as they are, with their states.
    left: list[tuple[RunId, str]]


def create(
    tx: Connection, order: Order, engine_id: str, now: datetime
) -> tuple[Outcome, list[StoredRun]]:
    """Make the runs that are missing. What is there is never made twice."""
    dates = [logical for logical, _, _ in order.runs]
    first, last = min(dates), max(dates)
    there = planned_between(tx, order.request.dag_id, first, last)
    row = {
        "dag_id": order.request.dag_id,
        "first": first,
        "last": last,
        "max_active": order.max_active,
        "run_ids": b"[]",
        "created_at": now,
    }
    backfill_id: int = tx.execute(
        insert(backfills).values(**row).returning(backfills.c.id)
    ).scalar_one()
    outcome = Outcome(backfill_id=backfill_id, created=[], again=[], unended=[], left=[])
    requests: list[RunRequest] = []
    for logical, start, end in order.runs:
        if (logical, end) in there:
            run_id, state = there[logical, end]
            if state not in RUN_ENDED:
                outcome.unended.append(run_id)
            elif _runs_again(order.rerun, state):
                outcome.again.append(run_id)
            else:
                outcome.left.append((run_id, str(state)))
            continue
        request = _of_backfill(order.request, backfill_id, logical, (start, end))
        requests.append(request)
    created = create_runs(tx, requests, engine_id, now)
    outcome.created.extend(one.run.run_id for one in created)
    tx.execute(
        update(backfills)
        .where(backfills.c.id == backfill_id)
        .values(run_ids=codec.encode([*outcome.created, *outcome.again]))
    )
    return outcome, created


def _runs_again(rerun: str, state: RunState) -> bool:
    return rerun == "all" or (rerun == "failed" and state is RunState.FAILED)


def _of_backfill(
    request: RunRequest,
    backfill_id: int,
    logical: datetime,
    interval: tuple[datetime, datetime],
) -> RunRequest:
    return replace(
        request,
        run_type="backfill",
        logical_date=logical,
        data_interval=interval,
        backfill_id=backfill_id,
    )


def limit_of(tx: Connection, backfill_id: int) -> int | None:
    """How many runs of it may be under way at once."""
    return tx.execute(
        select(backfills.c.max_active).where(backfills.c.id == backfill_id)
    ).scalar()


def withdraw(tx: Connection, run_ids: Sequence[RunId]) -> None:
    """Take runs back that never opened: nothing of them is left, and they may be made anew."""
    tx.execute(
        delete(runs).where(runs.c.run_id.in_(run_ids), runs.c.state == RunState.QUEUED)
    )


def queued_of(tx: Connection, backfill_id: int) -> list[RunId]:
    """Its runs that have not opened, in the order in which they were made."""
    found = tx.execute(
        select(runs.c.run_id)
        .where(runs.c.backfill_id == backfill_id, runs.c.state == RunState.QUEUED)
        .order_by(runs.c.run_key)
    ).scalars()
    return [RunId(one) for one in found]


class RunProgress(NamedTuple):
    """A run of a backfill."""

    run_id: RunId
    logical_date: datetime
    state: str
    reason: str
    started_at: datetime | None
    ended_at: datetime | None


def progress_of(
    tx: Connection, backfill_id: int, run_ids: Sequence[RunId]
) -> list[RunProgress]:
    """How runs of a backfill are, in the order of `run_ids`. What ended before it began is
    still to run again: "queued"."""
    began = tx.execute(
        select(backfills.c.created_at).where(backfills.c.id == backfill_id)
    ).scalar()
    columns = [runs.c[name] for name in RunProgress._fields]
    found: dict[str, RunProgress] = {}
    for first in range(0, len(run_ids), 500):
        some = runs.c.run_id.in_(run_ids[first : first + 500])
        for row in tx.execute(select(*columns).where(some)):
            one = RunProgress(*row)
            if began and one.ended_at and one.ended_at < began:
                one = one._replace(state=str(RunState.QUEUED), ended_at=None)
            found[one.run_id] = one
    return [found[run_id] for run_id in run_ids if run_id in found]
