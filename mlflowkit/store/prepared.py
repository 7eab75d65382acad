"""A statement of the hot path, compiled once: Core says what, the driver gets plain text.

Every turn of the engine runs the same few statements. Compiling and type processing
by SQLAlchemy at each execution costs more than SQLite's own work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.dialects.sqlite import insert as upsert_into
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

Row = Mapping[str, Any]


def upsert(table: Table) -> Any:
    """Insert a row, or put it in the place of the one with the same primary key."""
    keys: list[str] = [c.name for c in table.primary_key]
    statement = upsert_into(table)
    changes: dict[str, Any] = {
        c.name: statement.excluded[c.name] for c in table.c if c.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changes)


class Prepared:
    """An insert, update or delete with named parameters, for one or many rows."""

    def __init__(self, statement: Executable, names: Sequence[str]) -> None:
        self._statement, self._names = statement, list(names)
        self._ready: dict[str, tuple[str, list[str], dict[str, Callable[[Any], Any]]]] = {}

    def run(self, tx: Connection, rows: Sequence[Row]) -> None:
        """Execute it for each row."""
        if not rows:
            return
        text, order, processors = self._compiled(tx)
        if not order:
            tx.exec_driver_sql(text, [self._named(row, processors) for row in rows])
            return
        columns = [(name, processors.get(name)) for name in order]
        values = [
            tuple(row[n] if p is None else p(row[n]) for n, p in columns) for row in rows
        ]
        self._execute(tx, text, values)

    @staticmethod
    def _execute(tx: Connection, text: str, values: list[tuple[Any, ...]]) -> None:
        """By the driver's own cursor: an execution context for each costs more than the work."""
        dbapi: Any = tx.dialect.dbapi
        cursor: Any = tx.connection.cursor()
        try:
            cursor.executemany(text, values)
        except dbapi.Error as exc:
            raise DBAPIError.instance(
                text, values, exc, dbapi.Error, dialect=tx.dialect
            ) from exc
        finally:
            cursor.close()

    def _named(
        self, row: Row, processors: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any]:
        return {
            name: processors[name](row[name]) if name in processors else row[name]
            for name in self._names
        }

    def _compiled(
        self, tx: Connection
    ) -> tuple[str, list[str], dict[str, Callable[[Any], Any]]]:
        found = self._ready.get(tx.dialect.name)
        if found is None:
            compiled: Any = self._statement.compile(  # type: ignore[attr-defined]
                dialect=tx.dialect, column_keys=self._names
            )
            assert isinstance(compiled, SQLCompiler)
            processors: dict[str, Any] = dict(compiled._bind_processors)
            order = list(compiled.positiontup or [])
            found = self._ready[tx.dialect.name] = (str(compiled), order, processors)
        return found
