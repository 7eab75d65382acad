"""How a SQL hook opens its database: connection, address, dialect, driver, engine.

Nothing is kept open here, and no statement is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from mlflowkit.core.connection import Connection
from mlflowkit.errors import BadOption, NotADatabase
from mlflowkit.hooks.base import BaseHook, get_connection
from mlflowkit.hooks.sql_errors import opening
from mlflowkit.hooks.sql_url import Address, address_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect, Engine


class OpensSql(BaseHook):
    """A database of any kind.

    Args:
        conn_id: The connection; also under the name `conn_name_attr` of the class.
        database: Instead of the one that the connection names. `schema` is the same.
        log_sql: Whether statements are logged. Parameters never are.
    """

    #: What Airflow's hooks of this kind call the connection id.
    conn_name_attr: ClassVar[str] = "conn_id"
    default_conn_name: ClassVar[str] = ""
    #: Connection types that it takes; any, if empty.
    conn_types: ClassVar[tuple[str, ...]] = ()
    placeholder: ClassVar[str] = "%s"

    def __init__(
        self,
        conn_id: str | None = None,
        *,
        database: str | None = None,
        schema: str | None = None,
        log_sql: bool = True,
        **named: Any,
    ) -> None:
        kind = type(self).__name__
        own = named.pop(self.conn_name_attr, None)
        if named:
            why = f"is not one that it has ({self.conn_name_attr}, database, log_sql)"
            raise BadOption(kind, next(iter(named)), why)
        found = conn_id or own or self.default_conn_name
        if not found:
            raise BadOption(kind, self.conn_name_attr, "must name a connection")
        self.conn_id: str = found
        self.database = database or schema
        self.log_sql = log_sql
        if self.conn_name_attr != "conn_id":
            setattr(self, self.conn_name_attr, found)

    # ── how it is reached ──

    @cached_property
    def connection(self) -> Connection:
        """The connection.

        Raises:
            ConnectionMissing: no place knows it.
            NotADatabase: it is of a type that this hook does not take.
        """
        found = get_connection(self.conn_id)
        if self.conn_types and found.conn_type not in self.conn_types:
            wanted = " or ".join(self.conn_types)
            raise NotADatabase(type(self).__name__, self.conn_id, found.conn_type, wanted)
        return found

    @cached_property
    def address(self) -> Address:
        """Where the database is; shown without its password."""
        return address_of(self.connection, self.database)

    @cached_property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect of the database."""
        return self.address.dialect()

    def get_conn(self) -> Any:
        """A new connection of the driver itself (PEP 249). Close it; commit what you change.

        Raises:
            DatabaseUnreachable, DatabaseRefused, MissingExtra, NoSqlDialect.
        """
        dialect = self.dialect
        args, options = dialect.create_connect_args(self.address.url)
        with opening(self.address, dialect.dbapi.Error):  # type: ignore[union-attr]  # loaded
            return dialect.connect(*args, **{**options, **self.address.connect_args})

    def get_uri(self) -> str:
        """SQLAlchemy's URL. Holds the password: do not print it."""
        return self.address.url.render_as_string(hide_password=False)

    def get_sqlalchemy_engine(
        self, engine_kwargs: Mapping[str, Any] | None = None
    ) -> Engine:
        """A SQLAlchemy engine. Without a pool, if none is asked for; parameters stay hidden."""
        from sqlalchemy.engine import create_engine
        from sqlalchemy.pool import NullPool

        options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
        options |= dict(engine_kwargs or {})
        args = {**self.address.connect_args, **options.pop("connect_args", {})}
        _ = self.dialect  # says what is missing, if something is
        return create_engine(self.address.url, connect_args=args, **options)

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Let each statement of this connection count by itself, or none before a commit."""
        usual = self.dialect.get_default_isolation_level
        self.dialect.set_isolation_level(conn, "AUTOCOMMIT" if autocommit else usual(conn))
