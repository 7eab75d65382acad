"""Connections, variables and pools in the store: encrypted, upgraded, rotated."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import create_engine

from mlflowkit.core.connection import Connection
from mlflowkit.errors import BadFernetKey, BadPool, ConnectionExists, WrongFernetKey
from mlflowkit.store import connections, fernet, pools, variables
from mlflowkit.store.database import HEAD, Database, migrate, open_database
from mlflowkit.store.vault import Vault

PASSWORD = "pa/ss wörd-ZUX9"
DB = Connection(
    "db", "postgres", "h", "me", PASSWORD, 5432, "s", {"token": "EXTRA-77x"}, "mine"
)


@pytest.fixture(autouse=True)
def _no_key_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fernet.VARIABLE, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def vault(store: Database, tmp_path: Path) -> Vault:
    return Vault(store, tmp_path)


def bytes_of(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


# ── an earlier store ────────────────────────────────────────────────────────

RUN = (1, "d/1", "d", 1, "manual", "success", "", 0, "t", "t", "/b", b"{}", b"[]", 0)


def test_a_store_of_the_first_version_is_upgraded_with_its_runs_when_it_is_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    made = create_engine(f"sqlite:///{path}")
    migrate(made, "0001")
    made.dispose()
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO dags VALUES ('d', 1, 'o', '2026-01-01 00:00:00')")
        db.execute("INSERT INTO texts VALUES ('t', ?)", [b"{}"])
        db.execute(
            "INSERT INTO runs (run_key, run_id, dag_id, number, run_type, state, reason, "
            "cancelled, spec, surroundings, bundle, params, notes, log_seq, created_at) "
            f"VALUES ({', '.join('?' * len(RUN))}, '2026-01-01 00:00:00')",
            RUN,
        )
        db.commit()
    opened = open_database(tmp_path)
    with opened.writing() as tx:
        keys = fernet.keys_of(tmp_path)
        connections.put_connection(tx, keys, DB)
        assert connections.get_connection(tx, keys, "db") == DB
        assert pools.get_pools(tx) == {"default_pool": 128}
    opened.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        kept = db.execute("SELECT run_id, state, bundle FROM runs").fetchall()
        assert kept == [("d/1", "success", "/b")]


# ── what goes in comes out ──────────────────────────────────────────────────


def test_a_connection_comes_out_as_it_went_in_and_lies_there_encrypted(
    vault: Vault, tmp_path: Path
) -> None:
    assert vault.put_connection(DB) is False
    assert vault.connection("db") == DB
    assert vault.connection("other") is None
    assert vault.list_connections() == [("db", "postgres", "mine")]
    everything = bytes_of(tmp_path)
    for secret in (PASSWORD, "EXTRA-77x", "5432"):
        assert secret.encode() not in everything


def test_a_connection_is_replaced_only_where_that_is_wanted(vault: Vault) -> None:
    vault.put_connection(DB)
    with pytest.raises(ConnectionExists, match="--overwrite"):
        vault.put_connection(Connection("db", "http"), overwrite=False)
    assert vault.connection("db") == DB
    assert vault.put_connection(Connection("db", "http")) is True
    assert vault.connection("db") == Connection("db", "http")
    assert [vault.delete_connection("db"), vault.delete_connection("db")] == [True, False]
    assert vault.list_connections() == []


def test_a_variable_keeps_its_description_when_only_its_value_changes(
    vault: Vault, tmp_path: Path
) -> None:
    vault.put_variable("k", "first-VALUE-9", "what it is for")
    vault.put_variable("k", "second-VALUE-9")
    assert vault.variable("k") == "second-VALUE-9"
    assert vault.list_variables() == [("k", "what it is for")]
    assert b"VALUE-9" not in bytes_of(tmp_path)
    assert [vault.delete_variable("k"), vault.delete_variable("k")] == [True, False]
    assert vault.variable("k") is None


def test_the_default_pool_is_always_there(store: Database) -> None:
    with store.writing() as tx:
        assert pools.get_pools(tx) == {"default_pool": 128}
        pools.put_pool(tx, "small", 2, "few")
        pools.put_pool(tx, "free", -1)
        pools.put_pool(tx, "default_pool", 4)
        assert pools.get_pools(tx) == {"default_pool": 4, "free": -1, "small": 2}
        pools.put_pool(tx, "small", 0)
        assert [pools.delete_pool(tx, "free"), pools.delete_pool(tx, "free")] == [
            True,
            False,
        ]
        assert pools.list_pools(tx) == [("default_pool", 4, ""), ("small", 0, "")]
        with pytest.raises(BadPool, match="always there"):
            pools.delete_pool(tx, "default_pool")


@pytest.mark.parametrize(("name", "slots"), [("", 1), (" ", 1), ("x" * 251, 1), ("p", -2)])
def test_a_pool_that_cannot_be_is_refused(store: Database, name: str, slots: int) -> None:
    with pytest.raises(BadPool), store.writing() as tx:
        pools.put_pool(tx, name, slots)


# ── keys ────────────────────────────────────────────────────────────────────


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_file_is_made_once_and_only_its_owner_may_read_it(
    vault: Vault, tmp_path: Path
) -> None:
    assert vault.connection("db") is None
    assert not (tmp_path / "fernet.key").exists()
    vault.put_connection(DB)
    key = (tmp_path / "fernet.key").read_text()
    vault.put_variable("k", "v")
    assert (tmp_path / "fernet.key").read_text() == key
    assert mode_of(tmp_path / "fernet.key") == 0o600
    assert mode_of(tmp_path / "store.db") == 0o600
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


MAKE = """
import sys
from pathlib import Path
from mlflowkit.store.fernet import keys_of
sys.stdin.readline()
print(keys_of(Path(sys.argv[1])).encrypt("x").decode())
"""


def test_several_processes_may_make_the_key_at_once(tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    tokens = [maker.communicate("go\n", timeout=120)[0].strip() for maker in makers]
    keys = fernet.keys_of(tmp_path)
    assert [keys.decrypt(token.encode(), "x") for token in tokens] == ["x"] * 4
    assert [p.name for p in tmp_path.iterdir()] == ["fernet.key"]


def test_a_wrong_key_names_what_to_do(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put_connection(DB)
    (tmp_path / "fernet.key").write_text(Fernet.generate_key().decode())
    with pytest.raises(WrongFernetKey) as caught:
        vault.connection("db")
    told = str(caught.value)
    assert "the connection 'db' was encrypted with another key" in told
    assert "append it to MLFLOWKIT_FERNET_KEY" in told
    assert vault.list_connections() == [("db", "postgres", "mine")]  # needs none
    vault.put_connection(DB)  # defined anew
    assert vault.connection("db") == DB


@pytest.mark.parametrize("text", ["", "short", "\xff\xfe"])
def test_what_is_no_key_is_said_to_be_none_and_not_shown(
    vault: Vault, tmp_path: Path, text: str
) -> None:
    (tmp_path / "fernet.key").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadFernetKey) as caught:
        vault.put_connection(DB)
    assert "fernet.key holds no usable Fernet key" in str(caught.value)
    assert "short" not in str(caught.value)


def test_keys_of_the_environment_come_first_and_those_of_the_file_still_open(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put_variable("old", "by the file")
    new = Fernet.generate_key().decode()
    monkeypatch.setenv(fernet.VARIABLE, new)
    vault.put_variable("new", "by the environment")
    assert [vault.variable("old"), vault.variable("new")] == [
        "by the file",
        "by the environment",
    ]
    (tmp_path / "fernet.key").unlink()
    assert vault.variable("new") == "by the environment"
    with pytest.raises(WrongFernetKey, match="the variable 'old'"):
        vault.variable("old")
    assert not (tmp_path / "fernet.key").exists()


# ── rotation ────────────────────────────────────────────────────────────────


def test_after_a_rotation_only_the_new_key_is_needed(vault: Vault, tmp_path: Path) -> None:
    vault.put_connection(DB)
    vault.put_variable("k", "v", "words")
    old = (tmp_path / "fernet.key").read_text()
    assert vault.rotate() == (1, 1)
    new = (tmp_path / "fernet.key").read_text()
    assert len(new.split()) == 1 and new != old
    assert mode_of(tmp_path / "fernet.key") == 0o600
    assert vault.connection("db") == DB
    assert (vault.variable("k"), vault.list_variables()) == ("v", [("k", "words")])
    (tmp_path / "fernet.key").write_text(old)
    with pytest.raises(WrongFernetKey):
        vault.connection("db")


def test_keys_of_the_environment_rotate_as_in_airflow(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    monkeypatch.setenv(fernet.VARIABLE, old)
    vault.put_connection(DB)
    monkeypatch.setenv(fernet.VARIABLE, f"{new},{old}")
    assert vault.connection("db") == DB
    assert vault.rotate() == (1, 0)
    monkeypatch.setenv(fernet.VARIABLE, new)
    assert vault.connection("db") == DB
    assert not (tmp_path / "fernet.key").exists()


def test_a_rotation_that_fails_changes_nothing_that_is_stored(
    vault: Vault, store: Database, tmp_path: Path
) -> None:
    vault.put_connection(DB)
    strange = fernet.Keys([Fernet(Fernet.generate_key())], "elsewhere")
    with store.writing() as tx:
        variables.put_variable(tx, strange, "lost", "x")
    with pytest.raises(WrongFernetKey, match="the variable 'lost'"):
        vault.rotate()
    assert vault.connection("db") == DB
    vault.delete_variable("lost")
    assert vault.rotate() == (1, 0)
    assert vault.connection("db") == DB
    assert len((tmp_path / "fernet.key").read_text().split()) == 1
