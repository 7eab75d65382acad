"""Secrets back ends: places outside of mlflowkit that know connections and variables.

The settings `secrets_backend` and `secrets_backend_kwargs` choose one: by the name of an
entry point of the group `mlflowkit.secrets`, or as `package.module.Class`. It lives in the
process that asks (a worker, a notebook, the command line), never in the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from mlflowkit.core.connection import Connection
from mlflowkit.errors import UnknownSecretsBackend
from mlflowkit.settings import settings

GROUP: Final = "mlflowkit.secrets"
#: Those that come with mlflowkit, by name.
OURS: Final[Mapping[str, str]] = {
    "aws": "mlflowkit.hooks.secrets_aws.SecretsManagerBackend",
    "file": "mlflowkit.hooks.secrets_files.LocalFilesystemBackend",
}


class BaseSecretsBackend:
    """What a back end of your own starts from. Override one method of each pair.

    It is made once in a process, with `secrets_backend_kwargs`, and asked from any thread.
    None means: not known here, ask the next place. An error stops the search.
    """

    def get_conn_value(self, conn_id: str) -> str | None:
        """The connection's URI or JSON, or None."""
        return None

    def get_connection(self, conn_id: str) -> Connection | None:
        """The connection, or None."""
        text = self.get_conn_value(conn_id)
        return Connection.from_text(conn_id, text) if text is not None else None

    def get_variable(self, key: str) -> str | None:
        """The text of a variable, or None."""
        return None

    @staticmethod
    def build_path(path_prefix: str, secret_id: str, sep: str = "/") -> str:
        """`prefix/id`."""
        return f"{path_prefix}{sep}{secret_id}"


def chosen_backend() -> BaseSecretsBackend | None:
    """The back end of the settings, or None.

    Raises:
        UnknownSecretsBackend: they name none that can be made.
    """
    chosen = settings()
    name = chosen.secrets_backend.strip()
    return _made(name, chosen.secrets_backend_kwargs) if name else None


@lru_cache(maxsize=1)
def _made(name: str, arguments: str) -> BaseSecretsBackend:
    try:
        made = _class(name)(**json.loads(arguments or "{}"))
    except TypeError as exc:
        raise UnknownSecretsBackend(name, f"its arguments do not fit: {exc}", OURS) from exc
    except ImportError as exc:
        raise UnknownSecretsBackend(name, str(exc), OURS) from exc
    if not callable(getattr(made, "get_connection", None)):
        raise UnknownSecretsBackend(name, "it is no BaseSecretsBackend", OURS)
    backend: BaseSecretsBackend = made
    return backend


def _class(name: str) -> Any:
    from importlib.metadata import entry_points  # here: it takes a while to load

    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    path = OURS.get(name, name).replace(":", ".")
    module, dot, attribute = path.rpartition(".")
    if not dot:
        raise UnknownSecretsBackend(name, "there is none of this name", OURS)
    found = getattr(import_module(module), attribute, None)
    if found is None:
        raise UnknownSecretsBackend(name, f"{module} has no {attribute}", OURS)
    return found
