"""Variables in the store, encrypted. Each function does one thing inside a transaction it
is given. A value is a text; what it means is the caller's."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, select

from mlflowkit.store.database import Transaction
from mlflowkit.store.fernet import Keys
from mlflowkit.store.prepared import upsert
from mlflowkit.store.tables import variables


class VariableEntry(NamedTuple):
    """A line of a list of variables."""

    key: str
    description: str


def put_variable(
    tx: Transaction, keys: Keys, key: str, value: str, description: str | None = None
) -> None:
    """Store a value, in the place of an earlier one; None keeps the earlier description."""
    if description is None:
        query = select(variables.c.description).where(variables.c.key == key)
        description = tx.execute(query).scalar() or ""
    row = {"key": key, "body": keys.encrypt(value), "description": description}
    tx.execute(upsert(variables), row)


def variable_body(tx: Transaction, key: str) -> bytes | None:
    """The encrypted value of this key, or None. Without it no Fernet key is needed."""
    return tx.execute(select(variables.c.body).where(variables.c.key == key)).scalar()


def open_variable(keys: Keys, key: str, body: bytes) -> str:
    """What `variable_body` found, decrypted.

    Raises:
        WrongFernetKey: none of the keys fits.
    """
    return keys.decrypt(body, f"the variable {key!r}")


def get_variable(tx: Transaction, keys: Keys, key: str) -> str | None:
    """The value of this key, or None.

    Raises:
        WrongFernetKey: none of the keys fits.
    """
    body = variable_body(tx, key)
    return open_variable(keys, key, body) if body is not None else None


def list_variables(tx: Transaction) -> list[VariableEntry]:
    """All of them, by key."""
    query = select(variables.c.key, variables.c.description).order_by(variables.c.key)
    return [VariableEntry(*row) for row in tx.execute(query)]


def delete_variable(tx: Transaction, key: str) -> bool:
    """Whether there was one to delete."""
    return tx.execute(delete(variables).where(variables.c.key == key)).rowcount == 1


def encrypt_variables_again(tx: Transaction, keys: Keys) -> int:
    """Write all of them with the first key. Returns how many there are.

    Raises:
        WrongFernetKey: one of them was encrypted with none of the keys.
    """
    entries = list_variables(tx)
    for entry in entries:
        value = get_variable(tx, keys, entry.key)
        assert value is not None
        put_variable(tx, keys, entry.key, value)
    return len(entries)
