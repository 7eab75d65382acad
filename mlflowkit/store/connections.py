"""Connections in the store, encrypted. Each function does one thing inside a transaction it
is given. A list names what is there and needs no key."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, select

from mlflowkit.core.connection import Connection
from mlflowkit.store.database import Transaction
from mlflowkit.store.fernet import Keys
from mlflowkit.store.prepared import upsert
from mlflowkit.store.tables import connections


class ConnectionEntry(NamedTuple):
    """A line of a list of connections: what is not secret of one."""

    conn_id: str
    conn_type: str
    description: str


def put_connection(tx: Transaction, keys: Keys, connection: Connection) -> None:
    """Store a connection, in the place of one with the same id."""
    row = {
        "conn_id": connection.conn_id,
        "conn_type": connection.conn_type,
        "description": connection.description or "",
        "body": keys.encrypt(connection.to_json()),
    }
    tx.execute(upsert(connections), row)


def connection_body(tx: Transaction, conn_id: str) -> bytes | None:
    """The encrypted connection of this id, or None. Without it no key is needed."""
    query = select(connections.c.body).where(connections.c.conn_id == conn_id)
    return tx.execute(query).scalar()


def open_connection(keys: Keys, conn_id: str, body: bytes) -> Connection:
    """What `connection_body` found, decrypted.

    Raises:
        WrongFernetKey: none of the keys fits.
    """
    text = keys.decrypt(body, f"the connection {conn_id!r}")
    return Connection.from_json(conn_id, text)


def get_connection(tx: Transaction, keys: Keys, conn_id: str) -> Connection | None:
    """The connection of this id, or None.

    Raises:
        WrongFernetKey: none of the keys fits.
    """
    body = connection_body(tx, conn_id)
    return open_connection(keys, conn_id, body) if body is not None else None


def list_connections(tx: Transaction) -> list[ConnectionEntry]:
    """All of them, by id."""
    columns = [connections.c[name] for name in ConnectionEntry._fields]
    found = tx.execute(select(*columns).order_by(connections.c.conn_id))
    return [ConnectionEntry(*row) for row in found]


def delete_connection(tx: Transaction, conn_id: str) -> bool:
    """Whether there was one to delete."""
    done = tx.execute(delete(connections).where(connections.c.conn_id == conn_id))
    return done.rowcount == 1


def encrypt_connections_again(tx: Transaction, keys: Keys) -> int:
    """Write all of them with the first key. Returns how many there are.

    Raises:
        WrongFernetKey: one of them was encrypted with none of the keys.
    """
    entries = list_connections(tx)
    for entry in entries:
        found = get_connection(tx, keys, entry.conn_id)
        assert found is not None
        put_connection(tx, keys, found)
    return len(entries)
