"""A database of any kind that SQLAlchemy can open, named by a connection: `SqlHook`.

Its methods have the names and the meaning of Airflow's hooks. Values are bound by the driver, names are quoted:
nothing is ever pasted into SQL. A statement is logged, its parameters never are.

A connection is opened for one call and closed after it: nothing is kept between calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import Any, Final, TypeVar

from mlflowkit.errors import BadSql, ConnectionError_, TaskFailed
from mlflowkit.hooks.sql_errors import Driver, Refusal, shortened
from mlflowkit.hooks.sql_frames import frame
from mlflowkit.hooks.sql_handlers import (
    fetch_all_handler,
    fetch_one_handler,
    return_single_query_results,
)
from mlflowkit.hooks.sql_insert import Insert
from mlflowkit.hooks.sql_opening import OpensSql
from mlflowkit.hooks.sql_text import plain_row, plain_values, split_statements

T = TypeVar("T")
Parameters = Sequence[Any] | Mapping[str, Any] | None
log = logging.getLogger(__name__)

#: Rows that go to the database in one call, where all of them are one transaction.
_CHUNK: Final = 1000


class SqlHook(OpensSql):
    """A database of any kind.

    Args:
        conn_id: The connection; also under the name `conn_name_attr` of the class.
        database: Instead of the one that the connection names. `schema` is the same.
        log_sql: Whether statements are logged. Parameters never are.
    """

    #: The columns of the last `run`: PEP 249's description of each statement.
    descriptions: Sequence[Sequence[Sequence[Any]] | None] = ()

    def test_connection(self) -> tuple[bool, str]:
        """Whether the database answers, and a sentence about it."""
        try:
            self.get_first("SELECT 1")
        except (ConnectionError_, TaskFailed) as exc:
            return False, str(exc)
        return True, f"{self.address.shown} answers"

    # ── statements ──

    def run(
        self,
        sql: str | Iterable[str],
        autocommit: bool = False,
        parameters: Parameters = None,
        handler: Callable[[Any], T] | None = None,
        split_statements: bool = False,
        return_last: bool = True,
    ) -> Any:
        """Run one statement or several, in one transaction unless `autocommit`.

        Args:
            sql: A statement; a script, with `split_statements`; or a list of statements.
            autocommit: Let each statement count by itself, as VACUUM needs it.
            parameters: For every statement, bound by the driver in its own style: %s and
                %(name)s for PostgreSQL and MySQL, ? and :name for SQLite.
            handler: Makes the result out of the cursor, after each statement.
            return_last: Of a split script, give the last result only.

        Returns:
            None without a handler. What it gave, of a text; a list of what it gave, of a list
            of statements, and of a split text with `return_last=False`.

        Raises:
            SqlFailed: the database refused one; all were rolled back, unless `autocommit`.
            BadSql: there is no statement.
        """
        statements = self._statements(sql, split_statements)
        single = return_single_query_results(sql, return_last, split_statements)
        results: list[Any] = []
        columns: list[Any] = []
        with self._transaction(autocommit, len(statements)) as (cursor, refusal):
            for statement in statements:
                self._execute(cursor, refusal, statement, parameters)
                if handler is not None:
                    with refusal.translated(statement):
                        results.append(handler(cursor))
                    columns.append(cursor.description)
        self.descriptions = columns[-1:] if single else columns
        if handler is None:
            return None
        return results[-1] if single else results

    def get_records(self, sql: str | list[str], parameters: Parameters = None) -> Any:
        """All rows, as tuples."""
        return self.run(sql, parameters=parameters, handler=fetch_all_handler)

    def get_first(self, sql: str | list[str], parameters: Parameters = None) -> Any:
        """The first row, or None."""
        return self.run(sql, parameters=parameters, handler=fetch_one_handler)

    def get_df(
        self,
        sql: str,
        parameters: Parameters = None,
        *,
        df_type: str = "pandas",
        **options: Any,
    ) -> Any:
        """The rows as a DataFrame. `options` go to pandas.DataFrame or polars.DataFrame.

        Args:
            df_type: "pandas" or "polars".
        """
        rows = self.run(sql, parameters=parameters, handler=fetch_all_handler)
        columns = [column[0] for column in self.last_description or ()]
        return frame(df_type, rows or [], columns, options)

    def get_pandas_df(self, sql: str, parameters: Parameters = None, **options: Any) -> Any:
        """`get_df` under its older name."""
        return self.get_df(sql, parameters, **options)

    @property
    def last_description(self) -> Sequence[Sequence[Any]] | None:
        """The columns of the last statement of the last `run` that had a handler."""
        return self.descriptions[-1] if self.descriptions else None

    def insert_rows(
        self,
        table: str,
        rows: Iterable[Sequence[Any]],
        target_fields: Sequence[str] | str | None = None,
        commit_every: int = 1000,
        replace: bool = False,
        *,
        replace_index: Sequence[str] | str = (),
        executemany: bool = True,
        fast_executemany: bool = True,
    ) -> None:
        """Insert rows, many at a time. `rows` is read once, and never held as a whole.

        Args:
            table: Its name, or schema.table. Names are quoted as they need it.
            commit_every: Rows of a transaction; 0: all of them are one. If a row is refused,
                the transactions before it stay.
            replace: Put a row in the place of the one with the same key.
            replace_index: PostgreSQL only: the columns of the unique index that says so.
            executemany: Taken as Airflow's hooks take it. Rows always go many at a time.
            fast_executemany: The same.

        Raises:
            SqlFailed: the database refused a row.
            BadSql: a row of another length than the fields or the row before it.
        """
        source = iter(rows)
        done = 0
        with self._transaction(False, 1) as (cursor, refusal):
            insert = Insert(
                self.dialect,
                refusal.paramstyle,
                table,
                _names(target_fields),
                replace,
                _names(replace_index),
            )
            size, kind = commit_every or _CHUNK, self.dialect.name
            while chunk := [plain_row(row, kind) for row in islice(source, size)]:
                statement = insert.statement(len(chunk[0]))
                insert.check(chunk)
                with refusal.translated(statement, bound=True):
                    cursor.executemany(statement, chunk)
                    if commit_every:
                        cursor.connection.commit()
                done += len(chunk)
        log.info("%s rows inserted into %s", f"{done:,}", table)

    # ── inside ──

    def _statements(self, sql: str | Iterable[str], split: bool) -> list[str]:
        if not isinstance(sql, str):
            found = list(sql)
        elif split:
            found = split_statements(sql)
        else:
            found = [sql] if sql.strip() else []
        if not found:
            raise BadSql(f"connection {self.conn_id!r}", "it holds no statement")
        return found

    @contextmanager
    def _transaction(
        self, autocommit: bool, statements: int
    ) -> Iterator[tuple[Any, Refusal]]:
        """A cursor of a new connection; committed at the end, rolled back at an error."""
        with closing(self.get_conn()) as conn:
            refusal = Refusal(self.conn_id, Driver(conn), self.connection.password)
            with refusal.translated(""), closing(conn.cursor()) as cursor:
                if autocommit:
                    self.set_autocommit(conn, True)
                else:
                    self._begin(cursor, statements)
                try:
                    yield cursor, refusal
                except BaseException:
                    with suppress(*refusal.error):
                        conn.rollback()
                    raise
                if not autocommit:
                    conn.commit()

    def _begin(self, cursor: Any, statements: int) -> None:
        """Start a transaction, where the driver does not do it before every statement.

        A single one is a transaction by itself; VACUUM must stand outside of any.
        """
        if statements > 1 and self.dialect.name == "sqlite":
            cursor.execute("BEGIN")

    def _execute(
        self, cursor: Any, refusal: Refusal, statement: str, parameters: Parameters
    ) -> None:
        if self.log_sql:
            log.info("running: %s", shortened(statement))
        with refusal.translated(statement, bound=bool(parameters)):
            if parameters:
                refusal.bind(cursor, statement, plain_values(parameters, self.dialect.name))
            else:  # so that a percent sign in the statement is one
                cursor.execute(statement)
                self._go_to_last(cursor)
        if cursor.rowcount >= 0:
            log.info("rows: %s", cursor.rowcount)

    def _go_to_last(self, cursor: Any) -> None:
        """Of several statements in one text, which PostgreSQL takes, the last one counts."""
        while self.dialect.name == "postgresql" and cursor.nextset():
            pass


#: Airflow's name for the base of all its SQL hooks.
DbApiHook = SqlHook


def _names(names: Sequence[str] | str | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())
