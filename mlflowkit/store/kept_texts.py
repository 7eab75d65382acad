"""Long texts in the store, each once, named by its hash."""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert_into

from mlflowkit.store import codec
from mlflowkit.store.tables import texts


def keep_text(tx: Connection, body: bytes) -> str:
    """Store a text, unless it is there. Returns its hash."""
    sha256 = codec.digest(body)
    new = {"sha256": sha256, "body": body}
    tx.execute(upsert_into(texts).on_conflict_do_nothing(), new)
    return sha256


def read_text(tx: Connection, sha256: str) -> bytes:
    body: bytes = tx.execute(
        select(texts.c.body).where(texts.c.sha256 == sha256)
    ).scalar_one()
    return body
