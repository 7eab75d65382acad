"""Where connections are found: a list of places, asked in order.

The environment is the first place (`MLFLOWKIT_CONN_<ID>`, a URI or JSON); a store
adds itself with `add_lookup`. Nothing here opens a connection or shows a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Final

from mlflowkit.core.connection import Connection
from mlflowkit.errors import ConnectionMissing

#: A place that may know a connection: gives it, or None.
Lookup = Callable[[str], Connection | None]

ENV_PREFIX: Final = "MLFLOWKIT_CONN_"


def env_variable(conn_id: str) -> str:
    """The variable that defines a connection, e.g. MLFLOWKIT_CONN_AWS_DEFAULT."""
    return ENV_PREFIX + re.sub(r"\W", "_", conn_id).upper()


def from_environment(conn_id: str) -> Connection | None:
    """The connection that the environment defines, if it does."""
    text = os.environ.get(env_variable(conn_id), "")
    return Connection.from_text(conn_id, text) if text.strip() else None


_lookups: list[Lookup] = [from_environment]


def add_lookup(lookup: Lookup) -> None:
    """Ask one more place, after those that are asked already. Twice is once."""
    if lookup not in _lookups:
        _lookups.append(lookup)


def remove_lookup(lookup: Lookup) -> None:
    """Ask this place no more. A place that was never added is no error."""
    if lookup in _lookups:
        _lookups.remove(lookup)


def find_connection(conn_id: str) -> Connection | None:
    """The connection of this id, or None when no place knows it."""
    found = (lookup(conn_id) for lookup in list(_lookups))
    return next((connection for connection in found if connection is not None), None)


def get_connection(conn_id: str) -> Connection:
    """The connection of this id.

    Raises:
        ConnectionMissing: no place knows it; the message names the variable to set.
        InvalidConnection: it is defined, in a way that cannot be read.
    """
    connection = find_connection(conn_id)
    if connection is None:
        raise ConnectionMissing(conn_id, env_variable(conn_id), _defined())
    return connection


def _defined() -> Iterable[str]:
    return [
        name.removeprefix(ENV_PREFIX).lower()
        for name in os.environ
        if name.startswith(ENV_PREFIX)
    ]


class BaseHook:
    """What a user's own hook may start from, under Airflow's name."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """The connection of this id; see `get_connection`."""
        return get_connection(conn_id)
