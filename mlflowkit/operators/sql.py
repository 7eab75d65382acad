"""SQL as tasks: run it, check what it finds, branch on what it finds.

Values go into `parameters`, which the driver binds. Templates in `sql` are pasted text:
never put a value that somebody else chose into one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.errors import BadOption
from mlflowkit.hooks.sql_handlers import (
    fetch_all_handler,
    fetch_one_handler,
    return_single_query_results,
)

if TYPE_CHECKING:
    from mlflowkit.hooks.sql import SqlHook

__all__ = [
    "BaseSQLOperator",
    "MySqlOperator",
    "PostgresOperator",
    "SQLExecuteQueryOperator",
    "SqliteOperator",
    "fetch_all_handler",
    "fetch_one_handler",
]

log = logging.getLogger(__name__)
_SHOWN_ROWS: Final = 20


class BaseSQLOperator(BaseOperator):
    """What all SQL tasks have: a connection, and a hook for it.

    Args:
        conn_id: The connection; its type says which hook is used.
        database: Instead of the one that the connection names.
        hook_params: More arguments for the hook.
    """

    conn_id_field: ClassVar[str] = "conn_id"
    default_conn_id: ClassVar[str] = ""
    template_fields: ClassVar[tuple[str, ...]] = ("conn_id", "database", "hook_params")

    def __init__(
        self,
        task_id: str,
        *,
        conn_id: object = None,
        database: object = None,
        hook_params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.conn_id = self.default_conn_id if conn_id is None else conn_id
        if isinstance(self.conn_id, str) and not self.conn_id:
            why = f"must name a connection, as {self.conn_id_field}='warehouse'"
            raise BadOption(f"task {task_id!r}", self.conn_id_field, why)
        self.database = database
        self.hook_params = hook_params

    def get_db_hook(self) -> SqlHook:
        """The hook for the connection, by its type.

        Raises:
            ConnectionMissing: there is no such connection.
        """
        from mlflowkit.hooks.sql import sql_hook

        own = {"database": str(self.database)} if self.database else {}
        return sql_hook(str(self.conn_id), **{**(self.hook_params or {}), **own})


class SQLExecuteQueryOperator(BaseSQLOperator):
    """Runs SQL in any database that SQLAlchemy opens. Its XCom is what the handler gives.

    Args:
        sql: A statement, a list of statements, or the name of a .sql file with a template.
        parameters: Bound by the driver in its own style: %s or %(name)s for PostgreSQL and
            MySQL, ? or :name for SQLite.
        autocommit: Let each statement count by itself; else all of them are one transaction.
        handler: Makes the result out of the cursor; all rows, if no other is given.
        output_processor: Makes the XCom out of a list with the result of each statement and
            a list with their columns.
        split_statements: `sql` is a script of several statements.
        return_last: Of a script, the XCom is the result of the last statement only.
        show_return_value_in_logs: Print the first rows to the task's log.
        requires_result_fetch: Fetch the result though no XCom is pushed.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "sql",
        "parameters",
        *BaseSQLOperator.template_fields,
    )
    template_ext: ClassVar[tuple[str, ...]] = (".sql", ".json")

    def __init__(
        self,
        task_id: str,
        *,
        sql: object,
        parameters: object = None,
        autocommit: bool = False,
        handler: Callable[[Any], Any] | None = fetch_all_handler,
        output_processor: Callable[[list[Any], list[Any]], list[Any]] | None = None,
        split_statements: bool | None = None,
        return_last: bool = True,
        show_return_value_in_logs: bool = False,
        requires_result_fetch: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        if isinstance(sql, str) and not sql.strip():
            raise BadOption(where, "sql", "must hold a statement")
        if isinstance(parameters, str | bytes | int | float):
            why = "must be a list, a tuple or a dict, also for a single value"
            raise BadOption(where, "parameters", why)
        self.sql, self.parameters = sql, parameters
        self.autocommit = autocommit
        self.handler, self.output_processor = handler, output_processor
        self._given += meant_by_name(handler) + meant_by_name(output_processor)
        self.split_statements, self.return_last = split_statements, return_last
        self.show_return_value_in_logs = show_return_value_in_logs
        self.requires_result_fetch = requires_result_fetch

    def execute(self, context: Mapping[str, Any]) -> object:
        """Run it.

        Returns:
            None where there is no handler, or neither XCom nor `requires_result_fetch`.

        Raises:
            SqlFailed: the database refused a statement; without `autocommit` none counts.
        """
        fetch = self.requires_result_fetch or getattr(self, "do_xcom_push", True)
        hook = self.get_db_hook()
        sql = self.sql if isinstance(self.sql, str) else _texts(self.sql)
        result = hook.run(
            sql,
            autocommit=self.autocommit,
            parameters=self.parameters,  # type: ignore[arg-type]  # templates are done by now
            handler=self.handler if fetch else None,
            split_statements=bool(self.split_statements),
            return_last=self.return_last,
        )
        if not fetch or self.handler is None:
            return None
        single = return_single_query_results(sql, self.return_last, self.split_statements)
        if self.output_processor is not None:
            made = self.output_processor(
                [result] if single else result, list(hook.descriptions)
            )
            result = made[-1] if single else made
        if self.show_return_value_in_logs:
            _show(result)
        return result


class PostgresOperator(SQLExecuteQueryOperator):
    """`SQLExecuteQueryOperator` for PostgreSQL, under Airflow 2's name."""

    conn_id_field: ClassVar[str] = "postgres_conn_id"
    default_conn_id: ClassVar[str] = "postgres_default"

    def __init__(
        self, task_id: str, *, postgres_conn_id: object = None, **options: Any
    ) -> None:
        if postgres_conn_id is not None:
            options["conn_id"] = postgres_conn_id
        super().__init__(task_id, **options)


class MySqlOperator(SQLExecuteQueryOperator):
    """`SQLExecuteQueryOperator` for MySQL and MariaDB, under Airflow 2's name."""

    conn_id_field: ClassVar[str] = "mysql_conn_id"
    default_conn_id: ClassVar[str] = "mysql_default"

    def __init__(
        self, task_id: str, *, mysql_conn_id: object = None, **options: Any
    ) -> None:
        if mysql_conn_id is not None:
            options["conn_id"] = mysql_conn_id
        super().__init__(task_id, **options)


class SqliteOperator(SQLExecuteQueryOperator):
    """`SQLExecuteQueryOperator` for SQLite, under Airflow 2's name."""

    conn_id_field: ClassVar[str] = "sqlite_conn_id"
    default_conn_id: ClassVar[str] = "sqlite_default"

    def __init__(
        self, task_id: str, *, sqlite_conn_id: object = None, **options: Any
    ) -> None:
        if sqlite_conn_id is not None:
            options["conn_id"] = sqlite_conn_id
        super().__init__(task_id, **options)


def _texts(sql: object) -> list[str]:
    found: Sequence[Any] = list(sql) if isinstance(sql, Iterable) else [sql]
    return [str(statement) for statement in found]


def _show(result: Any) -> None:
    rows = result if isinstance(result, list) else [result]
    for row in rows[:_SHOWN_ROWS]:
        log.info("%s", row)
    if len(rows) > _SHOWN_ROWS:
        log.info("... and %s more", f"{len(rows) - _SHOWN_ROWS:,}")
