"""Connections are read from both of Airflow's forms, and never show their secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.core.connection import Connection
from mlflowkit.errors import InvalidConnection

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
MAYBE = st.none() | TEXT
JSON = st.none() | st.booleans() | st.integers() | TEXT
CONNECTIONS = st.builds(
    Connection,
    conn_id=st.just("c"),
    conn_type=st.sampled_from(["aws", "postgres", "my_own"]),
    host=MAYBE,
    login=MAYBE,
    password=MAYBE,
    port=st.none() | st.integers(0, 65535),
    schema=MAYBE,
    extra=st.dictionaries(TEXT, JSON | st.dictionaries(TEXT, JSON, max_size=2), max_size=3),
)


def test_a_uri_is_read_part_by_part() -> None:
    uri = "my-type://me%40x:p%2Fw%3Aord@db.example:5432/my%2Fdb?a=1&b=two%20words&c="
    assert Connection.from_uri("c", uri) == Connection(
        conn_id="c",
        conn_type="my_type",
        host="db.example",
        login="me@x",
        password="p/w:ord",
        port=5432,
        schema="my/db",
        extra={"a": "1", "b": "two words", "c": ""},
    )


def test_a_uri_of_credentials_and_extras_alone_is_read() -> None:
    uri = (
        "aws://KEY:SEC%2FRET@/"
        "?endpoint_url=http%3A%2F%2F127.0.0.1%3A9000&region_name=eu-west-1"
    )
    assert Connection.from_uri("c", uri) == Connection(
        conn_id="c",
        conn_type="aws",
        login="KEY",
        password="SEC/RET",
        extra={"endpoint_url": "http://127.0.0.1:9000", "region_name": "eu-west-1"},
    )


def test_extras_that_are_no_plain_texts_travel_as_one_json() -> None:
    extra = {"verify": False, "config_kwargs": {"s3": {"addressing_style": "path"}}}
    connection = Connection("c", "aws", extra=extra)
    assert "__extra__=" in connection.to_uri()
    assert Connection.from_uri("c", connection.to_uri()).extra == extra


def test_a_host_with_a_protocol_of_its_own_keeps_it() -> None:
    found = Connection.from_uri("c", "http://https://example.org:8080/path")
    assert (found.conn_type, found.host, found.port) == (
        "http",
        "https://example.org",
        8080,
    )


def test_an_ipv6_host_is_read() -> None:
    found = Connection.from_uri("c", "postgresql://u@[::1]:5432/db")
    assert (found.conn_type, found.host, found.port) == ("postgres", "::1", 5432)


def test_json_is_read_with_extra_as_object_or_as_text() -> None:
    expected = Connection("c", "aws", login="k", password="s", port=1, extra={"a": [1]})
    for extra in ('{"a": [1]}', '"{\\"a\\": [1]}"'):
        facts = '"conn_type": "aws", "login": "k", "password": "s", "port": "1"'
        text = f'{{{facts}, "extra": {extra}}}'
        assert Connection.from_text("c", text) == expected


@given(CONNECTIONS)
def test_every_connection_comes_back_from_its_uri(connection: Connection) -> None:
    assert Connection.from_uri("c", connection.to_uri()) == connection


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2", "does not start with a type"),
        ("aws://u:hunter2@h:hunter2/x", "port is not a number"),
        ('{"conn_type": "aws", "password": "hunter2"', "no JSON (line 1"),
        ('{"password": "hunter2"}', 'no "conn_type"'),
        ('{"conn_type": "aws", "secret_key": "hunter2"}', "unknown fields secret_key"),
        ("aws://?__extra__=hunter2", "no JSON"),
    ],
)
def test_what_cannot_be_read_is_named_without_its_secret(text: str, says: str) -> None:
    with pytest.raises(InvalidConnection, match="connection 'c'") as caught:
        Connection.from_text("c", text)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_repr_masks_the_password_and_secret_extras() -> None:
    extra = {"aws_session_token": "hunter2", "deep": {"api_key": "hunter2"}, "region": "r"}
    shown = repr(Connection("c", "aws", login="me", password="hunter2", extra=extra))
    assert "hunter2" not in shown
    assert "login='me'" in shown
    assert "'region': 'r'" in shown
