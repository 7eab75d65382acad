"""DAG runs in the store. Each function does one thing inside a transaction it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert_into

from mlflowkit.core.machine import InstanceRow, NodeRow, Outcome, Run, RunRow, load
from mlflowkit.core.spec import DagSpec, RunId, TaskId
from mlflowkit.core.states import RUN_ENDED, RunState, TaskState
from mlflowkit.errors import RunExists
from mlflowkit.ports import RunRequest, Surroundings
from mlflowkit.store import around, codec
from mlflowkit.store.kept_texts import keep_text, read_text
from mlflowkit.store.prepared import Prepared, upsert
from mlflowkit.store.tables import dags, nodes, runs, task_instances


class StoredRun(NamedTuple):
    """A run as the store has it, with all that its engine needs."""

    run_key: int
    run: Run
    bundle: str
    surroundings: Surroundings
    params: bytes
    facts: dict[str, Any]
    log_seq: int


#: Columns that a run's tasks are told.
FACTS = (
    "dag_id",
    "run_id",
    "run_type",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "created_at",
    "backfill_id",
    "resume",
)
_SAVE_INSTANCE = Prepared(upsert(task_instances), task_instances.c.keys())
_SAVE_NODE = Prepared(upsert(nodes), nodes.c.keys())
_OF_RUN = ("state", "reason", "cancelled", "started_at", "ended_at")
_SAVE_RUN = Prepared(
    update(runs)
    .where(runs.c.run_key == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in _OF_RUN}),
    ["key", *(f"new_{name}" for name in _OF_RUN)],
)


def _numbered(tx: Connection, request: RunRequest, now: datetime) -> tuple[RunId, int]:
    """The id of a new run, and its DAG's next number.

    Raises:
        RunExists: the id that was asked for is taken.
    """
    spec = codec.decode_spec(request.spec_json)
    counter = upsert_into(dags).values(
        dag_id=request.dag_id, last_number=1, origin=spec.origin, created_at=now
    )
    number: int = tx.execute(
        counter.on_conflict_do_update(
            index_elements=["dag_id"],
            set_={
                "last_number": dags.c.last_number + 1,
                "origin": counter.excluded.origin,
            },
        ).returning(dags.c.last_number)
    ).scalar_one()
    run_id = RunId(f"{request.dag_id}/{number}")
    while request.run_id is None and state_of(tx, run_id) is not None:
        number += 1  # a person has given this one to a run of theirs
        run_id = RunId(f"{request.dag_id}/{number}")
        tx.execute(
            update(dags).where(dags.c.dag_id == request.dag_id).values(last_number=number)
        )
    if request.run_id is not None:
        run_id = request.run_id
        if state_of(tx, run_id) is not None:
            raise RunExists(run_id)
    return run_id, number


def create_run(
    tx: Connection, request: RunRequest, engine_id: str | None, now: datetime
) -> RunId:
    """A new run in state queued. Its id is the DAG's and the next number."""
    run_id, number = _numbered(tx, request, now)
    texts_of_it = {
        "spec": keep_text(tx, request.spec_json),
        "surroundings": around.keep(tx, request.surroundings),
        "companions": _keep_companions(tx, request.companions),
    }
    row = new_row(request, run_id, number, engine_id, now)
    tx.execute(insert(runs), row | texts_of_it)
    return run_id


def new_row(
    request: RunRequest, run_id: str, number: int, engine_id: str | None, now: datetime
) -> dict[str, Any]:
    """The row of a run in state queued, without its spec, surroundings and companions."""
    logical = request.logical_date or now
    start, end = request.data_interval or (logical, logical)
    return {
        "run_id": run_id,
        "dag_id": request.dag_id,
        "number": number,
        "run_type": request.run_type,
        "state": RunState.QUEUED,
        "reason": "",
        "cancelled": False,
        "bundle": request.bundle,
        "params": request.params_json,
        "notes": codec.encode(request.notes),
        "engine_id": engine_id,
        "log_seq": 0,
        "logical_date": logical,
        "data_interval_start": start,
        "data_interval_end": end,
        "created_at": now,
        "started_at": None,
        "ended_at": None,
        "backfill_id": request.backfill_id,
        "resume": "",
    }


def load_run(tx: Connection, run_id: str) -> StoredRun | None:
    """A run with its counters, made from its rows."""
    row = tx.execute(select(runs).where(runs.c.run_id == run_id)).mappings().one_or_none()
    if row is None:
        return None
    spec = codec.decode_spec(read_text(tx, row["spec"]))
    run_row = RunRow(
        run_id=RunId(row["run_id"]),
        state=RunState(row["state"]),
        reason=row["reason"],
        cancelled=row["cancelled"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
    key: int = row["run_key"]
    facts = {name: row[name] for name in FACTS}
    return StoredRun(
        run_key=key,
        run=load(spec, run_row, node_rows(tx, key), instance_rows(tx, key)),
        bundle=row["bundle"],
        surroundings=around.read(tx, row["surroundings"]),
        params=row["params"],
        facts=facts,
        log_seq=row["log_seq"],
    )


def run_key_of(tx: Connection, run_id: str) -> int:
    """The small number that stands for a run inside the store."""
    found: int = tx.execute(
        select(runs.c.run_key).where(runs.c.run_id == run_id)
    ).scalar_one()
    return found


def companions_of(tx: Connection, run_id: str) -> tuple[RunRequest, ...]:
    """The DAGs that came with a run, for its tasks to start."""
    import msgspec

    wanted = select(runs.c.companions, runs.c.surroundings)
    found = tx.execute(wanted.where(runs.c.run_id == run_id)).one_or_none()
    if found is None or found.companions is None:
        return ()
    beside = msgspec.json.decode(
        read_text(tx, found.companions), type=tuple[RunRequest, ...]
    )
    env = around.read(tx, found.surroundings).env
    return tuple(
        replace(one, surroundings=replace(one.surroundings, env=env)) for one in beside
    )


def _keep_companions(tx: Connection, beside: Sequence[RunRequest]) -> str | None:
    """The DAGs that come with a run; their environment is that of the run."""
    if not beside:
        return None
    light = [replace(one, surroundings=replace(one.surroundings, env={})) for one in beside]
    return keep_text(tx, codec.encode(light))


def state_of(tx: Connection, run_id: str) -> str | None:
    """The state of a run, or None."""
    return tx.execute(select(runs.c.state).where(runs.c.run_id == run_id)).scalar()


def type_of(tx: Connection, run_id: str) -> str | None:
    """What started a run (manual, scheduled, …), or None."""
    return tx.execute(select(runs.c.run_type).where(runs.c.run_id == run_id)).scalar()


def spec_of(tx: Connection, run_id: str) -> DagSpec | None:
    sha256 = tx.execute(select(runs.c.spec).where(runs.c.run_id == run_id)).scalar()
    return codec.decode_spec(read_text(tx, sha256)) if sha256 else None


def instance_rows(tx: Connection, run_key: int) -> list[InstanceRow]:
    """All task instances of a run that have a row."""
    found = tx.execute(select(task_instances).where(task_instances.c.run_key == run_key))
    names = [name for name in task_instances.c.keys() if name != "run_key"]  # noqa: SIM118
    return [InstanceRow(**_row(r, names)) for r in found.mappings()]


def _row(found: Any, names: list[str]) -> dict[str, Any]:
    return {name: found[name] for name in names} | {"state": TaskState(found["state"])}


def node_rows(tx: Connection, run_key: int) -> list[NodeRow]:
    """The tasks of a run that were expanded, or gave lengths."""
    found = tx.execute(select(nodes).where(nodes.c.run_key == run_key)).mappings()
    return [
        NodeRow(
            task_id=TaskId(r["task_id"]),
            length=r["length"],
            next_index=r["next_index"],
            lengths=codec.decode(r["lengths"]),
            left_out=codec.decode_left_out(r["left_out"]),
            waits_past=r["waits_past"],
        )
        for r in found
    ]


def unfinished(tx: Connection) -> list[tuple[RunId, str | None]]:
    """Runs that have not ended, oldest first, with the engine that owns each."""
    ended = [str(s) for s in RUN_ENDED]
    found = tx.execute(
        select(runs.c.run_id, runs.c.engine_id)
        .where(runs.c.state.not_in(ended))
        .order_by(runs.c.run_key)
    )
    return [(RunId(r.run_id), r.engine_id) for r in found]


def take_run(tx: Connection, run_key: int, engine_id: str) -> None:
    tx.execute(update(runs).where(runs.c.run_key == run_key).values(engine_id=engine_id))


def change_code(
    tx: Connection,
    run_key: int,
    bundle: str,
    spec_json: bytes,
    surroundings: Surroundings,
) -> None:
    """From now on the run uses another bundle."""
    tx.execute(
        update(runs)
        .where(runs.c.run_key == run_key)
        .values(
            bundle=bundle,
            spec=keep_text(tx, spec_json),
            surroundings=around.keep(tx, surroundings),
        )
    )


def change_wish(tx: Connection, run_key: int, resume: str) -> None:
    """How notebooks of the run go on from now on: see `LaunchOrder.resume`."""
    tx.execute(update(runs).where(runs.c.run_key == run_key).values(resume=resume))


def save_outcome(tx: Connection, run_key: int, outcome: Outcome) -> None:
    """The rows that changed, each once, as they are now."""
    if outcome.instances:
        _SAVE_INSTANCE.run(tx, [_instance(run_key, i) for i in outcome.instances.values()])
    if outcome.nodes:
        _SAVE_NODE.run(tx, [_node(run_key, n) for n in outcome.nodes.values()])
    if outcome.run is not None:
        values = {f"new_{name}": getattr(outcome.run, name) for name in _OF_RUN}
        _SAVE_RUN.run(tx, [{"key": run_key, **values}])


def _instance(run_key: int, row: InstanceRow) -> dict[str, Any]:
    return {
        "run_key": run_key,
        "task_id": row.task_id,
        "map_index": row.map_index,
        "state": row.state,
        "reason": row.reason,
        "attempt": row.attempt,
        "failures": row.failures,
        "lost": row.lost,
        "reschedules": row.reschedules,
        "first_started_at": row.first_started_at,
        "alarm": row.alarm,
        "stopping": row.stopping,
        "queued_at": row.queued_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def _node(run_key: int, row: NodeRow) -> dict[str, Any]:
    return {
        "run_key": run_key,
        "task_id": row.task_id,
        "length": row.length,
        "next_index": row.next_index,
        "lengths": codec.encode(row.lengths),
        "left_out": codec.encode(row.left_out),
        "waits_past": row.waits_past,
    }
