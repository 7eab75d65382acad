"""Files of connections, variables and pools in Airflow's formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflowkit.core.connection import Connection
from mlflowkit.errors import BadSecretsFile, InvalidConnection
from mlflowkit.hooks.secrets_files import (
    read_connections,
    read_pools,
    read_variables,
    written,
)

DB = Connection("db", "postgres", "h", "me", "p/w", 5432, "s", {"a": 1}, "words")
WEB = Connection("web", "http", "h.example")

FILES = {
    "c.json": json.dumps(
        {
            "db": {
                "conn_id": "db",
                "conn_type": "postgres",
                "description": "words",
                "host": "h",
                "login": "me",
                "password": "p/w",
                "port": "5432",
                "schema": "s",
                "extra": '{"a": 1}',
            },
            "web": ["http://h.example"],
        }
    ),
    "c.yaml": """
db:
  conn_type: postgres
  description: words
  host: h
  login: me
  password: p/w
  port: 5432
  schema: s
  extra_dejson:
    a: 1
web: http://h.example
""",
    "c.env": (
        "# two of them\n\nexport web='http://h.example'\n"
        'db={"conn_type": "postgres", "description": "words", "host": "h", "login": "me", '
        '"password": "p/w", "port": 5432, "schema": "s", "extra": {"a": 1}}\n'
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_connections_are_read_from_each_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    assert read_connections(tmp_path / name) == {"db": DB, "web": WEB}


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_what_is_written_is_read_back(tmp_path: Path, kind: str) -> None:
    entries = {each.conn_id: each.facts() for each in (DB, WEB)}
    path = tmp_path / f"c.{kind}"
    path.write_text(written(entries, kind))
    assert read_connections(path) == {"db": DB, "web": WEB}


def test_variables_are_texts_or_json_and_may_have_a_description(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(
        '{"a": "text", "b": {"x": 1}, "c": 5, "d": {"value": "v", "description": "w"}, '
        '"e": {"value": [1]}, "f": {"value": 1, "more": 2}}'
    )
    assert read_variables(path) == {
        "a": ("text", None),
        "b": ('{"x": 1}', None),
        "c": ("5", None),
        "d": ("v", "w"),
        "e": ("[1]", None),
        "f": ('{"value": 1, "more": 2}', None),
    }


def test_pools_have_slots(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "a: {slots: 5, description: few, include_deferred: true}\nb: {slots: -1}\n"
    )
    assert read_pools(path) == {"a": (5, "few"), "b": (-1, "")}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("c.txt", "", r"name it \.json, \.yaml"),
        ("gone.json", None, "No such file"),
        ("c.json", "{hush", r"it is no JSON \(line 1, column 2\)"),
        ("c.json", "[]", "no object of names and values"),
        ("c.json", '{"a": "http://x", "a": "http://y"}', "'a' stands in it twice"),
        ("c.json", '{"a": 5}', "connection 'a' is neither text nor an object"),
        ("c.yaml", "a: [hush", r"it is no YAML \(line \d\)"),
        ("c.env", "hush", "line 1 is not NAME=VALUE"),
        ("c.env", "a=http://x\na=http://y", "'a' stands in it twice"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_shows_nothing_of_it(
    tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadSecretsFile, match=why) as caught:
        read_connections(tmp_path / name)
    assert "hush" not in str(caught.value)


def test_a_connection_in_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a": {"password": "hush"}}')
    with pytest.raises(InvalidConnection, match="connection 'a'") as caught:
        read_connections(tmp_path / "c.json")
    assert "hush" not in str(caught.value)


def test_a_pool_without_slots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a": {"slots": "5"}}')
    with pytest.raises(BadSecretsFile, match="pool 'a'"):
        read_pools(tmp_path / "p.json")


def test_a_value_of_several_lines_has_no_place_in_an_env_file() -> None:
    with pytest.raises(BadSecretsFile, match="'a' has several lines"):
        written({"a": "one\ntwo"}, "env")
