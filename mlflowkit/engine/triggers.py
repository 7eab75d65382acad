"""Runs of a DAG that a person or a task asks for, by the DAG's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.spec import RunId
from mlflowkit.engine.requests import manual_interval_of, request_of, with_params
from mlflowkit.engine.schedules import ITS_OWN, TRIGGERED
from mlflowkit.errors import BadRunId, RunExists
from mlflowkit.store import published
from mlflowkit.store import runs as stored
from mlflowkit.store.new_runs import new_run
from mlflowkit.store.pools import check_pools

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess
    from mlflowkit.ports import RunRequest
    from mlflowkit.store.database import Transaction
    from mlflowkit.store.published import Published

#: A run's own name: part of a path.
_RUN_ID: Final = re.compile(r"(?!\.{1,2}$)[\w.~:+-]{1,200}")


def trigger(
    engine: EngineProcess,
    dag_id: str,
    *,
    run_id: str | None = None,
    params: Mapping[str, Any] | None = None,
    logical_date: datetime | None = None,
    asked_by: str | None = None,
) -> RunId | None:
    """A run of a DAG, asked for by a person or a task: with its published code, else with
    the code that came with the asking run, else with that of its latest run. None: this
    home does not know it.

    Raises:
        BadRunId: its id cannot be one.
        RunExists: its id is taken.
        PoolMissing, BadPool: a task of it can never start.
        HomeUnwritable: it cannot be saved.
    """
    now = engine.now()
    with engine.saving() as tx:
        beside = stored.companions_of(tx, asked_by) if asked_by else ()
        one = _known(tx, dag_id, beside, now)
        if one is None:
            return None
        _check_id(tx, dag_id, run_id)
        check_pools(tx, one.spec)
        logical = logical_date.astimezone(UTC) if logical_date else now
        request = replace(
            with_params(request_of(one, _type_of(tx, asked_by)), params or {}),
            run_id=RunId(run_id) if run_id else None,
            logical_date=logical,
            data_interval=manual_interval_of(one, logical),
            companions=beside,
        )
        started = new_run(tx, request, engine.engine_id, now)
    engine.begin([started])
    return started.run.run_id


def _known(
    tx: Transaction, dag_id: str, beside: tuple[RunRequest, ...], now: datetime
) -> Published | None:
    one = published.get(tx, dag_id)
    for other in beside if one is None else ():
        one = published.from_request(other, now) if other.dag_id == dag_id else one
    return one or published.from_latest_run(tx, dag_id)


def _check_id(tx: Transaction, dag_id: str, run_id: str | None) -> None:
    """Raises BadRunId, RunExists."""
    if run_id is None:
        return
    if not _RUN_ID.fullmatch(run_id.removeprefix(f"{dag_id}/")):
        raise BadRunId(run_id)
    if stored.state_of(tx, run_id) is not None:
        raise RunExists(run_id)


def _type_of(tx: Transaction, asked_by: str | None) -> str:
    """What a scheduled run has started, the next scheduler takes up with it."""
    asking = stored.type_of(tx, asked_by) if asked_by else None
    return TRIGGERED if asking in ITS_OWN else "manual"
