"""The secrets of one store, opened: connections and variables with the keys of its home.

Used by an engine, for its tasks, and by a person's own process. Never by a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from mlflowkit.core.connection import Connection
from mlflowkit.errors import ConnectionExists, WrongFernetKey
from mlflowkit.store import around, connections, fernet, variables
from mlflowkit.store.database import Database

T = TypeVar("T")


class Vault:
    """Reads and writes secrets, each call in a transaction of its own.

    Every method raises WrongFernetKey or BadFernetKey where the keys do not fit.
    """

    def __init__(self, database: Database, home: Path) -> None:
        self._database, self._home = database, home

    # ── connections ─────────────────────────────────────────────────────────

    def connection(self, conn_id: str) -> Connection | None:
        """The connection of this id, or None."""

        def look() -> Connection | None:
            with self._database.reading() as tx:
                body = connections.connection_body(tx, conn_id)
            if body is None:
                return None
            return connections.open_connection(fernet.keys_of(self._home), conn_id, body)

        return _twice(look)

    def put_connection(self, connection: Connection, *, overwrite: bool = True) -> bool:
        """Store a connection. Returns whether one was replaced.

        Raises:
            ConnectionExists: there is one of this id, and it is not to be replaced.
        """
        with self._database.writing() as tx:
            there = connections.connection_body(tx, connection.conn_id) is not None
            if there and not overwrite:
                raise ConnectionExists(connection.conn_id)
            connections.put_connection(tx, fernet.keys_of(self._home), connection)
        return there

    def delete_connection(self, conn_id: str) -> bool:
        """Whether there was one to delete."""
        with self._database.writing() as tx:
            return connections.delete_connection(tx, conn_id)

    def list_connections(self) -> list[connections.ConnectionEntry]:
        """What is there; needs no key."""
        with self._database.reading() as tx:
            return connections.list_connections(tx)

    # ── variables ───────────────────────────────────────────────────────────

    def variable(self, key: str) -> str | None:
        """The value of this key, or None."""

        def look() -> str | None:
            with self._database.reading() as tx:
                body = variables.variable_body(tx, key)
            if body is None:
                return None
            return variables.open_variable(fernet.keys_of(self._home), key, body)

        return _twice(look)

    def put_variable(self, key: str, value: str, description: str | None = None) -> None:
        """Store a value; None keeps the description that is there."""
        with self._database.writing() as tx:
            variables.put_variable(tx, fernet.keys_of(self._home), key, value, description)

    def delete_variable(self, key: str) -> bool:
        """Whether there was one to delete."""
        with self._database.writing() as tx:
            return variables.delete_variable(tx, key)

    def list_variables(self) -> list[variables.VariableEntry]:
        """What is there; needs no key."""
        with self._database.reading() as tx:
            return variables.list_variables(tx)

    # ── keys ────────────────────────────────────────────────────────────────

    def rotate(self) -> tuple[int, int]:
        """Encrypt everything anew: with a new key in the key file, or, where
        MLFLOWKIT_FERNET_KEY is set, with its first key. All of it or nothing.

        Returns:
            How many connections and variables there are.
        """
        with self._database.writing() as tx:  # nobody encrypts with an old key meanwhile
            fernet.begin_rotation(self._home)
            keys = fernet.keys_of(self._home)
            done = (
                connections.encrypt_connections_again(tx, keys),
                variables.encrypt_variables_again(tx, keys),
            )
            around.encrypt_again(tx, keys)
        fernet.end_rotation(self._home)
        return done


def _twice(look: Callable[[], T]) -> T:
    """A rotation may end between the look at a row and the look at the keys."""
    try:
        return look()
    except WrongFernetKey:
        return look()


# ── what a task asks ────────────────────────────────────────────────────────


def _connection(vault: Vault, conn_id: str) -> str | None:
    found = vault.connection(conn_id)
    return found.to_json() if found is not None else None


def _variable(vault: Vault, key: str) -> str | None:
    return vault.variable(key)


def _variable_set(
    vault: Vault, key: str, value: str, description: str | None = None
) -> None:
    vault.put_variable(key, value, description)


def _variable_delete(vault: Vault, key: str) -> str | None:
    return "yes" if vault.delete_variable(key) else None


#: Answers to the questions of running tasks, by name: a text, or None.
ANSWERS: Final[Mapping[str, Callable[..., str | None]]] = {
    "connection": _connection,
    "variable": _variable,
    "variable_set": _variable_set,
    "variable_delete": _variable_delete,
}
