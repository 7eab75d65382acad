"""DAGs that were handed to the scheduler: their code, whether they are paused, what comes next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update

from mlflowkit.core.spec import DagSpec
from mlflowkit.core.timetable import (
    DagRunInfo,
    DataInterval,
)
from mlflowkit.ports import RunRequest, Surroundings
from mlflowkit.store import around, codec
from mlflowkit.store.kept_texts import read_text
from mlflowkit.store.prepared import Prepared
from mlflowkit.store.tables import published, runs, texts

#: Texts that are asked for at once.
_AT_ONCE = 500


class Published(NamedTuple):
    """A DAG as the scheduler has it."""

    dag_id: str
    spec: DagSpec
    spec_json: bytes
    bundle: str
    surroundings: Surroundings
    params_json: bytes
    origin: str
    paused: bool
    seen_at: datetime
    next: DagRunInfo | None
    last: DataInterval | None
    problem: str
    #: The folder that it was loaded from; empty if a person published it.
    folder: str = ""


class PublishedLine(NamedTuple):
    """A line of a list of DAGs."""

    dag_id: str
    origin: str
    paused: bool
    next_due: datetime | None
    next_start: datetime | None
    next_end: datetime | None
    problem: str
    folder: str
    file: str


#: What is noted of a DAG whose next run is to be worked out anew.
NOT_PLANNED = {"next_due": None, "next_start": None, "next_end": None, "problem": ""}


def row_of(tx: Connection, dag_id: str) -> Any:
    found = tx.execute(select(published).where(published.c.dag_id == dag_id))
    return found.mappings().one_or_none()


def get(tx: Connection, dag_id: str) -> Published | None:
    """A DAG with its code, or None."""
    row = row_of(tx, dag_id)
    return _published(tx, row) if row is not None else None


def from_request(request: RunRequest, now: datetime) -> Published:
    """A DAG that was never published, as it came with a run."""
    spec = codec.decode_spec(request.spec_json)
    return Published(
        spec.dag_id,
        spec,
        request.spec_json,
        request.bundle,
        request.surroundings,
        request.params_json,
        spec.origin,
        False,
        now,
        None,
        None,
        "",
    )


def from_latest_run(tx: Connection, dag_id: str) -> Published | None:
    """A DAG that was never published, as its latest run had it; None: it has no run."""
    found = tx.execute(
        select(runs).where(runs.c.dag_id == dag_id).order_by(runs.c.run_key.desc()).limit(1)
    )
    row = found.mappings().one_or_none()
    if row is None:
        return None
    spec_json = read_text(tx, row["spec"])
    spec = codec.decode_spec(spec_json)
    usual = {p.name: json.loads(p.default_json) for p in spec.params if p.default_json}
    return Published(
        dag_id,
        spec,
        spec_json,
        row["bundle"],
        around.read(tx, row["surroundings"]),
        json.dumps(usual).encode(),
        spec.origin,
        False,
        row["created_at"],
        None,
        None,
        "",
    )


def due(
    tx: Connection, now: datetime, but: Sequence[str] = (), limit: int = 200
) -> list[Published]:
    """DAGs whose next run is due, the longest waiting first."""
    found = tx.execute(
        select(published)
        .where(
            published.c.next_due <= now,
            published.c.paused.is_(False),
            published.c.dag_id.not_in(list(but)),
        )
        .order_by(published.c.next_due, published.c.dag_id)
        .limit(limit)
    ).mappings()
    return _all_of(tx, found)


def next_moment(tx: Connection, but: Sequence[str] = ()) -> datetime | None:
    """When the next run of any DAG is due."""
    return tx.execute(
        select(func.min(published.c.next_due)).where(
            published.c.paused.is_(False), published.c.dag_id.not_in(list(but))
        )
    ).scalar()


def unplanned(tx: Connection) -> list[Published]:
    """DAGs that go by the clock and have no next run, by id."""
    query = select(published).where(published.c.next_due.is_(None), published.c.by_clock)
    return _all_of(tx, tx.execute(query.order_by(published.c.dag_id)).mappings())


def watchers(tx: Connection) -> dict[str, set[str]]:
    """For each asset the DAGs that hear of its updates: those that are paused do not."""
    query = select(published.c.dag_id, published.c.asset_uris)
    hearing = query.where(published.c.asset_uris != "[]", published.c.paused.is_(False))
    found: dict[str, set[str]] = {}
    for dag_id, uris in tx.execute(hearing):
        for uri in json.loads(uris):
            found.setdefault(uri, set()).add(dag_id)
    return found


def lines(tx: Connection) -> list[PublishedLine]:
    """All of them, by id, without their code."""
    columns = [published.c[name] for name in PublishedLine._fields]
    found = tx.execute(select(*columns).order_by(published.c.dag_id))
    return [PublishedLine(*row) for row in found]


_SET_NEXT = Prepared(
    update(published)
    .where(published.c.dag_id == bindparam("key"))
    .values(
        next_due=bindparam("due"),
        next_start=bindparam("start"),
        next_end=bindparam("end"),
        problem=bindparam("why"),
    ),
    ["key", "due", "start", "end", "why"],
)


def set_next(
    tx: Connection, dag_id: str, info: DagRunInfo | None, problem: str = ""
) -> None:
    """What comes next; None: nothing by itself."""
    row = {
        "key": dag_id,
        "due": info.run_after if info else None,
        "start": info.data_interval.start if info else None,
        "end": info.data_interval.end if info else None,
        "why": problem,
    }
    _SET_NEXT.run(tx, [row])


_SET_LAST = Prepared(
    update(published)
    .where(published.c.dag_id == bindparam("key"))
    .values(last_start=bindparam("start"), last_end=bindparam("end")),
    ["key", "start", "end"],
)


def set_last(tx: Connection, dag_id: str, interval: DataInterval) -> None:
    """The interval of the last run that the schedule has made."""
    row = {"key": dag_id, "start": interval.start, "end": interval.end}
    _SET_LAST.run(tx, [row])


def set_paused(tx: Connection, dag_id: str, paused: bool, now: datetime) -> bool:
    """Whether there is such a DAG. Without catchup, nothing that was due while it was paused
    counts as missed."""
    values: dict[str, Any] = {"paused": paused}
    if not paused:
        values |= NOT_PLANNED | {"seen_at": now}
    found = tx.execute(
        update(published).where(published.c.dag_id == dag_id).values(**values)
    )
    return bool(found.rowcount)


def remove(tx: Connection, dag_id: str) -> bool:
    """Whether there was one. Its runs stay."""
    found = tx.execute(delete(published).where(published.c.dag_id == dag_id))
    return bool(found.rowcount)


def _all_of(tx: Connection, found: Iterable[Any]) -> list[Published]:
    """Rows with their texts, which many of them share."""
    rows = list(found)
    wanted = sorted({row[name] for row in rows for name in ("spec", "surroundings")})
    bodies: dict[str, bytes] = {}
    for first in range(0, len(wanted), _AT_ONCE):
        some = texts.c.sha256.in_(wanted[first : first + _AT_ONCE])
        bodies |= {r.sha256: r.body for r in tx.execute(select(texts).where(some))}
    places = {
        sha: around.opened(tx, bodies[sha]) for sha in {row["surroundings"] for row in rows}
    }
    return [_made(row, bodies[row["spec"]], places[row["surroundings"]]) for row in rows]


def in_folder(tx: Connection, folder: str) -> list[str]:
    """The DAGs that the scheduler has from a folder."""
    found = select(published.c.dag_id).where(published.c.folder == folder)
    return list(tx.execute(found.order_by(published.c.dag_id)).scalars())


def _published(tx: Connection, row: Any) -> Published:
    return _made(row, read_text(tx, row["spec"]), around.read(tx, row["surroundings"]))


def _made(row: Any, spec_json: bytes, surroundings: Surroundings) -> Published:
    next_ = None
    if row["next_due"] is not None:
        interval = DataInterval(row["next_start"], row["next_end"])
        next_ = DagRunInfo(row["next_due"], interval)
    last = None
    if row["last_end"] is not None:
        last = DataInterval(row["last_start"], row["last_end"])
    return Published(
        row["dag_id"],
        codec.decode_spec(spec_json),
        spec_json,
        row["bundle"],
        surroundings,
        row["params"],
        row["origin"],
        row["paused"],
        row["seen_at"],
        next_,
        last,
        row["problem"],
        row["folder"],
    )
