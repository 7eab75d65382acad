"""Where connections are found."""

from __future__ import annotations

import pytest

from mlflowkit.core.connection import Connection
from mlflowkit.errors import ConnectionMissing
from mlflowkit.hooks.base import add_lookup, get_connection, remove_lookup


def test_the_environment_defines_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_MY_DB", "postgres://u:p@h:1/s")
    expected = Connection("my-db", "postgres", "h", "u", "p", 1, "s")
    assert get_connection("my-db") == expected


def test_an_unknown_connection_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_WAREHOUSE", "postgres://h")
    with pytest.raises(ConnectionMissing) as caught:
        get_connection("warehause")
    assert "set the environment variable MLFLOWKIT_CONN_WAREHAUSE" in str(caught.value)
    assert "Did you mean 'warehouse'?" in str(caught.value)


def test_another_place_is_asked_after_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stored(conn_id: str) -> Connection | None:
        return Connection(conn_id, "stored") if conn_id in ("both", "stored") else None

    monkeypatch.setenv("MLFLOWKIT_CONN_BOTH", "aws://")
    add_lookup(stored)
    try:
        assert get_connection("stored").conn_type == "stored"
        assert get_connection("both").conn_type == "aws"
    finally:
        remove_lookup(stored)
    with pytest.raises(ConnectionMissing):
        get_connection("stored")
