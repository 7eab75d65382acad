"""The migrations make the tables that the code has, and a store that cannot be used says why."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect

from mlflowkit.core.states import RunState, TaskState
from mlflowkit.errors import (
    HomeOnNetwork,
    HomeUnwritable,
    StoreDamaged,
    StoreOfOtherVersion,
)
from mlflowkit.settings import home as settings_home
from mlflowkit.store import database
from mlflowkit.store.database import HEAD, open_database
from mlflowkit.store.tables import metadata


def test_head_is_the_newest_migration() -> None:
    config = Config()
    place = Path(database.__file__).parent / "migrations"
    config.set_main_option("script_location", str(place))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def from_nothing(path: Path) -> Engine:
    """A store that all migrations have made, one after the other."""
    engine = create_engine(f"sqlite:///{path}")
    database.migrate(engine, HEAD)
    return engine


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    with from_nothing(tmp_path / "migrated.db").connect() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_new_store_has_all_that_the_migrations_make(tmp_path: Path) -> None:
    """Also what Alembic does not compare: CHECKs, keys, defaults, conditions of indexes."""
    open_database(tmp_path).close()
    new = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    migrated = from_nothing(tmp_path / "migrated.db")
    there = inspect(new).get_table_names()
    assert there == inspect(migrated).get_table_names()
    assert set(there) == {*metadata.tables, "alembic_version"}
    for table in there:
        for ask in ("get_check_constraints", "get_pk_constraint", "get_foreign_keys"):
            asked = getattr(inspect(new), ask)(table)
            assert asked == getattr(inspect(migrated), ask)(table), (table, ask)
        assert columns_of(new, table) == columns_of(migrated, table), table
        assert indexes_of(new, table) == indexes_of(migrated, table), table
    revisions = [
        engine.connect().exec_driver_sql("SELECT * FROM alembic_version").all()
        for engine in (new, migrated)
    ]
    assert revisions == [[(HEAD,)], [(HEAD,)]]


def columns_of(engine: Engine, table: str) -> list[tuple[Any, ...]]:
    """Name, type, NOT NULL, default, place in the key. In no order: later ones stand last."""
    with engine.connect() as tx:
        found = tx.exec_driver_sql(f"PRAGMA table_xinfo({table})").all()
    return sorted(tuple(column)[1:] for column in found)


def indexes_of(engine: Engine, table: str) -> list[tuple[Any, ...]]:
    """Name, the words that made it, and its columns."""
    asked = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
    with engine.connect() as tx:
        return sorted(
            (
                name,
                " ".join((sql or "").split()),
                [c.name for c in tx.exec_driver_sql(f"PRAGMA index_info({name})")],
            )
            for name, sql in tx.exec_driver_sql(asked, (table,)).all()
        )


def test_a_new_store_needs_no_migration_and_loads_nothing_that_migrates(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from mlflowkit.store.database import open_database;"
        "open_database(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "False\n"


def test_a_new_store_whose_making_is_broken_off_is_made_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database, "HEAD", object())  # the last statement fails
        with pytest.raises(StoreDamaged):
            open_database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    open_database(tmp_path).close()
    assert (tmp_path / "store.db").stat().st_size > 0


@pytest.mark.parametrize(
    ("table", "states"), [("runs", RunState), ("task_instances", TaskState)]
)
def test_the_store_takes_every_state_and_no_other(
    tmp_path: Path, table: str, states: type[RunState] | type[TaskState]
) -> None:
    open_database(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        (sql,) = db.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    allowed = sql.partition("state IN (")[2].partition(")")[0]
    assert {word.strip(" '\n") for word in allowed.split(",")} == {str(s) for s in states}


def test_opening_a_store_twice_changes_nothing(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    before = (tmp_path / "store.db").read_bytes()
    open_database(tmp_path).close()
    assert (tmp_path / "store.db").read_bytes() == before


OPEN = """
import sys
from pathlib import Path
from mlflowkit.store.database import open_database
sys.stdin.readline()
open_database(Path(sys.argv[1])).close()
"""


def test_several_processes_may_open_a_new_home_at_once(tmp_path: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    told = [opener.communicate("go\n", timeout=120)[1] for opener in openers]
    assert [o.returncode for o in openers] == [0] * 5, told


def lived(home: Path) -> None:
    """A store with runs that had all kinds of things happen to them."""
    from tests.store.test_runs import REQUEST, START, some_life

    opened = open_database(home)
    for seed in range(3):
        some_life(opened, REQUEST, START, seed)
    opened.close()


def rows(home: Path, columns: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Every row of every table; with `columns`, those alone."""
    with closing(sqlite3.connect(home / "store.db")) as db:
        listed = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = [name for (name,) in db.execute(listed) if name != "alembic_version"]
        if columns is not None:
            tables = [name for name in tables if name in columns]
        found: dict[str, Any] = {}
        for table in tables:
            asked = ", ".join(f'"{c}"' for c in columns[table]) if columns else "*"
            got = db.execute(f"SELECT {asked} FROM {table} ORDER BY rowid")
            found[table] = ([each[0] for each in got.description], got.fetchall())
        return found


@pytest.mark.parametrize("revision", ["0004", "0005"])
def test_a_store_of_an_earlier_version_is_brought_up_to_date_with_all_its_rows(
    tmp_path: Path, revision: str
) -> None:
    from alembic import command

    lived(tmp_path)
    whole = rows(tmp_path)
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    config.attributes["engine"] = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    command.downgrade(config, revision)  # as that version had made it
    config.attributes["engine"].dispose()
    before = rows(tmp_path)
    columns = {table: names for table, (names, _) in before.items()}
    assert ("resume" in columns["runs"]) == (revision > "0004")
    assert "queued_at" not in columns["attempts"]
    assert len(before["runs"][1]) == 3 and len(before["task_instances"][1]) > 9

    opened = open_database(tmp_path)
    with opened.reading() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []
    opened.close()
    assert rows(tmp_path, columns) == before
    after = rows(tmp_path)
    assert {table: len(found) for table, (_, found) in after.items()} == {
        table: len(found) for table, (_, found) in whole.items()
    }
    names, found = after["runs"]
    assert {each[names.index("resume")] for each in found} == {""}
    open_database(tmp_path).close()
    assert rows(tmp_path) == after


def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database " * 100)
    with pytest.raises(StoreDamaged, match="not a database") as damaged:
        open_database(tmp_path)
    assert str(tmp_path / "store.db") in str(damaged.value)
    assert (tmp_path / "store.db").read_bytes() == b"not a database " * 100


def _with_revision(home: Path, revision: str) -> bytes:
    """A real store whose revision is another one. Returns the bytes of the file."""
    open_database(home).close()
    with closing(sqlite3.connect(home / "store.db")) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        db.commit()
    return (home / "store.db").read_bytes()


@pytest.mark.parametrize("revision", ["9999", "0004a", "f00d"])
def test_a_store_of_a_revision_that_nobody_knows_is_named_and_left_alone(
    tmp_path: Path, revision: str
) -> None:
    before = _with_revision(tmp_path, revision)
    with pytest.raises(StoreOfOtherVersion) as refused:
        open_database(tmp_path)
    assert str(refused.value) == (
        f"the home {tmp_path} was made by another version of mlflowkit: its store has the "
        f"schema revision {revision}, this version has {HEAD}. Nothing was changed. "
        "Upgrade (`pip install --upgrade mlflowkit`), or use another home: set "
        "MLFLOWKIT_HOME to a new folder."
    )
    assert (tmp_path / "store.db").read_bytes() == before


def test_a_store_with_other_tables_than_its_revision_says_is_of_another_version(
    tmp_path: Path,
) -> None:
    before = _with_revision(tmp_path, "0003")  # and it has all tables of the newest already
    with pytest.raises(StoreOfOtherVersion, match="the schema revision 0003, this version"):
        open_database(tmp_path)
    assert (tmp_path / "store.db").read_bytes() == before


def test_a_person_reads_which_version_made_the_home(tmp_path: Path) -> None:
    _with_revision(tmp_path, "9999")
    done = subprocess.run(
        [sys.executable, "-m", "mlflowkit", "runs", "list"],
        env={**os.environ, "MLFLOWKIT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join(done.stderr.split())
    assert "was made by another version of mlflowkit" in said
    assert "MLFLOWKIT_HOME to a new folder" in said
    assert "Traceback" not in said
    assert done.returncode == 2


def test_a_store_that_nobody_may_write_is_an_error_that_names_the_home(
    tmp_path: Path,
) -> None:
    code = """
        from mlflowkit.store.database import open_database
        open_database(Path(sys.argv[1]))
    """
    said = _without_write_permission(code, tmp_path / "home")
    assert f"HomeUnwritable: the home {tmp_path / 'home'} cannot be written" in said


def test_a_home_that_cannot_be_made_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(HomeUnwritable, match="set MLFLOWKIT_HOME to a folder of yours"):
        settings_home()


def test_a_read_only_home_is_refused(tmp_path: Path) -> None:
    code = """
        os.environ["MLFLOWKIT_HOME"] = sys.argv[1]
        from mlflowkit.settings import home
        home()
    """
    said = _without_write_permission(code, tmp_path / "home")
    assert f"the home {tmp_path / 'home'} cannot be written: it is read-only" in said


def _without_write_permission(code: str, home: Path) -> str:
    """Run it where `home` is read-only, also for root. Returns what it said in the end."""
    home.mkdir()
    home.chmod(0o555)
    command = [
        sys.executable,
        "-c",
        f"import os, sys\nfrom pathlib import Path\n{dedent(code)}",
    ]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to forbid it")
        command = ["setpriv", "--bounding-set", "-dac_override", *command]
    done = subprocess.run(
        [*command, str(home)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "lustre"])
def test_a_home_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    share = tmp_path / "the share"
    mounts = tmp_path / "mounts"
    where = str(share).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {where} {kind} rw 0 0\n")
    monkeypatch.setenv("MLFLOWKIT_MOUNTS", str(mounts))
    monkeypatch.setenv("MLFLOWKIT_HOME", str(share / "home"))
    with pytest.raises(
        HomeOnNetwork, match="Set MLFLOWKIT_HOME to a folder on a local disk"
    ):
        settings_home()
    assert not (share / "home" / "store.db").exists()
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "the shared"))
    assert settings_home() == tmp_path / "the shared"


def test_a_home_that_was_refused_is_refused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/x / nfs rw 0 0\n")
    monkeypatch.setenv("MLFLOWKIT_MOUNTS", str(mounts))
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    for _ in range(2):
        with pytest.raises(HomeOnNetwork, match="nfs"):
            settings_home()
