"""Real database servers for a whole test session: import their fixtures into a conftest.

Each is started once, in a new folder of its own, on a free port of 127.0.0.1, by a user
without rights, and ends with the session (or with the process that started it, however that
ends). Where a server is not installed, its tests are skipped; with CI set they fail.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.core.connection import Connection
from mlflowkit.demo.ports import free_port, listens

PASSWORD = "pä/ss:w@rd-%41"  # every character that a URI could trip over
READY_WITHIN_S = 60.0
POSTGRES_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass(frozen=True)
class Database:
    """A running server, and a login that may do everything in it."""

    conn_type: str
    port: int
    login: str
    password: str
    schema: str
    log: Path
    pid: int

    @property
    def uri(self) -> str:
        """What to put into MLFLOWKIT_CONN_...; another password or port by `replace`."""
        return Connection(
            conn_id="",
            conn_type=self.conn_type,
            host="127.0.0.1",
            login=self.login,
            password=self.password,
            port=self.port,
            schema=self.schema,
        ).to_uri()


def missing(what: str) -> None:
    """Skip, and fail where all services should be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed: see .ci/install-system-packages")
    pytest.skip(f"{what} is not installed")


def program(name: str, folders: Sequence[Path] = ()) -> str | None:
    """Where a server's program is."""
    path = os.pathsep.join(
        [*map(str, folders), os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]
    )
    return shutil.which(name, path=path)


class Folder:
    """A new folder of a user without rights: ours, or `user` where we are root."""

    def __init__(self, user: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"mlflowkit-{user}-"))
        self.user = user if os.getuid() == 0 else None
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(self.path, entry.pw_uid, entry.pw_gid)

    def _as_user(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        group = pwd.getpwnam(self.user).pw_gid
        return {"user": self.user, "group": group, "extra_groups": []}

    def run(self, *argv: str) -> None:
        """Run a program there to its end."""
        done = subprocess.run(
            argv,
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            **self._as_user(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program there, which dies when we do."""
        tie = ["setpriv", "--pdeathsig", "KILL"] if program("setpriv") else []
        with (self.path / "log").open("wb") as log:
            return subprocess.Popen(
                [*tie, *argv],
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._as_user(),
            )

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not listens(port):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    process.send_signal(sign)
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def retried(connect: Callable[[], None]) -> None:
    """Call until it does not raise: a server that listens may still be starting."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            return connect()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Database]:
    """PostgreSQL with one database, and a login with a password."""
    initdb = program("initdb", POSTGRES_PROGRAMS)
    server = program("postgres", POSTGRES_PROGRAMS)
    if initdb is None or server is None:
        missing("PostgreSQL")
    assert initdb and server
    folder = Folder("postgres")
    try:
        secret = folder.path / "secret"
        secret.write_text(PASSWORD)
        if folder.user:
            shutil.chown(secret, folder.user)
        data = str(folder.path / "data")
        options = ("--auth=scram-sha-256", "-U", "ada", f"--pwfile={secret}", "-E", "UTF8")
        folder.run(initdb, "-D", data, "--no-sync", "--no-locale", *options)
        port = free_port()
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        flags = [part for s in settings for part in ("-c", s)]
        process = folder.start(server, "-D", data, "-p", str(port), *flags)
        try:
            log = folder.path / "log"
            wait_for_port(port, process, log)
            found = Database(
                "postgres", port, "ada", PASSWORD, "postgres", log, process.pid
            )
            retried(lambda: _open_postgres(found))
            yield found
        finally:
            stop(process, signal.SIGINT)
    finally:
        folder.remove()


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[Database]:
    """MariaDB with one database, and a login with a password."""
    install = program("mariadb-install-db") or program("mysql_install_db")
    server = program("mariadbd") or program("mysqld")
    if install is None or server is None:
        missing("MariaDB")
    assert install and server
    folder = Folder("mysql")
    try:
        data, sock = folder.path / "data", folder.path / "s.sock"
        folder.run(
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        port = free_port()
        process = folder.start(
            server,
            "--no-defaults",
            f"--datadir={data}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={sock}",
            f"--pid-file={folder.path / 'pid'}",
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-name-resolve",
        )
        try:
            log = folder.path / "log"
            wait_for_port(port, process, log)
            found = Database("mysql", port, "ada", PASSWORD, "shop", log, process.pid)
            retried(lambda: _make_mysql_login(sock, found))
            yield found
        finally:
            stop(process, signal.SIGTERM)
    finally:
        folder.remove()


@pytest.fixture
def postgres(postgres_server: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The PostgreSQL server, with a new schema; `postgres_default` is its connection."""
    import psycopg

    schema = f"t{time.monotonic_ns()}"
    with psycopg.connect(**_login(postgres_server), autocommit=True) as conn:
        conn.execute(f"CREATE SCHEMA {schema}")
        conn.execute(f"ALTER ROLE ada SET search_path = {schema}, public")
    monkeypatch.setenv("MLFLOWKIT_CONN_POSTGRES_DEFAULT", postgres_server.uri)
    return postgres_server


@pytest.fixture
def mysql(mysql_server: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The MariaDB server, with its database empty; `mysql_default` is its connection."""
    import pymysql

    with pymysql.connect(**_login(mysql_server), autocommit=True) as conn:
        cursor = conn.cursor()
        cursor.execute(f"DROP DATABASE {mysql_server.schema}")
        cursor.execute(f"CREATE DATABASE {mysql_server.schema} CHARACTER SET utf8mb4")
    monkeypatch.setenv("MLFLOWKIT_CONN_MYSQL_DEFAULT", mysql_server.uri)
    return mysql_server


def _login(server: Database) -> dict[str, object]:
    here = {"host": "127.0.0.1", "port": server.port, "user": server.login}
    if server.conn_type == "postgres":
        return {**here, "password": server.password, "dbname": server.schema}
    # PyMySQL would send a text in Latin-1.
    return {**here, "password": server.password.encode(), "database": server.schema}


def _open_postgres(server: Database) -> None:
    import psycopg

    psycopg.connect(**_login(server)).close()


def _make_mysql_login(sock: Path, server: Database) -> None:
    import pymysql

    with pymysql.connect(unix_socket=str(sock), user="root", autocommit=True) as conn:
        cursor = conn.cursor()
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {server.schema}")
        cursor.execute(
            "CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s",
            (server.login, server.password),
        )
        cursor.execute("GRANT ALL ON *.* TO %s@'%%'", (server.login,))
