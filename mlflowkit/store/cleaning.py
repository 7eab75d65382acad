"""Which ended runs may lose what they hold, and what all others still refer to.

What a run was stays: its row, its states, its errors. What it holds goes: XComs, kept
results, values of failed attempts. A run that has not ended is never touched, nor is the
latest run of a DAG, nor the latest that succeeded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from mlflowkit.core.states import RUN_ENDED, RunState
from mlflowkit.core.values import StoredValue
from mlflowkit.ports import STORED
from mlflowkit.store import codec
from mlflowkit.store.tables import attempts, cached_results, outbox, published, runs, xcoms
from mlflowkit.store.xcoms import stored_value

#: In the folder of a run that was cleaned: when.
MARK = "cleaned.json"
#: Facts of an attempt that are values: the exception, and what a failed attempt pushed.
VALUE_FACTS = ("exception", "pushed")
_ENDED = [str(state) for state in RUN_ENDED]


def cleaned_at(run_folder: Path) -> str:
    """When a run was cleaned, in ISO format; empty if it was not."""
    with suppress(OSError, ValueError, KeyError):
        when: str = json.loads((run_folder / MARK).read_text())["at"]
        return when
    return ""


class OldRun(NamedTuple):
    """A run that may be cleaned."""

    run_key: int
    run_id: str


def old_runs(tx: Connection, before: datetime) -> list[OldRun]:
    """Runs that ended before a moment, oldest first, but those that are kept."""
    newest = select(func.max(runs.c.run_key)).group_by(runs.c.dag_id)
    succeeded = (
        select(func.max(runs.c.run_key))
        .where(runs.c.state == RunState.SUCCESS)
        .group_by(runs.c.dag_id)
    )
    unworked = select(outbox.c.run_key)
    found = tx.execute(
        select(runs.c.run_key, runs.c.run_id)
        .where(runs.c.state.in_(_ENDED), runs.c.ended_at < before)
        .where(
            runs.c.run_key.not_in(newest),
            runs.c.run_key.not_in(succeeded),
            runs.c.run_key.not_in(unworked),
        )
        .order_by(runs.c.run_key)
    )
    return [OldRun(*row) for row in found]


def empty(tx: Connection, run: OldRun, before: datetime) -> bool:
    """Let a run lose what it holds. False, and nothing is changed, if it may not any more."""
    if run not in old_runs(tx, before):
        return False
    mine = xcoms.c.run_key == run.run_key
    tx.execute(delete(xcoms).where(mine))
    tx.execute(delete(cached_results).where(cached_results.c.run_key == run.run_key))
    _empty_attempts(tx, run.run_key)
    params = tx.execute(select(runs.c.params).where(runs.c.run_key == run.run_key)).scalar()
    emptied = _without_values(params or b"{}")
    tx.execute(update(runs).where(runs.c.run_key == run.run_key).values(params=emptied))
    return True


def _empty_attempts(tx: Connection, run_key: int) -> None:
    keys = ("run_key", "task_id", "map_index", "number")
    for row in _attempts_with_values(tx, run_key):
        facts = codec.decode(row.facts)
        kept = {name: fact for name, fact in facts.items() if name not in VALUE_FACTS}
        same = [attempts.c[key] == getattr(row, key) for key in keys]
        tx.execute(update(attempts).where(*same).values(facts=codec.encode(kept)))


def _attempts_with_values(tx: Connection, run_key: int | None = None) -> list[Any]:
    query = select(attempts)
    if run_key is not None:
        query = query.where(attempts.c.run_key == run_key)
    return [r for r in tx.execute(query) if any(n.encode() in r.facts for n in VALUE_FACTS)]


def _without_values(params: bytes) -> bytes:
    """Parameters as they are shown: of one that lies in the artifact store, its preview."""
    found: dict[str, Any] = json.loads(params)
    for name, value in found.items():
        if isinstance(value, dict) and STORED in value:
            stored = cast("dict[str, Any]", value[STORED])
            found[name] = f"{stored.get('preview', '')} (cleaned away)"
    return json.dumps(found).encode()


def values(tx: Connection, without: set[int]) -> Iterator[StoredValue]:
    """Every value that the store refers to, but those of some runs."""
    for row in tx.execute(select(xcoms)).yield_per(1000).mappings():
        if row["run_key"] not in without:
            yield stored_value(row)
    for row in _attempts_with_values(tx):
        if row.run_key not in without:
            facts = codec.decode(row.facts)
            yield from _values_in([facts.get(name) for name in VALUE_FACTS])
    for run_key, params in tx.execute(select(runs.c.run_key, runs.c.params)):
        if run_key not in without and STORED.encode() in params:
            yield from _values_in(json.loads(params))
    for params in tx.execute(select(published.c.params)).scalars():
        yield from _values_in(json.loads(params))


def _values_in(found: object) -> Iterator[StoredValue]:
    """Stored values in plain data, at any depth."""
    if isinstance(found, dict):
        inside = cast("dict[str, object]", found)
        if {"codec", "size", "preview"} <= inside.keys():
            yield msgspec.convert(inside, StoredValue)
            return
        for inner in inside.values():
            yield from _values_in(inner)
    elif isinstance(found, list):
        for inner in cast("list[object]", found):
            yield from _values_in(inner)


def working_since(tx: Connection) -> datetime | None:
    """When the oldest run was made that has not ended; None if all have."""
    unended = runs.c.state.not_in(_ENDED)
    found: datetime | None = tx.execute(
        select(func.min(runs.c.created_at)).where(unended)
    ).scalar()
    return found
