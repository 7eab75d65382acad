"""Errors of SQL databases that tasks work with."""

from __future__ import annotations

from mlflowkit.errors.connections import ConnectionError_


class DatabaseRefused(ConnectionError_):
    """The database does not let this login in."""

    code = "database_refused"

    def __init__(self, conn_id: str, where: str, why: str) -> None:
        self.conn_id, self.where, self.why = conn_id, where, why
        super().__init__(
            f"{where} refused the login of connection {conn_id!r}: {why} "
            "Check the connection's login, password and schema (the database's name)."
        )


class NoSqlDialect(ConnectionError_):
    """Nothing installed here speaks to this kind of database."""

    code = "no_sql_dialect"

    def __init__(self, conn_id: str, name: str, why: str) -> None:
        self.conn_id, self.name, self.why = conn_id, name, why
        super().__init__(
            f"connection {conn_id!r} has the type {name!r}, which SQLAlchemy cannot open here: "
            f"{why}. Install the package that brings this dialect, or write the type as "
            "SQLAlchemy does (dialect+driver, such as mssql+pyodbc)."
        )


class NotADatabase(ConnectionError_):
    """A hook was given a connection to another kind of system."""

    code = "not_a_database"

    def __init__(self, hook: str, conn_id: str, conn_type: str, wanted: str) -> None:
        self.hook, self.conn_id, self.conn_type = hook, conn_id, conn_type
        super().__init__(
            f"{hook} takes connections of the type {wanted}, and {conn_id!r} is of the type "
            f"{conn_type!r}. Name another connection, or use SqlHook, which takes any."
        )


class BadSql(ConnectionError_):
    """SQL that no database could take: nothing at all, or words of a client program."""

    code = "bad_sql"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"the SQL for {where} cannot be run: {why}.")
