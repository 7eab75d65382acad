"""From a connection to the way a database is opened: SQLAlchemy's URL, dialect and driver.

It opens nothing, and never shows a password: errors name the connection and the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.errors import InvalidConnection, MissingExtra, NoSqlDialect

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Dialect

#: The driver that a plain connection type means. Any other type is SQLAlchemy's own name.
DRIVERS: Final = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
#: Drivers that come with an extra of ours.
_EXTRAS: Final = {"psycopg": "postgres", "pymysql": "mysql"}
#: Extras that are about SQLAlchemy, and not for the driver.
_SCHEME: Final = "sqlalchemy_scheme"
_QUERY: Final = "sqlalchemy_query"


@dataclass(frozen=True, slots=True)
class Address:
    """A database: its URL, and what the driver is given beside it."""

    conn_id: str
    url: URL
    connect_args: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def shown(self) -> str:
        """`postgresql://ada@db.local:5432/shop`, never with a password."""
        url = self.url
        login = f"{url.username}@" if url.username else ""
        port = f":{url.port}" if url.port else ""
        return (
            f"{url.get_backend_name()}://{login}{url.host or ''}{port}/{url.database or ''}"
        )

    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect with its driver loaded.

        Raises:
            MissingExtra: the driver of one of our extras is not installed.
            NoSqlDialect: no such dialect, or its driver is not installed.
        """
        from sqlalchemy.exc import ArgumentError

        name = self.url.drivername
        try:
            kind: Any = self.url.get_dialect()
            found: Dialect = kind(dbapi=kind.import_dbapi())
        except ArgumentError as exc:
            raise NoSqlDialect(self.conn_id, name, str(exc)) from exc
        except ImportError as exc:
            library = exc.name or self.url.get_driver_name()
            if library in _EXTRAS:
                purpose = f"connection {self.conn_id!r} ({name})"
                raise MissingExtra(library, _EXTRAS[library], purpose) from exc
            raise NoSqlDialect(self.conn_id, name, f"{library} is not installed") from exc
        return found


def address_of(connection: Connection, database: str | None = None) -> Address:
    """How to open the database of a connection.

    Extras that are texts go into the URL's query, where the dialect gives them their type;
    others go to the driver as they are. `sqlalchemy_scheme` names another dialect and
    driver, `sqlalchemy_query` holds more for the query.

    Args:
        database: Instead of the one the connection names (its schema).

    Raises:
        InvalidConnection: an SQLite connection with both a host and a path.
    """
    from sqlalchemy.engine import URL

    extra = dict(connection.extra)
    drivername = str(extra.pop(_SCHEME, "") or _driver(connection.conn_type))
    query = dict(extra.pop(_QUERY, None) or {})
    query |= {name: value for name, value in extra.items() if isinstance(value, str)}
    others = {name: value for name, value in extra.items() if not isinstance(value, str)}
    if drivername.partition("+")[0] == "sqlite":
        url = URL.create(drivername, database=_file(connection, database), query=query)
        return Address(connection.conn_id, url, others)
    if drivername.endswith("+pymysql") and connection.password:
        # It would send a text in Latin-1, where the server's tools send UTF-8.
        others["password"] = connection.password.encode()
    url = URL.create(
        drivername,
        username=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        database=database or connection.schema,
        query=query,
    )
    return Address(connection.conn_id, url, others)


def _driver(conn_type: str) -> str:
    return DRIVERS.get(conn_type, conn_type)


def _file(connection: Connection, database: str | None) -> str:
    """The SQLite file: a path, absolute or from the working folder; or `:memory:`."""
    if connection.host and connection.schema:
        raise InvalidConnection(
            f"connection {connection.conn_id!r}",
            "an SQLite file has no host. Write sqlite:///folder/file.db for a path from the "
            "working folder, or sqlite:////folder/file.db for one from the root.",
        )
    return database or connection.schema or connection.host or ":memory:"
