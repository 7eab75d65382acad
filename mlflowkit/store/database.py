"""Opening the database: pragmas, schema, and transactions that say what they are for.

SQLite runs in WAL mode: readers never wait for the writer. `synchronous=NORMAL`
loses nothing when a process dies; a power cut may lose the last moments, never the file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from mlflowkit.errors import HomeUnwritable, StoreDamaged, StoreOfOtherVersion

#: The newest migration. `tests/store/test_migrations.py` holds it to the files.
HEAD = "0006"
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MS = 30_000


#: What a store function is given: it reads and writes inside, and never commits.
Transaction = Connection


class Database:
    """One store, opened by one process. Other processes may open it at the same time."""

    def __init__(self, engine: Engine, path: Path | None) -> None:
        self._engine, self.path = engine, path
        self._writer: Connection | None = None
        self._writing = threading.Lock()

    @contextmanager
    def reading(self) -> Generator[Connection, None, None]:
        """One consistent look at the store; never waits for a writer."""
        with self._engine.connect() as tx:
            yield tx

    @contextmanager
    def writing(self) -> Generator[Connection, None, None]:
        """One transaction. All of it is saved when the block ends, or nothing.

        The connection is kept: an engine makes hundreds of transactions a second.
        """
        with self._writing:
            if self._writer is None:
                self._writer = self._engine.connect()
            tx = self._writer
            tx.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield tx
                tx.commit()
            except BaseException:
                tx.rollback()
                raise

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._engine.dispose()


def open_database(home: Path, *, synchronous: str = "NORMAL") -> Database:
    """The store of a home, its schema brought up to date first.

    Raises:
        HomeUnwritable: the file cannot be opened for writing.
        StoreDamaged: the file is no SQLite database.
        StoreOfOtherVersion: its schema is one that this version does not know.
    """
    path = home / "store.db"
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun by hand: BEGIN IMMEDIATE
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-16000")

    try:
        _make_private(path)
    except OSError as exc:
        raise HomeUnwritable(home, exc.strerror or str(exc)) from exc
    try:
        _bring_up_to_date(engine, home)
    except OperationalError as exc:
        if getattr(exc.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            # A migration met tables that are not those of the revision that the store names.
            raise StoreOfOtherVersion(home, _version(engine) or "(none)", HEAD) from exc
        raise HomeUnwritable(home, str(exc.orig)) from exc
    except DatabaseError as exc:
        raise StoreDamaged(path, str(exc.orig)) from exc
    return Database(engine, path)


def _make_private(path: Path) -> None:
    """Make the file, for its owner alone, unless it is there.

    One that is there is never opened here: closing it would take this process's locks from
    it (POSIX), and another process would then throw away what is still in the WAL.
    """
    if path.exists():
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        return  # another process was faster


def _version(engine: Engine) -> str | None:
    asked = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    with engine.connect() as tx:
        if tx.exec_driver_sql(asked).first() is None:
            return None
        return tx.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _bring_up_to_date(engine: Engine, home: Path) -> None:
    if _version(engine) == HEAD:
        return
    with (home / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes may open a new home at once
        found = _version(engine)
        if found == HEAD:
            return
        if found is None:
            _make_tables(engine)
            return
        if found not in _revisions():
            raise StoreOfOtherVersion(home, found, HEAD)
        migrate(engine, HEAD)


def _make_tables(engine: Engine) -> None:
    """The newest tables, in one transaction: what all migrations would have made, at once.

    `tests/store/test_migrations.py` holds the two to each other.
    """
    from mlflowkit.store.tables import metadata

    with engine.connect() as tx:
        tx.exec_driver_sql("BEGIN IMMEDIATE")
        metadata.create_all(tx, checkfirst=False)
        tx.exec_driver_sql(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        tx.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
        tx.commit()


def _revisions() -> set[str]:
    """The revisions that this version knows; each file of a migration begins with its own."""
    files = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return {path.name.partition("_")[0] for path in files}


def migrate(engine: Engine, to: str) -> None:
    """Run the migrations up to revision `to`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, to)
