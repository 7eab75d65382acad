"""DAG runs in the store. Each function does one thing inside a transaction it is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert_into

from mlflowkit.core.decisions import Call, Decision, Kill, Launch
from mlflowkit.core.events import Event
from mlflowkit.core.machine import InstanceRow, NodeRow, Outcome, Run, RunRow, load
from mlflowkit.core.spec import AttemptId, DagSpec, RunId, TaskId
from mlflowkit.core.states import RUN_ENDED, RunState, TaskState
from mlflowkit.errors import RunExists
from mlflowkit.ports import RunRequest, Surroundings
from mlflowkit.store import codec
from mlflowkit.store.prepared import Prepared, upsert
from mlflowkit.store.tables import (
    dags,
    leases,
    nodes,
    outbox,
    run_log,
    runs,
    task_instances,
    texts,
)


class StoredRun(NamedTuple):
    """A run as the store has it, with all that its engine needs."""

    run_key: int
    run: Run
    bundle: str
    surroundings: Surroundings
    params: bytes
    facts: dict[str, Any]
    log_seq: int


class OutboxEntry(NamedTuple):
    entry_id: int
    run_key: int
    decision: Launch | Kill | Call


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
_SAVE_LOG = Prepared(insert(run_log), run_log.c.keys())
_SAVE_OUTBOX = Prepared(insert(outbox), outbox.c.keys())
_SAVE_SEQ = Prepared(
    update(runs).where(runs.c.run_key == bindparam("key")).values(log_seq=bindparam("seq")),
    ["key", "seq"],
)
_DROP_OUTBOX = Prepared(delete(outbox).where(outbox.c.id == bindparam("entry")), ["entry"])
_LEASE = select(leases.c.engine_id).where(leases.c.name == "engine")


# ── leases ──────────────────────────────────────────────────────────────────


def take_lease(tx: Connection, engine_id: str, pid: int, now: datetime) -> None:
    """From now on only this engine may write runs."""
    row = {"name": "engine", "engine_id": engine_id, "pid": pid, "taken_at": now}
    tx.execute(upsert(leases), row)


def lease_holder(tx: Connection) -> str | None:
    return tx.execute(_LEASE).scalar()


# ── runs ────────────────────────────────────────────────────────────────────


def keep_text(tx: Connection, body: bytes) -> str:
    sha256 = codec.digest(body)
    tx.execute(
        upsert_into(texts).on_conflict_do_nothing(), {"sha256": sha256, "body": body}
    )
    return sha256


def create_run(
    tx: Connection, request: RunRequest, engine_id: str | None, now: datetime
) -> RunId:
    """A new run in state queued. Its id is the DAG's and the next number."""
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
    logical = request.logical_date or now
    interval = request.data_interval or (logical, logical)
    tx.execute(
        insert(runs),
        {
            "run_id": run_id,
            "dag_id": request.dag_id,
            "number": number,
            "run_type": request.run_type,
            "state": RunState.QUEUED,
            "reason": "",
            "cancelled": False,
            "spec": keep_text(tx, request.spec_json),
            "surroundings": keep_text(tx, codec.encode(request.surroundings)),
            "bundle": request.bundle,
            "params": request.params_json,
            "notes": codec.encode(request.notes),
            "engine_id": engine_id,
            "log_seq": 0,
            "logical_date": logical,
            "data_interval_start": interval[0],
            "data_interval_end": interval[1],
            "created_at": now,
            "backfill_id": request.backfill_id,
            "companions": keep_text(tx, codec.encode(request.companions))
            if request.companions
            else None,
        },
    )
    return run_id


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
        surroundings=read_surroundings(tx, row["surroundings"]),
        params=row["params"],
        facts=facts,
        log_seq=row["log_seq"],
    )


def read_text(tx: Connection, sha256: str) -> bytes:
    body: bytes = tx.execute(
        select(texts.c.body).where(texts.c.sha256 == sha256)
    ).scalar_one()
    return body


def read_surroundings(tx: Connection, sha256: str) -> Surroundings:
    """Surroundings that were kept."""
    import msgspec

    return msgspec.json.decode(read_text(tx, sha256), type=Surroundings)


def run_key_of(tx: Connection, run_id: str) -> int:
    """The small number that stands for a run inside the store."""
    found: int = tx.execute(
        select(runs.c.run_key).where(runs.c.run_id == run_id)
    ).scalar_one()
    return found


def companions_of(tx: Connection, run_id: str) -> tuple[RunRequest, ...]:
    """The DAGs that came with a run, for its tasks to start."""
    import msgspec

    found = tx.execute(select(runs.c.companions).where(runs.c.run_id == run_id)).scalar()
    if found is None:
        return ()
    return msgspec.json.decode(read_text(tx, found), type=tuple[RunRequest, ...])


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
            surroundings=keep_text(tx, codec.encode(surroundings)),
        )
    )


def change_wish(tx: Connection, run_key: int, resume: str) -> None:
    """How notebooks of the run go on from now on: see `LaunchOrder.resume`."""
    tx.execute(update(runs).where(runs.c.run_key == run_key).values(resume=resume))


# ── a turn ──────────────────────────────────────────────────────────────────


def save_outcome(tx: Connection, run_key: int, outcome: Outcome) -> None:
    """The rows that changed, each once, as they are now."""
    if outcome.instances:
        _SAVE_INSTANCE.run(tx, [_instance(run_key, i) for i in outcome.instances.values()])
    if outcome.nodes:
        _SAVE_NODE.run(tx, [_node(run_key, n) for n in outcome.nodes.values()])
    if outcome.run is not None:
        row = outcome.run
        tx.execute(
            update(runs)
            .where(runs.c.run_key == run_key)
            .values(
                state=row.state,
                reason=row.reason,
                cancelled=row.cancelled,
                started_at=row.started_at,
                ended_at=row.ended_at,
            )
        )


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


def append_log(
    tx: Connection, run_key: int, seq: int, log: Sequence[tuple[Event, datetime]]
) -> int:
    """Append events to a run's log. Returns the new last sequence number."""
    rows = [
        {
            "run_key": run_key,
            "seq": seq + i,
            "at": at,
            "event": codec.encode_event(event),
        }
        for i, (event, at) in enumerate(log, start=1)
    ]
    _SAVE_LOG.run(tx, rows)
    _SAVE_SEQ.run(tx, [{"key": run_key, "seq": seq + len(rows)}])
    return seq + len(rows)


def read_log(tx: Connection, run_id: str) -> list[tuple[Event, datetime]]:
    """All that happened to a run, in order."""
    found = tx.execute(
        select(run_log.c.event, run_log.c.at)
        .join(runs, runs.c.run_key == run_log.c.run_key)
        .where(runs.c.run_id == run_id)
        .order_by(run_log.c.seq)
    )
    return [(codec.decode_event(r.event), r.at) for r in found]


# ── outbox ──────────────────────────────────────────────────────────────────


def last_outbox_id(tx: Connection) -> int:
    found: int = tx.execute(select(func.coalesce(func.max(outbox.c.id), 0))).scalar_one()
    return found


def put_outbox(
    tx: Connection, run_key: int, first_id: int, decisions: Iterable[Decision]
) -> list[OutboxEntry]:
    """Save the decisions that someone must carry out, numbered from `first_id`."""
    todo = [d for d in decisions if isinstance(d, Launch | Kill | Call)]
    entries = [OutboxEntry(first_id + i, run_key, d) for i, d in enumerate(todo)]
    if entries:
        _SAVE_OUTBOX.run(tx, [_outbox(e) for e in entries])
    return entries


def _outbox(entry: OutboxEntry) -> dict[str, Any]:
    decision = entry.decision
    return {
        "id": entry.entry_id,
        "run_key": entry.run_key,
        "kind": _kind(decision),
        "task_id": decision.attempt.task_id,
        "map_index": decision.attempt.map_index,
        "number": decision.attempt.number,
        "why": "" if isinstance(decision, Launch) else decision.why,
    }


def _kind(decision: Launch | Kill | Call) -> str:
    if isinstance(decision, Call):
        return f"call:{decision.kind}"
    return "kill" if isinstance(decision, Kill) else "launch"


def _decision(kind: str, attempt: AttemptId, why: str) -> Launch | Kill | Call:
    if kind.startswith("call:"):
        return Call(attempt, kind.removeprefix("call:"), why)
    return Kill(attempt, why) if kind == "kill" else Launch(attempt)


def drop_outbox(tx: Connection, entry_ids: Sequence[int]) -> None:
    """These were carried out."""
    if entry_ids:
        _DROP_OUTBOX.run(tx, [{"entry": i} for i in entry_ids])


def pending_calls(tx: Connection) -> list[OutboxEntry]:
    """Callbacks that were decided and may not have been made, oldest first, of all runs."""
    found = tx.execute(
        select(outbox, runs.c.run_id)
        .join(runs, runs.c.run_key == outbox.c.run_key)
        .where(outbox.c.kind.like("call:%"))
        .order_by(outbox.c.id)
    )
    entries: list[OutboxEntry] = []
    for r in found:
        attempt = AttemptId(RunId(r.run_id), TaskId(r.task_id), r.map_index, r.number)
        entries.append(OutboxEntry(r.id, r.run_key, _decision(r.kind, attempt, r.why)))
    return entries


def read_outbox(tx: Connection, run_key: int, run_id: RunId) -> list[OutboxEntry]:
    """What was decided for a run and may not have been carried out, oldest first."""
    found = tx.execute(
        select(outbox).where(outbox.c.run_key == run_key).order_by(outbox.c.id)
    )
    entries: list[OutboxEntry] = []
    for r in found:
        attempt = AttemptId(run_id, TaskId(r.task_id), r.map_index, r.number)
        entries.append(OutboxEntry(r.id, run_key, _decision(r.kind, attempt, r.why)))
    return entries
