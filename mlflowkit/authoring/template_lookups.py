"""`var` and `conn` in templates and in the context: looked up when they are asked for.

Whoever looks them up hides their secrets in logs; here nothing is kept, and nothing shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mlflowkit.core.connection import Connection

_UNSET: Final = object()


class Connections:
    """`conn.my_id.host`, `conn.get("my_id", default)`.

    Args:
        get: Gives a connection, or raises ConnectionMissing.
        find: Gives a connection, or None.
    """

    def __init__(
        self, get: Callable[[str], Connection], find: Callable[[str], Connection | None]
    ) -> None:
        self._get, self._find = get, find

    def __getattr__(self, conn_id: str) -> Connection:
        if conn_id.startswith("__"):
            raise AttributeError(conn_id)
        return self._get(conn_id)

    def __getitem__(self, conn_id: str) -> Connection:
        return self._get(conn_id)

    def get(self, conn_id: str, default_conn: Any = None) -> Any:
        """The connection, or `default_conn` where no place knows it."""
        found = self._find(conn_id)
        return default_conn if found is None else found

    def __repr__(self) -> str:
        return "<conn: connections by their id>"


class _Values:
    """`var.value.key`, or with `json`, `var.json.key`."""

    def __init__(self, find: Callable[..., Any], *, json: bool) -> None:
        self._find, self._json = find, json

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self._find(key, deserialize_json=self._json)

    def __getitem__(self, key: str) -> Any:
        return self._find(key, deserialize_json=self._json)

    def get(self, key: str, default: Any = _UNSET, *, default_var: Any = _UNSET) -> Any:
        """The variable, or the default where no place knows it.

        Raises:
            VariableMissing: there is none, and no default.
        """
        fallback = default if default is not _UNSET else default_var
        more = {} if fallback is _UNSET else {"default": fallback}
        return self._find(key, deserialize_json=self._json, **more)

    def __repr__(self) -> str:
        return "<var: variables by their key>"


class Variables:
    """`var.value` gives texts, `var.json` what a JSON text says."""

    def __init__(self, find: Callable[..., Any]) -> None:
        self.value = _Values(find, json=False)
        self.json = _Values(find, json=True)

    def __repr__(self) -> str:
        return "<var: var.value.key or var.json.key>"
