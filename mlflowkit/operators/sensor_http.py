"""HttpSensor: waits until a web address answers as hoped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mlflowkit.authoring.python import with_context
from mlflowkit.authoring.sensor import BaseSensorOperator, PokeReturnValue
from mlflowkit.errors import InvalidConnection, SensorFailed
from mlflowkit.hooks.base import get_connection

if TYPE_CHECKING:
    import httpx

    from mlflowkit.core.connection import Connection

#: Seconds for one request where `extra_options` say nothing.
TIMEOUT_S: Final = 60.0
#: What a connection's extra may say of requests; all else in it are headers, as in Airflow.
_OPTIONS: Final = frozenset(
    {"timeout", "verify", "allow_redirects", "check_response", "proxies", "cert", "stream"}
    | {"max_redirects", "trust_env"}
)


class HttpSensor(BaseSensorOperator):
    """Sends a request until it is answered with a status below 400.

    Args:
        endpoint: What comes after the connection's address (templated).
        http_conn_id: Connection with host, and perhaps schema, port, login and password.
        method: Of the request.
        request_params: Query of a GET or HEAD request, form fields of others (templated).
        headers: Of the request (templated).
        response_error_codes_allowlist: Statuses that mean "not yet"; ["404"] if None.
        response_check: Called with the httpx.Response, and those names of the context that
            it has parameters for; true, or a PokeReturnValue that is done, ends the wait.
        extra_options: `timeout` in seconds, `verify`, `allow_redirects`, and
            `check_response` (False: `response_check` sees every status).

    Raises:
        SensorFailed: another status of 400 or more, or nobody answers.
    """

    template_fields: ClassVar[Sequence[str]] = ("endpoint", "request_params", "headers")

    def __init__(
        self,
        task_id: str,
        *,
        endpoint: str,
        http_conn_id: str = "http_default",
        method: str = "GET",
        request_params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        response_error_codes_allowlist: Sequence[str | int] | None = None,
        response_check: Callable[..., Any] | None = None,
        extra_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.endpoint = endpoint
        self.http_conn_id = http_conn_id
        self.method = method.upper()
        self.request_params = dict(request_params or {})
        self.headers = dict(headers or {})
        allowed = response_error_codes_allowlist
        self.response_error_codes_allowlist = (
            ["404"] if allowed is None else [str(code) for code in allowed]
        )
        self.response_check = response_check
        self.extra_options = dict(extra_options or {})

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        response = self._answer()
        if response.status_code >= 400 and self.extra_options.get("check_response", True):
            if str(response.status_code) in self.response_error_codes_allowlist:
                return False
            shown = response.request.url.copy_with(query=None)
            raise SensorFailed(
                f"sensor {self.task_id!r}: {self.method} {shown} "
                f"was answered with {response.status_code} {response.reason_phrase}."
            )
        if self.response_check is None:
            return True
        kwargs = with_context(self.response_check, (response,), {}, context)
        found = self.response_check(response, **kwargs)
        return found if isinstance(found, PokeReturnValue) else bool(found)

    def _answer(self) -> httpx.Response:
        import httpx

        connection = get_connection(self.http_conn_id)
        address = _address(connection, self.endpoint)
        where = "params" if self.method in ("GET", "HEAD") else "data"
        extra, options = connection.extra, {**connection.extra, **self.extra_options}
        own = {name: str(value) for name, value in extra.items() if name not in _OPTIONS}
        sent: dict[str, Any] = {where: self.request_params} if self.request_params else {}
        if connection.login:
            sent["auth"] = (connection.login, connection.password or "")
        try:
            return httpx.request(
                self.method,
                address,
                headers={**own, **self.headers},
                timeout=options.get("timeout", TIMEOUT_S),
                verify=options.get("verify", True),
                follow_redirects=options.get("allow_redirects", True),
                **sent,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            shown = address.partition("?")[0]
            raise SensorFailed(
                f"sensor {self.task_id!r}: {self.method} {shown} was not answered: {exc}. "
                f"See that connection {self.http_conn_id!r} has the right host and port."
            ) from exc


def _address(connection: Connection, endpoint: str) -> str:
    host = connection.host or ""
    if not host:
        where = f"connection {connection.conn_id!r}"
        raise InvalidConnection(where, "a connection for HTTP needs a host.")
    if "://" not in host:
        host = f"{connection.schema or 'http'}://{host}"
    port = f":{connection.port}" if connection.port else ""
    return f"{host.rstrip('/')}{port}/{endpoint.lstrip('/')}"
