"""What a submitter had around them is kept with the run: no secret of it in clear."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select

from mlflowkit.ports import RunRequest, Surroundings
from mlflowkit.store import around, codec, fernet, kept_texts, published
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Database, open_database
from mlflowkit.store.new_runs import create_runs
from mlflowkit.store.publish import publish
from mlflowkit.store.tables import texts
from mlflowkit.store.vault import Vault
from tests.store.test_runs import REQUEST

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HIDDEN = {
    "MLFLOWKIT_CONN_DB": "postgres://me:first-Z1@h/s",
    "AIRFLOW_CONN_DB": '{"password": "second-Z2"}',
    "MLFLOWKIT_VAR_X": "third-Z3",
    "AWS_SECRET_ACCESS_KEY": "fourth-Z4",
    "github_token": "fifth-Z5",
    "PGPASSWORD": "sixth-Z6",
    "OPENAI_API_KEY": "seventh-Z7",
    "BROKER": "redis://:eighth-Z8@h:1/0",
}
SHOWN = {"PATH": "/bin", "HOME": "/home/me", "URL": "https://h:80/x@y", "LANG": "C"}
AROUND = Surroundings(
    python="/py", env={**SHOWN, **HIDDEN}, cwd="/x", sys_path=("/a",), umask=0o27
)
BESIDE = replace(REQUEST, dag_id="other", surroundings=AROUND)
MINE: RunRequest = replace(REQUEST, surroundings=AROUND, companions=(BESIDE,))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.delenv(fernet.VARIABLE, raising=False)
    opened = open_database(tmp_path)
    yield opened
    opened.close()


def shown(home: Path) -> list[str]:
    data = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    values = ["first-Z1", "second-Z2", "eighth-Z8", *HIDDEN.values()]
    return [one for one in values if one.encode() in data]


def read_back(store: Database, run_id: str) -> list[Surroundings]:
    """As a run, its companion, a published DAG, and all that are published have them."""
    with store.reading() as tx:
        run = stored.load_run(tx, run_id)
        (beside,) = stored.companions_of(tx, run_id)
        there = published.get(tx, "d")
        assert run is not None
        assert there is not None
        several = [one.surroundings for one in published.due(tx, NOW)]
        return [run.surroundings, beside.surroundings, there.surroundings, *several]


def test_secrets_of_the_environment_are_kept_encrypted_and_come_back_as_they_were(
    store: Database, tmp_path: Path
) -> None:
    with store.writing() as tx:
        first = stored.create_run(tx, MINE, "engine", NOW)
        plain = replace(MINE, companions=())
        (second, third) = create_runs(tx, [plain, plain], "engine", NOW)
        publish(tx, plain, NOW, paused=False, replace=False)
    assert (second.surroundings, third.surroundings) == (AROUND, AROUND)
    assert read_back(store, first) == [AROUND] * 3
    with store.reading() as tx:
        kept = tx.execute(select(func.count()).select_from(texts)).scalar()
        assert kept == 3, "the spec, the companions, and the surroundings once"
    assert shown(tmp_path) == []
    with store.writing() as tx:
        again = publish(tx, plain, NOW, paused=False, replace=False)
    assert again is False, "nothing has changed"


def test_a_rotation_of_keys_takes_them_along(store: Database, tmp_path: Path) -> None:
    with store.writing() as tx:
        run_id = stored.create_run(tx, MINE, "engine", NOW)
    before = (tmp_path / fernet.FILE).read_text()
    Vault(store, tmp_path).rotate()
    assert (tmp_path / fernet.FILE).read_text() != before
    with store.reading() as tx:
        found = stored.load_run(tx, run_id)
    assert found is not None
    assert found.surroundings == AROUND


def test_without_the_key_only_they_are_missing_and_the_log_says_so(
    store: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store.writing() as tx:
        run_id = stored.create_run(tx, MINE, "engine", NOW)
    kept = (tmp_path / fernet.FILE).read_text()
    (tmp_path / fernet.FILE).write_text(Fernet.generate_key().decode())
    with store.reading() as tx, caplog.at_level(logging.WARNING):
        found = stored.load_run(tx, run_id)
    assert found is not None
    assert found.surroundings == replace(AROUND, env=SHOWN)
    assert "the environment of a run was encrypted with another key" in caplog.text
    (tmp_path / fernet.FILE).write_text(kept)
    with store.reading() as tx:
        found = stored.load_run(tx, run_id)
    assert found is not None
    assert found.surroundings == AROUND


def test_where_nothing_is_secret_no_key_is_made(store: Database, tmp_path: Path) -> None:
    plain = replace(AROUND, env=SHOWN)
    with store.writing() as tx:
        sha256 = around.keep(tx, plain)
        assert around.read(tx, sha256) == plain
        assert kept_texts.read_text(tx, sha256) == codec.encode(plain)
    assert not (tmp_path / fernet.FILE).exists()
