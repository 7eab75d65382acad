"""Connections and variables that stand in for the real ones, in this process: for tests.

They come before the environment, the secrets back end and the store; what a task writes
while they stand in stays here. Nothing is written to the environment or to a home.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

#: By id or key: the connection as JSON, the variable's text. Of all that are open, the
#: latest first.
_connections: list[Mapping[str, str]] = []
_variables: list[dict[str, str]] = []


@contextmanager
def standing_in(
    connections: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Generator[None, None, None]:
    """These answer inside the block, in all threads of this process.

    Args:
        connections: JSON by id.
        variables: Texts by key; None: variables are left alone.
    """
    mine, texts = dict(connections or {}), dict(variables or {})
    _connections.insert(0, mine)
    if variables is not None:
        _variables.insert(0, texts)
    try:
        yield
    finally:
        _drop(_connections, mine)
        _drop(_variables, texts)


def _drop(those: list[dict[str, str]] | list[Mapping[str, str]], one: object) -> None:
    for position, known in enumerate(those):
        if known is one:
            del those[position]
            return


def connection(conn_id: str) -> str | None:
    """The connection that stands in, as JSON, or None."""
    return next((those[conn_id] for those in _connections if conn_id in those), None)


def variable(key: str) -> str | None:
    """The text of the variable that stands in, or None."""
    return next((those[key] for those in _variables if key in those), None)


def keeps_variable(key: str, value: str) -> bool:
    """Keep a variable that is set, if any stand in; whether they do."""
    if _variables:
        _variables[0][key] = value
    return bool(_variables)


def drops_variable(key: str) -> bool | None:
    """Whether there was one to delete; None: none stand in."""
    if not _variables:
        return None
    there = any(key in those for those in _variables)
    for those in _variables:
        those.pop(key, None)
    return there


def answer(what: str, arguments: Mapping[str, str | None]) -> tuple[bool, str | None]:
    """A question of a task, answered by what stands in: whether it is, and the answer."""
    if what == "connection":
        found = connection(str(arguments["conn_id"]))
        return found is not None, found
    key = str(arguments.get("key"))
    if what == "variable":
        found = variable(key)
        return found is not None, found
    if what == "variable_set":
        return keeps_variable(key, str(arguments["value"])), None
    dropped = drops_variable(key) if what == "variable_delete" else None
    return dropped is not None, "yes" if dropped else None
