"""The secrets back end on AWS Secrets Manager. The one place that speaks to it.

A connection is the secret `PREFIX/CONN_ID`: a URI or JSON; also JSON as AWS itself writes
it for a database (`engine`, `username`, `dbname`). A variable is `PREFIX/KEY`: its text.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.errors import MissingExtra, SecretsBackendFailed
from mlflowkit.hooks.secrets_backend import BaseSecretsBackend

log = logging.getLogger("mlflowkit.secrets")
#: Other names of fields, as AWS and people write them.
_ALIASES: Final = {
    "engine": "conn_type",
    "user": "login",
    "username": "login",
    "user_name": "login",
    "pass": "password",
    "key": "password",
    "remote_host": "host",
    "server": "host",
    "dbname": "schema",
    "database": "schema",
    "extras": "extra",
}
_FIELDS: Final = frozenset(
    {"conn_type", "description", "login", "password", "host", "port", "schema", "extra"}
)


class SecretsManagerBackend(BaseSecretsBackend):
    """Connections and variables of AWS Secrets Manager.

    Args:
        connections_prefix: Before the ids of connections; None: none are looked for.
        variables_prefix: The same for variables.
        connections_lookup_pattern: Only ids that match this regular expression are asked
            for: each question costs money and time.
        variables_lookup_pattern: The same for variables.
        sep: Between prefix and id.
        profile_name: A profile of the AWS configuration.
        region_name: The region; else the one of the environment or the profile.
        endpoint_url: Another server than AWS's.
        more: Other arguments of a boto3 client.
    """

    def __init__(
        self,
        connections_prefix: str | None = "mlflowkit/connections",
        variables_prefix: str | None = "mlflowkit/variables",
        *,
        connections_lookup_pattern: str | None = None,
        variables_lookup_pattern: str | None = None,
        sep: str = "/",
        profile_name: str | None = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        **more: Any,
    ) -> None:
        self._connections = (connections_prefix, connections_lookup_pattern)
        self._variables = (variables_prefix, variables_lookup_pattern)
        self._sep, self._profile = sep, profile_name
        self._options = {"region_name": region_name, "endpoint_url": endpoint_url, **more}
        self._client: Any = None
        self._making = threading.Lock()

    def get_connection(self, conn_id: str) -> Connection | None:
        text = self._secret(conn_id, *self._connections)
        if text is None or not text.lstrip().startswith("{"):
            return Connection.from_text(conn_id, text) if text is not None else None
        return Connection.from_json(conn_id, _in_our_words(text))

    def get_variable(self, key: str) -> str | None:
        return self._secret(key, *self._variables)

    def _secret(self, name: str, prefix: str | None, pattern: str | None) -> str | None:
        if prefix is None or (pattern is not None and not re.match(pattern, name)):
            return None
        path = self.build_path(prefix, name, self._sep) if prefix else name
        client = self._made_client()
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = client.get_secret_value(SecretId=path)
        except ClientError as exc:
            self._unless_not_there(path, exc.response.get("Error", {}), exc)
            return None
        except BotoCoreError as exc:
            raise SecretsBackendFailed("aws", f"secret {path!r}", str(exc)) from exc
        text: str | None = found.get("SecretString")
        return text

    def _unless_not_there(self, path: str, error: dict[str, Any], exc: Exception) -> None:
        """Not there is no error; and who may read some secrets only is refused the others."""
        code = error.get("Code", "")
        if code == "ResourceNotFoundException":
            return
        if code in ("AccessDeniedException", "AccessDenied"):
            log.warning(
                "AWS lets nobody here read the secret %s: other places are asked", path
            )
            return
        why = f"{code}: {error.get('Message', '')}"
        raise SecretsBackendFailed("aws", f"secret {path!r}", why) from exc

    def _made_client(self) -> Any:
        with self._making:
            if self._client is None:
                try:
                    import boto3
                except ImportError as exc:
                    raise MissingExtra("boto3", "s3", "AWS Secrets Manager") from exc
                session = boto3.session.Session(profile_name=self._profile)
                options = {k: v for k, v in self._options.items() if v is not None}
                self._client = session.client("secretsmanager", **options)
            return self._client


def _in_our_words(text: str) -> str:
    """JSON with the fields of a connection; what is none of them becomes an extra."""
    try:
        facts = json.loads(text)
    except ValueError:
        return text  # whoever reads it says where it is wrong
    if not isinstance(facts, dict):
        return text
    named = {_ALIASES.get(name, name): value for name, value in facts.items()}
    found = {name: value for name, value in named.items() if name in _FIELDS}
    more = {name: value for name, value in named.items() if name not in _FIELDS}
    if more and isinstance(found.get("extra"), dict | None):
        found["extra"] = {**(found.get("extra") or {}), **more}
    return json.dumps(found)
