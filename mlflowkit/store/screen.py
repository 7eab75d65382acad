"""What a screen reads of a run: tallies and pages, never all of its instances at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select

from mlflowkit.core.machine import InstanceRow, NodeRow
from mlflowkit.core.screen import Tally, TaskRows, place_size
from mlflowkit.core.spec import UNMAPPED, DagSpec, TaskId
from mlflowkit.core.states import HOLDS_PLACE, TaskState
from mlflowkit.store import codec, leases
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction
from mlflowkit.store.tables import attempts, runs, task_instances, xcoms

_INSTANCE = [c for c in task_instances.c if c.name != "run_key"]
_REMOVED = str(TaskState.REMOVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """A run without its tasks. `stamp` is another one whenever something has changed."""

    run_key: int
    stamp: tuple[object, ...]
    spec_hash: str
    run_id: str
    dag_id: str
    run_type: str
    state: str
    reason: str
    cancelled: bool
    engine_id: str | None
    lease: str | None
    logical_date: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    notes: tuple[str, ...]
    params: dict[str, Any]


def head(tx: Transaction, run_id: str) -> RunHead | None:
    """A run without its tasks, or None."""
    same = ("run_id", "dag_id", "run_type", "state", "reason", "cancelled", "engine_id")
    times = ("logical_date", "created_at", "started_at", "ended_at")
    stamp = ("log_seq", "state", "spec", "engine_id")
    names = {*same, *times, *stamp, "run_key", "notes", "params"}
    query = select(*(runs.c[name] for name in sorted(names)))
    row = tx.execute(query.where(runs.c.run_id == run_id)).mappings().one_or_none()
    if row is None:
        return None
    return RunHead(
        run_key=row["run_key"],
        stamp=tuple(row[name] for name in stamp),
        spec_hash=row["spec"],
        lease=leases.holder(tx),
        notes=tuple(codec.decode(row["notes"])),
        params=codec.decode(row["params"]),
        **{name: row[name] for name in (*same, *times)},
    )


def rows_of_tasks(tx: Transaction, run_key: int, spec: DagSpec) -> dict[TaskId, TaskRows]:
    """For each task its one row, or the tallies of its instances. Strips come apart."""
    found = {task: TaskRows(node=NodeRow(task_id=task)) for task in spec.tasks}
    for node in stored.node_rows(tx, run_key):
        if node.task_id in found:
            found[node.task_id].node = node
    here = task_instances.c
    whole = select(*_INSTANCE).where(here.run_key == run_key, here.map_index == UNMAPPED)
    for row in _instances(tx, whole):
        if row.task_id in found and row.state is not TaskState.REMOVED:
            found[row.task_id].single = row
    if any(task.expansion is not None for task in spec.tasks.values()):
        for task_id, tally in _tallies(tx, run_key):
            if task_id in found:
                found[task_id].tallies.append(tally)
    return found


def _tallies(tx: Transaction, run_key: int) -> Iterator[tuple[TaskId, Tally]]:
    here = task_instances.c
    query = (
        select(
            here.task_id,
            here.state,
            func.count().label("count"),
            func.min(here.started_at).label("started_at"),
            func.max(here.ended_at).label("ended_at"),
        )
        .where(here.run_key == run_key, here.map_index >= 0, here.state != _REMOVED)
        .group_by(here.task_id, here.state)
    )
    for row in tx.execute(query).mappings():
        facts = {name: row[name] for name in ("count", "started_at", "ended_at")}
        yield TaskId(row["task_id"]), Tally(state=TaskState(row["state"]), **facts)


def strip_places(
    tx: Transaction, run_key: int, task_id: str, length: int
) -> frozenset[tuple[int, TaskState]]:
    """Which states stand at each place of a mapped task's strip."""
    here = task_instances.c
    place = here.map_index.op("/")(place_size(length))
    query = (
        select(place.label("place"), here.state)
        .where(
            here.run_key == run_key,
            here.task_id == task_id,
            here.map_index >= 0,
            here.state != _REMOVED,
        )
        .distinct()
    )
    return frozenset((int(r.place), TaskState(r.state)) for r in tx.execute(query))


def _instances(tx: Transaction, query: Select[Any]) -> list[InstanceRow]:
    found = [dict[str, Any](row) for row in tx.execute(query).mappings()]
    for row in found:
        row["state"] = TaskState(row["state"])
    return [InstanceRow(**row) for row in found]


def page(
    tx: Transaction,
    run_key: int,
    task_id: str,
    *,
    offset: int = 0,
    limit: int = 100,
    states: Collection[str] = (),
) -> tuple[int, list[InstanceRow]]:
    """How many instances of a task have a row, and some of them by index."""
    here = task_instances.c
    wanted = [here.run_key == run_key, here.task_id == task_id, here.state != _REMOVED]
    if states:
        wanted.append(here.state.in_([str(s) for s in states]))
    total: int = tx.execute(
        select(func.count()).select_from(task_instances).where(*wanted)
    ).scalar_one()
    query = select(*_INSTANCE).where(*wanted).order_by(here.map_index)
    return total, _instances(tx, query.offset(offset).limit(limit))


def instance(
    tx: Transaction, run_key: int, task_id: str, map_index: int
) -> InstanceRow | None:
    """One task instance, if it has a row."""
    here = task_instances.c
    query = select(*_INSTANCE).where(
        here.run_key == run_key, here.task_id == task_id, here.map_index == map_index
    )
    return next(iter(_instances(tx, query)), None)


def running(tx: Transaction, run_key: int, limit: int) -> list[InstanceRow]:
    """Instances that hold a place, the first ones of each task first."""
    here = task_instances.c
    out = [str(s) for s in HOLDS_PLACE]
    query = (
        select(*_INSTANCE)
        .where(here.run_key == run_key, here.state.in_(out))
        .order_by(here.map_index, here.task_id)
        .limit(limit)
    )
    return _instances(tx, query)


def started_instances(tx: Transaction, run_key: int, limit: int) -> list[InstanceRow]:
    """Instances that were ever queued: those that failed first, then by when they were."""
    here = task_instances.c
    bad = case((here.state == str(TaskState.FAILED), 0), else_=1)
    query = (
        select(*_INSTANCE)
        .where(here.run_key == run_key, here.attempt > 0, here.state != _REMOVED)
        .order_by(bad, here.first_started_at, here.task_id, here.map_index)
        .limit(limit)
    )
    return _instances(tx, query)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAttempt:
    """An attempt that has ended, for a bar."""

    task_id: str
    map_index: int
    number: int
    outcome: str
    reason: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime


def attempts_of_run(tx: Transaction, run_key: int, limit: int) -> list[EndedAttempt]:
    """Attempts that have ended, in the order in which they did."""
    columns = [attempts.c[name] for name in EndedAttempt.__dataclass_fields__]
    query = (
        select(*columns)
        .where(attempts.c.run_key == run_key)
        .order_by(attempts.c.ended_at)
        .limit(limit)
    )
    return [EndedAttempt(**row) for row in tx.execute(query).mappings()]


def xcoms_of(
    tx: Transaction, run_key: int, task_id: str, map_index: int
) -> list[dict[str, Any]]:
    """What a task instance gave: key, size, codec and one line of each value."""
    columns = [xcoms.c[n] for n in ("key", "codec", "size", "length", "preview", "attempt")]
    query = (
        select(*columns)
        .where(
            xcoms.c.run_key == run_key,
            xcoms.c.task_id == task_id,
            xcoms.c.map_index == map_index,
        )
        .order_by(xcoms.c.key)
        .limit(200)
    )
    return [dict(row) for row in tx.execute(query).mappings()]
