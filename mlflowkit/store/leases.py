"""Which engine may write runs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from mlflowkit.store.prepared import upsert
from mlflowkit.store.tables import leases

_HOLDER = select(leases.c.engine_id).where(leases.c.name == "engine")


def take(tx: Connection, engine_id: str, pid: int, now: datetime) -> None:
    """From now on only this engine may write runs."""
    row = {"name": "engine", "engine_id": engine_id, "pid": pid, "taken_at": now}
    tx.execute(upsert(leases), row)


def holder(tx: Connection) -> str | None:
    """The engine that took it last."""
    return tx.execute(_HOLDER).scalar()
