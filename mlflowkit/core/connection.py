"""A connection: how to reach an outside system, as plain data.

Reads and writes the two forms that Airflow has, a URI and JSON, so that what
people already have keeps working. Pure: it never looks anything up, never opens
anything, and never shows a secret in its repr or in an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mlflowkit.core.masking import MASK, masked_by_name, secrets_by_name
from mlflowkit.errors import InternalError, InvalidConnection

#: A variable of the environment with this prefix defines a connection.
ENV_PREFIX: Final = "MLFLOWKIT_CONN_"
#: The query parameter that holds all extras as one JSON text.
EXTRA_KEY: Final = "__extra__"

_JSON_FIELDS: Final = frozenset(
    {"conn_type", "description", "login", "password", "host", "port", "schema", "extra"}
)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach one outside system. A part that was not given is None."""

    conn_id: str
    conn_type: str
    host: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    schema: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    description: str | None = None

    @classmethod
    def get(cls, conn_id: str) -> Connection:
        """The connection of this id, from the first place that knows it: the environment,
        the secrets back end, the store.

        Raises:
            ConnectionMissing: no place knows it.
            InvalidConnection: it is defined, in a way that cannot be read.
        """
        if not _places:
            raise InternalError("mlflowkit.hooks.base was never imported in this process")
        return _places[-1](conn_id)

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extras as a new dict, under the name that Airflow's hooks use."""
        return dict(self.extra)

    @classmethod
    def from_text(cls, conn_id: str, text: str) -> Connection:
        """Read either form: JSON when it starts with a brace, else a URI."""
        text = text.strip()
        if text.startswith("{"):
            return cls.from_json(conn_id, text)
        return cls.from_uri(conn_id, text)

    @classmethod
    def from_uri(cls, conn_id: str, uri: str) -> Connection:
        """Read `type://login:password@host:port/schema?name=value`, percent-encoded.

        Raises:
            InvalidConnection: the text has no type, or its port is not a number.
        """
        where = f"the URI of connection {conn_id!r}"
        conn_type, mark, rest = uri.strip().partition("://")
        if not mark or not conn_type:
            raise InvalidConnection(where, "it does not start with a type, such as aws://.")
        rest, _, query = rest.partition("?")
        protocol, inner_mark, rest = _split_protocol(rest)
        netloc, _, path = rest.partition("/")
        login, password, address = _split_login(netloc)
        host, port = _split_port(address, where)
        return cls(
            conn_id=conn_id,
            conn_type=_conn_type(conn_type),
            host=f"{protocol}{inner_mark}{host}" if inner_mark else host or None,
            login=login,
            password=password,
            port=port,
            schema=unquote(path) or None,
            extra=_extra_of_query(query, where),
        )

    @classmethod
    def from_json(cls, conn_id: str, text: str) -> Connection:
        """Read Airflow's JSON form; `extra` may be an object or a JSON text.

        Raises:
            InvalidConnection: no JSON object, no conn_type, or a field nobody knows.
        """
        where = f"the JSON of connection {conn_id!r}"
        facts = _json_object(text, where)
        unknown = sorted(facts.keys() - _JSON_FIELDS)
        if unknown:
            raise InvalidConnection(
                where,
                f"it has unknown fields {', '.join(unknown)}; put those that belong "
                f"to the system into extra (known: {', '.join(sorted(_JSON_FIELDS))}).",
            )
        if not facts.get("conn_type"):
            raise InvalidConnection(where, 'it has no "conn_type".')
        return cls(
            conn_id=conn_id,
            conn_type=_conn_type(str(facts["conn_type"])),
            host=_text(facts.get("host")),
            login=_text(facts.get("login")),
            password=_text(facts.get("password")),
            port=_port(facts.get("port"), where),
            schema=_text(facts.get("schema")),
            extra=_extra_of_json(facts.get("extra"), where),
            description=_text(facts.get("description")),
        )

    def secrets(self) -> list[str]:
        """The values in it that no log should show: the password, extras with secret names."""
        found = [self.password] if self.password else []
        return [*found, *secrets_by_name(self.extra)]

    def facts(self) -> dict[str, Any]:
        """The fields that are there, as JSON has them; `extra` is an object. Holds the secrets."""
        names = ("conn_type", "description", "host", "login", "password", "port", "schema")
        found = {name: getattr(self, name) for name in names}
        found["extra"] = dict(self.extra) or None
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> str:
        """The JSON that `from_json` reads back as this connection. Holds the secrets."""
        return json.dumps(self.facts())

    def as_json(self) -> str:
        """`to_json`, under Airflow's name."""
        return self.to_json()

    def get_uri(self) -> str:
        """`to_uri`, under Airflow's name."""
        return self.to_uri()

    def get_password(self) -> str | None:
        """The password, under Airflow's name."""
        return self.password

    def to_uri(self) -> str:
        """The URI that `from_uri` reads back as this connection. Holds the secrets."""
        login = quote(self.login or "", safe="")
        if self.password is not None:
            login += ":" + quote(self.password, safe="")
        address = quote(self.host or "", safe="")
        if self.port is not None:
            address += f":{self.port}"
        netloc = f"{login}@{address}" if login else address
        path = "/" + quote(self.schema or "", safe="")
        query = f"?{_query_of(self.extra)}" if self.extra else ""
        return f"{self.conn_type.replace('_', '-')}://{netloc}{path}{query}"

    def __repr__(self) -> str:
        """All parts, with the password and the extras that look secret masked."""
        password = None if self.password is None else MASK
        extra = masked_by_name(self.extra)
        return (
            f"Connection(conn_id={self.conn_id!r}, conn_type={self.conn_type!r}, "
            f"host={self.host!r}, login={self.login!r}, password={password!r}, "
            f"port={self.port!r}, schema={self.schema!r}, extra={extra!r})"
        )


#: What `Connection.get` asks: `hooks.base` puts itself here when it is imported.
_places: list[Callable[[str], Connection]] = []


def look_up_with(find: Callable[[str], Connection]) -> None:
    """From now on `Connection.get` asks this."""
    _places[:] = [find]


def _conn_type(text: str) -> str:
    name = text.strip().replace("-", "_")
    return "postgres" if name == "postgresql" else name


def _split_protocol(rest: str) -> tuple[str, str, str]:
    """Airflow's `http://https://host` names the protocol of the host a second time."""
    protocol, mark, after = rest.partition("://")
    if mark and not set(protocol) & set("/@:"):
        return protocol, mark, after
    return "", "", rest


def _split_login(netloc: str) -> tuple[str | None, str | None, str]:
    login, mark, address = netloc.rpartition("@")
    if not mark:
        return None, None, netloc
    name, colon, password = login.partition(":")
    return unquote(name) or None, unquote(password) if colon else None, address


def _split_port(address: str, where: str) -> tuple[str, int | None]:
    if address.startswith("[") and "]" in address:
        host, _, after = address[1:].partition("]")
        return unquote(host), _port(after.removeprefix(":"), where)
    host, _, port = address.partition(":")
    return unquote(host), _port(port, where)


def _port(value: Any, where: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = -1
    if not 0 <= port <= 65535:
        raise InvalidConnection(
            where,
            "its port is not a number from 0 to 65535. Percent-encode ':', '/', '@' and '?' "
            "where they are part of a login, a password or a host.",
        )
    return port


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        # The text holds secrets: only the mistake's place is shown.
        reason = f"it is no JSON (line {exc.lineno}, column {exc.colno})."
        raise InvalidConnection(where, reason) from None
    if not isinstance(value, dict):
        raise InvalidConnection(where, "it is JSON, but not an object in braces.")
    return cast("dict[str, Any]", value)


def _extra_of_json(value: Any, where: str) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return _json_object(str(value), f"extra in {where}")


def _extra_of_query(query: str, where: str) -> dict[str, Any]:
    if not query:
        return {}
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if EXTRA_KEY in pairs:
        return _extra_of_json(pairs[EXTRA_KEY], where)
    return dict(pairs)


def _query_of(extra: Mapping[str, Any]) -> str:
    simple = all(isinstance(value, str) and name for name, value in extra.items())
    if simple and EXTRA_KEY not in extra:
        return urlencode(extra)
    return urlencode({EXTRA_KEY: json.dumps(dict(extra))})
