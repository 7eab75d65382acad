"""What happened to a run, event by event, in its order. The rows are the truth; this can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from mlflowkit.core.events import Event
from mlflowkit.store import codec
from mlflowkit.store.prepared import Prepared
from mlflowkit.store.tables import run_log, runs

_SAVE = Prepared(insert(run_log), run_log.c.keys())
_SAVE_SEQ = Prepared(
    update(runs).where(runs.c.run_key == bindparam("key")).values(log_seq=bindparam("seq")),
    ["key", "seq"],
)


def append(
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
    _SAVE.run(tx, rows)
    _SAVE_SEQ.run(tx, [{"key": run_key, "seq": seq + len(rows)}])
    return seq + len(rows)


def read(tx: Connection, run_id: str) -> list[tuple[Event, datetime]]:
    """All that happened to a run, in order."""
    found = tx.execute(
        select(run_log.c.event, run_log.c.at)
        .join(runs, runs.c.run_key == run_log.c.run_key)
        .where(runs.c.run_id == run_id)
        .order_by(run_log.c.seq)
    )
    return [(codec.decode_event(r.event), r.at) for r in found]
