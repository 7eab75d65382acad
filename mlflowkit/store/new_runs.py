"""Many new runs at once: at midnight a thousand DAGs are due in the same second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert_into

from mlflowkit.core.machine import RunRow, load
from mlflowkit.core.spec import DagSpec, RunId
from mlflowkit.ports import RunRequest, Surroundings
from mlflowkit.store import around, codec
from mlflowkit.store.prepared import Prepared
from mlflowkit.store.runs import FACTS, StoredRun, create_run, load_run, new_row
from mlflowkit.store.tables import dags, runs, texts

#: Names that a statement asks for at once.
AT_ONCE = 500
_KEEP = Prepared(upsert_into(texts).on_conflict_do_nothing(), texts.c.keys())
_COUNTER = upsert_into(dags)
_COUNT = Prepared(
    _COUNTER.on_conflict_do_update(
        index_elements=["dag_id"],
        set_={n: _COUNTER.excluded[n] for n in ("last_number", "origin")},
    ),
    dags.c.keys(),
)
_COLUMNS = [name for name in runs.c.keys() if name != "run_key"]  # noqa: SIM118
_ADD = Prepared(insert(runs), _COLUMNS)


def new_run(
    tx: Connection, request: RunRequest, engine_id: str, now: datetime
) -> StoredRun:
    """One new run in state queued, for the engine that goes on with it.

    Raises:
        RunExists: the request names an id that is taken.
    """
    found = load_run(tx, create_run(tx, request, engine_id, now))
    assert found is not None
    return found


def create_runs(
    tx: Connection, requests: Sequence[RunRequest], engine_id: str, now: datetime
) -> list[StoredRun]:
    """New runs in state queued, in order, as `runs.create_run` makes one. Their ids are their
    DAGs' and the next numbers: no request names its own."""
    bodies: dict[str, bytes] = {}
    specs: dict[bytes, DagSpec] = {}
    places: dict[int, str] = {}
    numbers = _Numbers(tx, {request.dag_id for request in requests})
    rows: list[dict[str, Any]] = []
    for request in requests:
        spec = specs.get(request.spec_json)
        if spec is None:
            spec = specs[request.spec_json] = codec.decode_spec(request.spec_json)
        number = numbers.next(request.dag_id, spec.origin)
        shared = places.get(id(request.surroundings))
        if shared is None:
            shared = places[id(request.surroundings)] = around.keep(
                tx, request.surroundings
            )
        run_id = f"{request.dag_id}/{number}"
        row = new_row(request, run_id, number, engine_id, now)
        spec_sha = _digest(bodies, request.spec_json)
        rows.append(row | {"spec": spec_sha, "surroundings": shared, "companions": None})
    _KEEP.run(tx, [{"sha256": sha, "body": body} for sha, body in bodies.items()])
    _COUNT.run(tx, numbers.rows(now))
    _ADD.run(tx, rows)
    keys = _keys(tx, [row["run_id"] for row in rows])
    return [
        _stored(row, keys[row["run_id"]], specs[request.spec_json], request.surroundings)
        for row, request in zip(rows, requests, strict=True)
    ]


def _digest(bodies: dict[str, bytes], body: bytes) -> str:
    sha = codec.digest(body)
    bodies[sha] = body
    return sha


def _stored(
    row: dict[str, Any], key: int, spec: DagSpec, surroundings: Surroundings
) -> StoredRun:
    return StoredRun(
        run_key=key,
        run=load(spec, RunRow(run_id=RunId(row["run_id"])), (), ()),
        bundle=row["bundle"],
        surroundings=surroundings,
        params=row["params"],
        facts={name: row[name] for name in FACTS},
        log_seq=0,
    )


def _keys(tx: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in chunks(run_ids):
        query = select(runs.c.run_id, runs.c.run_key).where(runs.c.run_id.in_(some))
        found |= {run_id: key for run_id, key in tx.execute(query)}
    return found


class _Numbers:
    """The next number of each DAG's runs; one that a person took for a run is passed over."""

    def __init__(self, tx: Connection, dag_ids: Iterable[str]) -> None:
        self._tx = tx
        self._last: dict[str, int] = {}
        self._origins: dict[str, str] = {}
        for some in chunks(sorted(dag_ids)):
            query = select(dags.c.dag_id, dags.c.last_number).where(dags.c.dag_id.in_(some))
            self._last |= {dag_id: last for dag_id, last in tx.execute(query)}
        taken = [f"{dag_id}/{last + 1}" for dag_id, last in self._last.items()]
        self._taken = _keys(tx, taken)

    def next(self, dag_id: str, origin: str) -> int:
        number = self._last.get(dag_id, 0) + 1
        named = self._taken or self._origins.get(dag_id) is not None
        while named and _keys(self._tx, [f"{dag_id}/{number}"]):
            number += 1
        self._last[dag_id], self._origins[dag_id] = number, origin
        return number

    def rows(self, now: datetime) -> list[dict[str, Any]]:
        return [
            {
                "dag_id": dag_id,
                "last_number": self._last[dag_id],
                "origin": origin,
                "created_at": now,
            }
            for dag_id, origin in self._origins.items()
        ]


def chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at once as a statement should ask for."""
    for first in range(0, len(names), AT_ONCE):
        yield names[first : first + AT_ONCE]
