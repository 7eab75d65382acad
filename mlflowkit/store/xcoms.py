"""XComs and ended attempts. An XCom is written in the transaction that records its attempt's success."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from mlflowkit.core.spec import AttemptId
from mlflowkit.core.values import StoredValue
from mlflowkit.store import codec
from mlflowkit.store.prepared import Prepared, upsert
from mlflowkit.store.tables import attempts, runs, xcoms

_COLUMNS = [c for c in xcoms.c if c.name not in ("run_key", "task_id", "attempt")]


_SAVE_XCOM = Prepared(upsert(xcoms), xcoms.c.keys())
_SAVE_ATTEMPT = Prepared(upsert(attempts), attempts.c.keys())


def xcom_row(
    run_key: int, attempt: AttemptId, key: str, value: StoredValue
) -> dict[str, Any]:
    return {
        "run_key": run_key,
        "task_id": attempt.task_id,
        "map_index": attempt.map_index,
        "key": key,
        "attempt": attempt.number,
        "codec": value.codec,
        "inline": value.inline,
        "artifact": value.artifact,
        "size": value.size,
        "length": value.length,
        "keys": codec.encode(value.keys) if value.keys is not None else None,
        "preview": value.preview,
    }


def attempt_row(
    run_key: int,
    attempt: AttemptId,
    outcome: str,
    *,
    reason: str,
    error: str,
    facts: Any,
    bundle: str,
    queued_at: datetime | None,
    started_at: datetime | None,
    ended_at: datetime,
) -> dict[str, Any]:
    return {
        "run_key": run_key,
        "task_id": attempt.task_id,
        "map_index": attempt.map_index,
        "number": attempt.number,
        "outcome": outcome,
        "reason": reason,
        "error": error,
        "facts": codec.encode(facts),
        "bundle": bundle,
        "queued_at": queued_at,
        "started_at": started_at,
        "ended_at": ended_at,
    }


def save_xcoms(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    _SAVE_XCOM.run(tx, rows)


def save_attempts(tx: Connection, rows: Sequence[dict[str, Any]]) -> None:
    _SAVE_ATTEMPT.run(tx, rows)


def forget_xcoms(tx: Connection, run_key: int, task_id: str, map_index: int) -> None:
    """What earlier attempts of a task instance gave, before a new one starts."""
    tx.execute(
        delete(xcoms).where(
            xcoms.c.run_key == run_key,
            xcoms.c.task_id == task_id,
            xcoms.c.map_index == map_index,
        )
    )


def _value(row: Any) -> StoredValue:
    return StoredValue(
        codec=row.codec,
        inline=row.inline,
        artifact=row.artifact,
        size=row.size,
        length=row.length,
        keys=tuple(codec.decode(row.keys)) if row.keys is not None else None,
        preview=row.preview,
    )


def stored_value(row: Any) -> StoredValue:
    """The value of a whole row, given as a mapping."""
    keys = row["keys"]
    names = ("codec", "inline", "artifact", "size", "length", "preview")
    return StoredValue(
        **{name: row[name] for name in names},
        keys=tuple(codec.decode(keys)) if keys is not None else None,
    )


def digest_of(tx: Connection, run_key: int, task_id: str, key: str) -> str:
    """A hash of what all instances of a mapped task gave under a key."""
    found = tx.execute(
        select(xcoms.c.map_index, xcoms.c.inline, xcoms.c.artifact)
        .where(xcoms.c.run_key == run_key, xcoms.c.task_id == task_id, xcoms.c.key == key)
        .order_by(xcoms.c.map_index)
    )
    return codec.digest(b"".join(repr(tuple(row)).encode() for row in found))


def facts_of_attempt(tx: Connection, run_key: int, attempt: AttemptId) -> dict[str, Any]:
    """What is kept of an attempt that has ended, and its times; empty if it has not."""
    found = tx.execute(
        select(attempts.c.facts, attempts.c.started_at, attempts.c.ended_at).where(
            attempts.c.run_key == run_key,
            attempts.c.task_id == attempt.task_id,
            attempts.c.map_index == attempt.map_index,
            attempts.c.number == attempt.number,
        )
    ).one_or_none()
    if found is None:
        return {}
    times = {"started_at": found.started_at, "ended_at": found.ended_at}
    return {**codec.decode(found.facts), **times}


def get_xcom(
    tx: Connection, run_key: int, task_id: str, key: str, map_index: int
) -> StoredValue | None:
    """One XCom, or None."""
    found = tx.execute(
        select(*_COLUMNS).where(
            xcoms.c.run_key == run_key,
            xcoms.c.task_id == task_id,
            xcoms.c.map_index == map_index,
            xcoms.c.key == key,
        )
    ).one_or_none()
    return _value(found) if found is not None else None


def of_attempt(
    tx: Connection, run_id: str, task_id: str, map_index: int, number: int
) -> dict[str, StoredValue]:
    """The XComs of a task instance by key, if they are those of this attempt."""
    found = tx.execute(
        select(*_COLUMNS)
        .join(runs, runs.c.run_key == xcoms.c.run_key)
        .where(
            runs.c.run_id == run_id,
            xcoms.c.task_id == task_id,
            xcoms.c.map_index == map_index,
            xcoms.c.attempt == number,
        )
    )
    return {row.key: _value(row) for row in found}


def page_xcoms(
    tx: Connection,
    run_key: int,
    task_id: str,
    key: str,
    *,
    offset: int = 0,
    limit: int = 1000,
) -> list[tuple[int, StoredValue]]:
    """XComs of a mapped task, by map index."""
    found = tx.execute(
        select(*_COLUMNS)
        .where(xcoms.c.run_key == run_key, xcoms.c.task_id == task_id, xcoms.c.key == key)
        .order_by(xcoms.c.map_index)
        .offset(offset)
        .limit(limit)
    )
    return [(r.map_index, _value(r)) for r in found]


def count_xcoms(tx: Connection, run_key: int, task_id: str, key: str) -> int:
    from sqlalchemy import func

    return tx.execute(
        select(func.count()).where(
            xcoms.c.run_key == run_key, xcoms.c.task_id == task_id, xcoms.c.key == key
        )
    ).scalar_one()


def keys_of(tx: Connection, run_key: int, task_id: str) -> list[str]:
    found = tx.execute(
        select(xcoms.c.key)
        .where(xcoms.c.run_key == run_key, xcoms.c.task_id == task_id)
        .distinct()
    )
    return sorted(r.key for r in found)


def run_key_of(tx: Connection, run_id: str) -> int | None:
    return tx.execute(select(runs.c.run_key).where(runs.c.run_id == run_id)).scalar()
