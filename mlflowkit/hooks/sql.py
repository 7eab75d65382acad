"""Databases, named by a connection: the hooks, under Airflow's names.

`SqlHook` takes every connection; `PostgresHook`, `MySqlHook` and `SqliteHook` are thin names
that refuse a connection of another kind. What they share is in `sql_base`; it opens a
connection for each call, and never shows a password.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Final

from mlflowkit.errors import BadSql
from mlflowkit.hooks.sql_base import DbApiHook, SqlHook
from mlflowkit.hooks.sql_errors import Driver, Refusal
from mlflowkit.hooks.sql_handlers import (
    fetch_all_handler,
    fetch_one_handler,
    return_single_query_results,
)
from mlflowkit.hooks.sql_text import quoted

__all__ = [
    "DbApiHook",
    "MySqlHook",
    "PostgresHook",
    "SqlHook",
    "SqliteHook",
    "fetch_all_handler",
    "fetch_one_handler",
    "return_single_query_results",
    "sql_hook",
]

_BLOCK_BYTES: Final = 1 << 20


class PostgresHook(SqlHook):
    """A PostgreSQL database, through psycopg."""

    conn_name_attr: ClassVar[str] = "postgres_conn_id"
    default_conn_name: ClassVar[str] = "postgres_default"
    conn_types: ClassVar[tuple[str, ...]] = ("postgres",)

    def copy_expert(self, sql: str, filename: str | Path) -> None:
        """COPY between a table and a file on this machine, in blocks.

        Args:
            sql: `COPY ... FROM STDIN` reads the file, `COPY ... TO STDOUT` writes it.

        Raises:
            SqlFailed: the database refused it; nothing of it is kept.
            BadSql: it is no COPY from STDIN or to STDOUT.
            FileNotFoundError: there is no file to read.
        """
        with closing(self.get_conn()) as conn:
            refusal = Refusal(self.conn_id, Driver(conn), self.connection.password)
            with refusal.translated(sql), conn.cursor() as cursor:
                _copy(cursor, sql, Path(filename))
                conn.commit()

    def bulk_load(self, table: str, tmp_file: str | Path) -> None:
        """Load a file of tab separated rows, as PostgreSQL writes them, into a table."""
        name = quoted(self.dialect.identifier_preparer, table)
        self.copy_expert(f"COPY {name} FROM STDIN", tmp_file)

    def bulk_dump(self, table: str, tmp_file: str | Path) -> None:
        """Write a table into a file of tab separated rows."""
        name = quoted(self.dialect.identifier_preparer, table)
        self.copy_expert(f"COPY {name} TO STDOUT", tmp_file)


class MySqlHook(SqlHook):
    """A MySQL or MariaDB database, through PyMySQL."""

    conn_name_attr: ClassVar[str] = "mysql_conn_id"
    default_conn_name: ClassVar[str] = "mysql_default"
    conn_types: ClassVar[tuple[str, ...]] = ("mysql", "mariadb")


class SqliteHook(SqlHook):
    """An SQLite file. `sqlite:////folder/file.db` is a path from the root."""

    conn_name_attr: ClassVar[str] = "sqlite_conn_id"
    default_conn_name: ClassVar[str] = "sqlite_default"
    conn_types: ClassVar[tuple[str, ...]] = ("sqlite",)
    placeholder: ClassVar[str] = "?"


#: The hook of each connection type that has one of its own.
HOOKS: Final[dict[str, type[SqlHook]]] = {
    conn_type: hook
    for hook in (PostgresHook, MySqlHook, SqliteHook)
    for conn_type in hook.conn_types
}


def sql_hook(conn_id: str, **options: Any) -> SqlHook:
    """The hook for a connection, by its type: `SqlHook` where there is none of its own."""
    kind = HOOKS.get(SqlHook(conn_id).connection.conn_type, SqlHook)
    return kind(conn_id, **options)


def _copy(cursor: Any, sql: str, file: Path) -> None:
    from psycopg.pq import ExecStatus

    with cursor.copy(sql) as copy:
        status = cursor.pgresult.status
        if status == ExecStatus.COPY_IN:
            with file.open("rb") as source:
                while block := source.read(_BLOCK_BYTES):
                    copy.write(block)
        elif status == ExecStatus.COPY_OUT:
            with file.open("wb") as target:
                for block in copy:
                    target.write(block)
        else:
            raise BadSql("copy_expert", "it is neither COPY ... FROM STDIN nor TO STDOUT")
