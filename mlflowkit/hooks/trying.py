"""Trying a connection: one small question to the system behind it, by the connection's type.

It changes nothing there. A type for which no question is known is said to be untested,
never to be fine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from mlflowkit.core.connection import Connection
from mlflowkit.errors import ConnectionError_, DeployError, MissingExtra, TaskFailed
from mlflowkit.hooks.base import get_connection

TIMEOUT_SECONDS: Final = 10.0


class Tried(NamedTuple):
    """What came of it. `works` is None where it cannot be tested."""

    works: bool | None
    told: str


def try_connection(conn_id: str) -> Tried:
    """Ask the system behind a connection something.

    Raises:
        ConnectionMissing: no place knows the connection.
        InvalidConnection: it is defined, in a way that cannot be read.
        MissingExtra: the library for its type is not installed.
    """
    connection = get_connection(conn_id)
    ask = _question(connection.conn_type)
    if ask is None:
        return Tried(None, f"a connection of type {connection.conn_type} cannot be tested")
    try:
        return ask(connection)
    except MissingExtra:
        raise
    except (ConnectionError_, DeployError, TaskFailed) as exc:
        return Tried(False, str(exc))


def _question(conn_type: str) -> Callable[[Connection], Tried] | None:
    if conn_type in ("aws", "s3", "minio"):
        return _s3
    if conn_type == "kubernetes":
        return _kubernetes
    if conn_type in ("http", "https"):
        return _http
    return _sql if _is_sql(conn_type) else None


def _is_sql(conn_type: str) -> bool:
    from mlflowkit.hooks.sql import HOOKS

    return conn_type in HOOKS or conn_type.partition("+")[0] in (
        "mariadb",
        "mssql",
        "mysql",
        "oracle",
        "postgresql",
        "snowflake",
        "sqlite",
    )


def _sql(connection: Connection) -> Tried:
    from mlflowkit.hooks.sql import sql_hook

    return Tried(*sql_hook(connection.conn_id).test_connection())


def _s3(connection: Connection) -> Tried:
    from mlflowkit.hooks.s3 import S3Hook

    hook = S3Hook(connection.conn_id)
    with hook.errors():
        found = hook.get_conn().list_buckets()
    return Tried(True, f"S3 answers: {len(found.get('Buckets', []))} buckets")


def _kubernetes(connection: Connection) -> Tried:
    from mlflowkit.hooks.kubernetes import KubernetesHook

    cluster = KubernetesHook(connection.conn_id).cluster
    from kubernetes.client import VersionApi

    found = cluster.call("ask for its version", VersionApi(cluster.api).get_code)
    return Tried(True, f"Kubernetes {found['gitVersion']} answers")


def _http(connection: Connection) -> Tried:
    import httpx

    url = _url(connection)
    login = (connection.login or "", connection.password or "")
    auth = login if connection.login or connection.password else None
    try:
        found = httpx.head(url, auth=auth, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return Tried(False, f"{url} does not answer: {type(exc).__name__}")
    words = f"{url} answers {found.status_code} {found.reason_phrase}".rstrip()
    return Tried(
        found.status_code not in (401, 403, 407) and found.status_code < 500, words
    )


def _url(connection: Connection) -> str:
    """As Airflow's HttpHook: `host` may have a scheme, else `schema` is it."""
    host = connection.host or ""
    if "://" in host:
        url = host
    else:
        scheme = connection.schema or connection.conn_type
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}"
    return f"{url}:{connection.port}" if connection.port is not None else url
