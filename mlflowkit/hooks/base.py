"""Where connections are found: the environment, then the secrets back end, then the store.

`MLFLOWKIT_CONN_<ID>` holds a URI or JSON. In a task the store is the engine's: the engine
is asked. In a person's own process the store of the home is read. Every secret that is
found is hidden in logs before anybody gets it. Nothing here opens a connection.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mlflowkit.core.connection import ENV_PREFIX, Connection, look_up_with
from mlflowkit.errors import ConnectionMissing
from mlflowkit.hooks import secrets_backend, stand_ins, store_side
from mlflowkit.worker import masking

__all__ = [
    "PLACES",
    "BaseHook",
    "Connection",
    "Lookup",
    "add_lookup",
    "defined",
    "env_variable",
    "find_connection",
    "from_backend",
    "from_environment",
    "from_stand_ins",
    "from_store",
    "get_connection",
    "look_up",
    "remove_lookup",
]
#: A place that may know a connection: gives it, or None.
Lookup = Callable[[str], Connection | None]


def env_variable(conn_id: str) -> str:
    """The variable that defines a connection, e.g. MLFLOWKIT_CONN_AWS_DEFAULT."""
    return ENV_PREFIX + re.sub(r"\W", "_", conn_id).upper()


def from_stand_ins(conn_id: str) -> Connection | None:
    """The connection that stands in for the real one, in a test."""
    text = stand_ins.connection(conn_id)
    return Connection.from_json(conn_id, text) if text is not None else None


def from_environment(conn_id: str) -> Connection | None:
    """The connection that the environment defines, if it does."""
    text = os.environ.get(env_variable(conn_id), "")
    return Connection.from_text(conn_id, text) if text.strip() else None


def from_backend(conn_id: str) -> Connection | None:
    """The connection that the secrets back end of the settings knows, if there is one."""
    backend = secrets_backend.chosen_backend()
    return backend.get_connection(conn_id) if backend is not None else None


def from_store(conn_id: str) -> Connection | None:
    """The connection in the store of the home, if it has one."""
    text = store_side.ask("connection", conn_id=conn_id)
    return Connection.from_json(conn_id, text) if text is not None else None


#: The places, in the order in which they are asked.
_lookups: list[Lookup] = [from_stand_ins, from_environment, from_backend, from_store]
PLACES: Final[Mapping[Lookup, str]] = {
    from_stand_ins: "stand-ins of a test",
    from_environment: "environment",
    from_backend: "secrets back end",
    from_store: "store",
}


def add_lookup(lookup: Lookup) -> None:
    """Ask one more place, after those that are asked already. Twice is once."""
    if lookup not in _lookups:
        _lookups.append(lookup)


def remove_lookup(lookup: Lookup) -> None:
    """Ask this place no more. A place that was never added is no error."""
    if lookup in _lookups:
        _lookups.remove(lookup)


def look_up(conn_id: str) -> tuple[Connection, str] | None:
    """The connection of this id and the name of the place that knows it, or None."""
    for lookup in _lookups:
        found = lookup(conn_id)
        if found is not None:
            masking.hide(found.secrets(), f"the connection {conn_id!r}")
            return found, PLACES.get(lookup, "a place that was added")
    return None


def find_connection(conn_id: str) -> Connection | None:
    """The connection of this id, or None when no place knows it."""
    found = look_up(conn_id)
    return found[0] if found is not None else None


def get_connection(conn_id: str) -> Connection:
    """The connection of this id.

    Raises:
        ConnectionMissing: no place knows it; the message names the variable to set.
        InvalidConnection: it is defined, in a way that cannot be read.
        SecretsBackendFailed: the secrets back end could not say.
        WrongFernetKey: the store knows it, and was encrypted with another key.
    """
    connection = find_connection(conn_id)
    if connection is None:
        raise ConnectionMissing(conn_id, env_variable(conn_id), defined())
    return connection


def defined() -> Iterable[str]:
    """The ids that are known here; the store is read where it may be."""
    in_env = {
        name.removeprefix(ENV_PREFIX).lower()
        for name in os.environ
        if name.startswith(ENV_PREFIX)
    }
    return sorted(in_env.union(store_side.known("connections")))


look_up_with(get_connection)


class BaseHook:
    """What a user's own hook may start from, under Airflow's name."""

    def __init__(self, logger_name: str | None = None) -> None:
        self._logger_name = logger_name

    @property
    def log(self) -> logging.Logger:
        """Where it may say what it does."""
        name = getattr(self, "_logger_name", None) or type(self).__name__
        return logging.getLogger(f"mlflowkit.hooks.{name}")

    def get_conn(self) -> Any:
        """What talks to the other system: subclasses say."""
        raise NotImplementedError(f"{type(self).__name__} has no get_conn()")

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """The connection of this id; see `get_connection`."""
        return get_connection(conn_id)
