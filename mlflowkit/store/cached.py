"""Results that are kept for equal code, inputs and parameters: where their values lie."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from mlflowkit.core.spec import AttemptId, RunId
from mlflowkit.core.values import StoredValue
from mlflowkit.store.prepared import upsert
from mlflowkit.store.tables import cached_results, runs, xcoms
from mlflowkit.store.xcoms import stored_value


class CachedResult(NamedTuple):
    run_id: RunId
    made_at: datetime
    values: list[tuple[str, StoredValue]]


def keep_result(
    tx: Connection, key: str, run_key: int, attempt: AttemptId, now: datetime
) -> None:
    """The XComs of this attempt are the result for `key`, in the place of an earlier one."""
    tx.execute(
        upsert(cached_results),
        {
            "key": key,
            "run_key": run_key,
            "task_id": attempt.task_id,
            "map_index": attempt.map_index,
            "made_at": now,
        },
    )


def kept_result(tx: Connection, key: str) -> CachedResult | None:
    """What was kept; None where nothing was, or where its values are gone."""
    found = tx.execute(
        select(cached_results, runs.c.run_id)
        .join(runs, runs.c.run_key == cached_results.c.run_key)
        .where(cached_results.c.key == key)
    ).one_or_none()
    if found is None:
        return None
    rows = tx.execute(
        select(xcoms).where(
            xcoms.c.run_key == found.run_key,
            xcoms.c.task_id == found.task_id,
            xcoms.c.map_index == found.map_index,
        )
    ).mappings()
    values = [(str(r["key"]), stored_value(r)) for r in rows]
    return CachedResult(RunId(found.run_id), found.made_at, values) if values else None
