"""`mlflowkit connections`, `variables` and `pools` as a person types them."""

from __future__ import annotations

import json
import os
import pty
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.terminal import Answer, Terminal

PASSWORD = "pa/ss w:rd-ZUX9"
URI = "postgres://me:pa%2Fss%20w%3Ard-ZUX9@h:5432/s?api_key=EXTRA-77x&mode=a"


def piped(terminal: Terminal, text: str, *arguments: str) -> Answer:
    """A command with something on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "mlflowkit", *arguments],
        cwd=terminal.folder,
        env=terminal.environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def db(terminal: Terminal) -> Terminal:
    """A terminal whose store has the connection `db`."""
    added = piped(terminal, URI + "\n", "connections", "add", "db", "--conn-uri", "-")
    assert added == Answer(0, "connection db (postgres) was added\n", "")
    return terminal


def test_a_connection_is_added_listed_shown_and_deleted(db: Terminal) -> None:
    assert db("connections", "list", "--json").json() == [
        {"conn_id": "db", "conn_type": "postgres", "from": "store", "description": ""}
    ]
    shown = {
        "conn_id": "db",
        "from": "store",
        "conn_type": "postgres",
        "host": "h",
        "login": "me",
        "password": "***",
        "port": 5432,
        "schema": "s",
        "extra": {"api_key": "***", "mode": "a"},
    }
    assert db("connections", "get", "db", "--json").json() == shown
    plain = db("connections", "get", "db").out + db("connections", "list").out
    assert PASSWORD not in plain and "EXTRA" not in plain
    whole = db("connections", "get", "db", "--json", "--show-secrets").json()
    assert whole == {
        **shown,
        "password": PASSWORD,
        "extra": {"api_key": "EXTRA-77x", "mode": "a"},
        "uri": URI,
    }
    assert db("connections", "delete", "db") == Answer(0, "connection db was deleted\n", "")
    again = db("connections", "delete", "db")
    assert (again.status, "there is no connection 'db'" in again.err) == (2, True)
    assert db("connections", "list", "--json").json() == []


def test_a_connection_that_is_there_is_replaced_only_on_demand(db: Terminal) -> None:
    parts = ("connections", "add", "db", "--conn-type", "http", "--conn-host", "x")
    refused = db(*parts)
    assert (refused.status, "Give --overwrite" in refused.err) == (2, True)
    assert db(*parts, "--overwrite").out == "connection db (http) was replaced\n"
    assert db("connections", "get", "db", "--json").json() == {
        "conn_id": "db",
        "from": "store",
        "conn_type": "http",
        "host": "x",
    }


def test_a_password_is_asked_for_without_echo(terminal: Terminal) -> None:
    ours, theirs = pty.openpty()
    command = ["connections", "add", "web", "--conn-type", "http", "--conn-password", "-"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflowkit", *command],
        cwd=terminal.folder,
        env=terminal.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"Password" not in seen:
        seen += os.read(ours, 1024)
    os.write(ours, PASSWORD.encode() + b"\n")
    assert process.wait(timeout=120) == 0
    seen += os.read(ours, 4096)
    os.close(ours)
    assert PASSWORD.encode() not in seen
    found = terminal("connections", "get", "web", "--json", "--show-secrets").json()
    assert found["password"] == PASSWORD


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give one of them"),
        (("--conn-uri", "http://x", "--conn-type", "http"), "give one of them"),
        (("--conn-host", "x"), "--conn-type"),
        (("--conn-uri", "hush"), "does not start with a type"),
        (("--conn-json", '{"hush": 1, "conn_type": "x"}'), "unknown fields hush"),
        (
            ("--conn-type", "x", "--conn-password", "-", "--conn-extra", "-"),
            "one of them only",
        ),
    ],
)
def test_wrong_use_is_said_and_nothing_is_kept(
    terminal: Terminal, arguments: tuple[str, ...], why: str
) -> None:
    refused = terminal("connections", "add", "c", *arguments)
    assert refused.status == 2 and why in refused.err
    assert terminal("connections", "list", "--json").json() == []


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.env"])
def test_an_export_is_private_and_comes_back_by_an_import(db: Terminal, name: str) -> None:
    before = db("connections", "get", "db", "--json", "--show-secrets").json()
    (db.folder / name).write_text("older and longer " * 100)
    (db.folder / name).chmod(0o644)
    told = db("connections", "export", name)
    assert told == Answer(
        0, "", f"1 connections were written to {name}, with their secrets\n"
    )
    assert stat.S_IMODE((db.folder / name).stat().st_mode) == 0o600
    assert db("connections", "import", name).out == (
        "db: left as it was (--overwrite replaces it)\n"
    )
    assert db("connections", "import", name, "--overwrite").out == "db: replaced\n"
    db("connections", "delete", "db")
    assert db("connections", "import", name).out == "db: added\n"
    assert db("connections", "get", "db", "--json", "--show-secrets").json() == before


def test_rotating_keeps_everything_and_changes_the_key(db: Terminal) -> None:
    piped(db, "tok-123456", "variables", "set", "my_token", "-")
    before = (db.home / "fernet.key").read_text()
    assert db("connections", "rotate").out == (
        "1 connections and 1 variables were encrypted with the new key\n"
    )
    assert (db.home / "fernet.key").read_text() != before
    assert db("variables", "get", "my_token", "--show-secrets").out == "tok-123456\n"
    assert (
        db("connections", "get", "db", "--json", "--show-secrets").json()["login"] == "me"
    )


def test_a_wrong_key_is_said_with_status_two(db: Terminal) -> None:
    (db.home / "fernet.key").write_text("A" * 43 + "=")
    refused = db("connections", "get", "db")
    assert refused.status == 2
    assert "the connection 'db' was encrypted with another key" in refused.err
    assert db("connections", "list").status == 0


# ── connections test ────────────────────────────────────────────────────────


class _Web(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if "Authorization" in self.headers else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Web)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_http_connection_is_tried(terminal: Terminal, web: int) -> None:
    for name, login in (("in", "me:secret@"), ("out", "")):
        uri = f"http://{login}127.0.0.1:{web}"
        terminal("connections", "add", name, "--conn-uri", uri)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    terminal("connections", "add", "gone", "--conn-uri", f"http://127.0.0.1:{port}")
    found = {n: terminal("connections", "test", n) for n in ("in", "out", "gone")}
    at = f"http://127.0.0.1:{web}"
    assert found == {
        "in": Answer(0, f"in: works: {at} answers 200 OK\n", ""),
        "out": Answer(1, f"out: does not work: {at} answers 401 Unauthorized\n", ""),
        "gone": Answer(
            1,
            f"gone: does not work: http://127.0.0.1:{port} does not answer: ConnectError\n",
            "",
        ),
    }


def test_a_database_is_tried_and_what_has_no_test_is_said_to_have_none(
    terminal: Terminal,
) -> None:
    path = terminal.folder / "x.db"
    terminal("connections", "add", "db", "--conn-uri", f"sqlite:///{path}")
    terminal("connections", "add", "odd", "--conn-uri", "ftp://h")
    told = terminal("connections", "test", "db", "--json")
    assert (told.status, told.json()["works"]) == (0, True)
    assert terminal("connections", "test", "odd") == Answer(
        2, "odd: not tested: a connection of type ftp cannot be tested\n", ""
    )
    assert terminal("connections", "test", "none").status == 2


# ── variables ───────────────────────────────────────────────────────────────


def test_variables_are_set_shown_listed_and_deleted(terminal: Terminal) -> None:
    assert terminal("variables", "set", "region", "eu").out == "variable region was set\n"
    piped(
        terminal, "tok-123456\n", "variables", "set", "my_token", "-", "--description", "d"
    )
    assert terminal("variables", "get", "region").out == "eu\n"
    assert terminal("variables", "get", "my_token").out == "***\n"
    assert terminal("variables", "get", "my_token", "--show-secrets").out == "tok-123456\n"
    assert terminal("variables", "get", "none", "--default", "x").out == "x\n"
    assert terminal("variables", "get", "none").status == 2
    assert terminal("variables", "list", "--json").json() == [
        {"key": "my_token", "from": "store", "description": "d"},
        {"key": "region", "from": "store", "description": ""},
    ]
    with_values = terminal("variables", "list", "--json", "--show-values").json()
    assert [entry["value"] for entry in with_values] == ["***", "eu"]
    refused = terminal("variables", "set", "j", "{hush", "--is-json")
    assert (refused.status, "hush" in refused.err) == (2, False)
    assert terminal("variables", "delete", "region").out == "variable region was deleted\n"
    assert terminal("variables", "delete", "region").status == 2


def test_variables_come_and_go_in_airflows_files(terminal: Terminal) -> None:
    (terminal.folder / "v.json").write_text('{"a": "x", "b": {"n": 1}, "c": ""}')
    command = ("variables", "import", "v.json")
    assert terminal(*command).out == "a: added\nb: added\nc: added\n"
    (terminal.folder / "v.json").write_text('{"a": "y", "d": "z"}')
    skipped = terminal(*command, "--action-on-existing-key", "skip")
    assert skipped.out == "a: left as it was\nd: added\n"
    failed = terminal(*command, "--action-on-existing-key", "fail")
    assert (failed.status, "'a' is there already" in failed.err) == (2, True)
    assert terminal(*command).out == "a: replaced\nd: replaced\n"
    exported = terminal("variables", "export", "-")
    assert exported.json() == {"a": "y", "b": '{"n": 1}', "c": "", "d": "z"}
    assert terminal("variables", "export", "-", "--file-format", "env").out == (
        'a=y\nb={"n": 1}\nc=\nd=z\n'
    )


# ── pools ───────────────────────────────────────────────────────────────────


def test_pools_are_set_shown_listed_and_deleted(terminal: Terminal) -> None:
    default = {
        "name": "default_pool",
        "slots": 128,
        "description": "Tasks that name no pool",
    }
    assert terminal("pools", "list", "--json").json() == [default]
    assert terminal("pools", "set", "small", "2", "few").out == "pool small has 2 slots\n"
    assert terminal("pools", "set", "free", "-1").out == "pool free has unlimited slots\n"
    small = {"name": "small", "slots": 2, "description": "few"}
    assert terminal("pools", "get", "small", "--json").json() == small
    free = {"name": "free", "slots": -1, "description": ""}
    assert terminal("pools", "list", "--json").json() == [default, free, small]
    assert terminal("pools", "set", "small", "--", "-2").status == 2
    assert terminal("pools", "delete", "free").out == "pool free was deleted\n"
    refused = [
        terminal("pools", "delete", name).status for name in ("free", "default_pool")
    ]
    assert refused == [2, 2]


def test_pools_come_and_go_in_airflows_files(terminal: Terminal) -> None:
    terminal("pools", "set", "small", "2", "few")
    terminal("pools", "export", "p.json")
    exported = json.loads(Path(terminal.folder, "p.json").read_text())
    assert exported["small"] == {
        "slots": 2,
        "description": "few",
        "include_deferred": False,
    }
    Path(terminal.folder, "p.yaml").write_text("small: {slots: 9}\nnew: {slots: 1}\n")
    assert terminal("pools", "import", "p.yaml").out == "2 pools were set\n"
    listed = terminal("pools", "list", "--json").json()
    assert {p["name"]: p["slots"] for p in listed} == {
        "default_pool": 128,
        "new": 1,
        "small": 9,
    }
