"""Decisions that were saved with the state they follow from, until they are carried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from mlflowkit.core.decisions import Call, Decision, Kill, Launch
from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.store.prepared import Prepared
from mlflowkit.store.tables import outbox, runs


class OutboxEntry(NamedTuple):
    entry_id: int
    run_key: int
    decision: Launch | Kill | Call


_SAVE = Prepared(insert(outbox), outbox.c.keys())
_DROP = Prepared(delete(outbox).where(outbox.c.id == bindparam("entry")), ["entry"])


def last_id(tx: Connection) -> int:
    found: int = tx.execute(select(func.coalesce(func.max(outbox.c.id), 0))).scalar_one()
    return found


def put(
    tx: Connection, run_key: int, first_id: int, decisions: Iterable[Decision]
) -> list[OutboxEntry]:
    """Save the decisions that someone must carry out, numbered from `first_id`."""
    todo = [d for d in decisions if isinstance(d, Launch | Kill | Call)]
    entries = [OutboxEntry(first_id + i, run_key, d) for i, d in enumerate(todo)]
    if entries:
        _SAVE.run(tx, [_row(e) for e in entries])
    return entries


def _row(entry: OutboxEntry) -> dict[str, Any]:
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


def drop(tx: Connection, entry_ids: Sequence[int]) -> None:
    """These were carried out."""
    if entry_ids:
        _DROP.run(tx, [{"entry": i} for i in entry_ids])


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


def read(tx: Connection, run_key: int, run_id: RunId) -> list[OutboxEntry]:
    """What was decided for a run and may not have been carried out, oldest first."""
    found = tx.execute(
        select(outbox).where(outbox.c.run_key == run_key).order_by(outbox.c.id)
    )
    entries: list[OutboxEntry] = []
    for r in found:
        attempt = AttemptId(run_id, TaskId(r.task_id), r.map_index, r.number)
        entries.append(OutboxEntry(r.id, run_key, _decision(r.kind, attempt, r.why)))
    return entries
