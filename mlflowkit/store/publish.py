"""Handing a DAG to the scheduler: what is kept of one that was there, and what is not."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from mlflowkit.core.spec import DagSpec
from mlflowkit.core.timetable import (
    AssetOrTimeSchedule,
    AssetTriggeredTimetable,
    timetable_from_json,
    uris_of,
)
from mlflowkit.errors import PublishedElsewhere
from mlflowkit.ports import RunRequest
from mlflowkit.store import around, assets, codec
from mlflowkit.store.kept_texts import keep_text, read_text
from mlflowkit.store.prepared import upsert
from mlflowkit.store.published import NOT_PLANNED, row_of
from mlflowkit.store.tables import published


def publish(
    tx: Connection,
    request: RunRequest,
    now: datetime,
    *,
    paused: bool | None,
    replace: bool,
    folder: str = "",
    file: str = "",
) -> bool:
    """Hand a DAG to the scheduler, or give it newer code. Whether anything changed.

    Args:
        request: A run of it by hand: its spec, code, surroundings and parameters.
        paused: For one that is new; None: not. One that is there stays as it is.
        replace: Take the place of one of the same id from another file.
        folder, file: Where the scheduler has it from; empty if a person publishes it.

    Raises:
        PublishedElsewhere: the id belongs to another file.
    """
    spec = codec.decode_spec(request.spec_json)
    there = row_of(tx, spec.dag_id)
    if there is not None and not replace and not _is_ours(there, spec, folder):
        raise PublishedElsewhere(spec.dag_id, there["origin"])
    text = keep_text(tx, request.spec_json)
    changes = {
        "spec": text,
        "surroundings": around.keep(tx, request.surroundings),
        "bundle": request.bundle,
        "params": request.params_json,
        "origin": spec.origin,
        "folder": folder,
        "file": file,
    }
    if there is not None and all(there[name] == new for name, new in changes.items()):
        return False
    before = codec.decode_spec(read_text(tx, there["spec"])) if there is not None else None
    keeps = before is not None and _timing(before) == _timing(spec)
    row: dict[str, Any] = dict(there) if there is not None else _fresh(now, bool(paused))
    if not keeps:  # a schedule that was changed is planned anew, from where it has come to
        row |= NOT_PLANNED | {"seen_at": now}
    elif row["problem"] or "custom" in spec.timetable_json:  # newer code may know better
        row |= NOT_PLANNED
    facts = _facts(spec)
    if there is not None and there["asset_uris"] != facts["asset_uris"]:
        assets.forget_others(tx, spec.dag_id, json.loads(facts["asset_uris"]))
    row |= changes | facts | {"dag_id": spec.dag_id, "published_at": now}
    tx.execute(upsert(published), row)
    return True


def _is_ours(there: Any, spec: DagSpec, folder: str) -> bool:
    """Whether it is the same DAG: of the same file, or of the same folder of files."""
    if folder and there["folder"] == folder:
        return True
    return bool(there["origin"] == spec.origin)


def _facts(spec: DagSpec) -> dict[str, Any]:
    """What the scheduler asks of all DAGs, without reading their specs.

    Raises:
        BadTimetable: a later version wrote it.
    """
    timetable = timetable_from_json(spec.timetable_json)
    uris: set[str] = set()
    by_clock = timetable.can_be_scheduled
    if isinstance(timetable, AssetTriggeredTimetable):
        uris = set(uris_of(timetable.condition))
        by_clock = isinstance(timetable, AssetOrTimeSchedule)
    return {"by_clock": by_clock, "asset_uris": json.dumps(sorted(uris))}


def _timing(spec: DagSpec) -> tuple[object, ...]:
    return spec.timetable_json, spec.start_date, spec.end_date, spec.catchup


def _fresh(now: datetime, paused: bool) -> dict[str, Any]:
    nothing = ("next_due", "next_start", "next_end", "last_start", "last_end")
    return {**dict.fromkeys(nothing), "paused": paused, "seen_at": now, "problem": ""}
