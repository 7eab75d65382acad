"""Files of connections, variables and pools: JSON, YAML and .env, in Airflow's formats.

    connections  {"db": "postgres://…"}  {"db": {"conn_type": "postgres", …}}   db=postgres://…
    variables    {"key": "value"}  {"key": {"value": …, "description": "…"}}    key=value
    pools        {"name": {"slots": 5, "description": "…"}}

Also the secrets back end that reads such files. No error shows what is in a file but names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from mlflowkit.core.connection import Connection
from mlflowkit.errors import BadSecretsFile
from mlflowkit.hooks.secrets_backend import BaseSecretsBackend

_BY_SUFFIX: Final = {"json": "json", "yaml": "yaml", "yml": "yaml", "env": "env"}
#: Fields that only Airflow's own files have.
_MORE_FIELDS: Final = frozenset({"conn_id", "extra_dejson"})


class VariableText(NamedTuple):
    """A variable of a file."""

    value: str
    description: str | None = None


def format_of(path: Path, given: str | None = None) -> str:
    """The format of a file, by its name unless it is given.

    Raises:
        BadSecretsFile: the name says nothing.
    """
    if given is not None:
        return given
    suffix = path.name.rpartition(".")[2].lower()
    if suffix not in _BY_SUFFIX:
        raise BadSecretsFile(path, "name it .json, .yaml, .yml or .env.")
    return _BY_SUFFIX[suffix]


def read_connections(path: Path, given: str | None = None) -> dict[str, Connection]:
    """The connections of a file, by id.

    Raises:
        BadSecretsFile: it is not there, or not in its format.
        InvalidConnection: one of them cannot be read.
    """
    return {i: _connection(path, i, v) for i, v in _read(path, given).items()}


def _connection(path: Path, conn_id: str, value: Any) -> Connection:
    if isinstance(value, list) and len(value) == 1:  # Airflow once kept lists of URIs
        value = value[0]
    if isinstance(value, str):
        return Connection.from_text(conn_id, value)
    if not isinstance(value, Mapping):
        raise BadSecretsFile(path, f"connection {conn_id!r} is neither text nor an object.")
    facts = {k: v for k, v in value.items() if k not in _MORE_FIELDS}
    if "extra" not in facts and value.get("extra_dejson"):
        facts["extra"] = value["extra_dejson"]
    return Connection.from_json(conn_id, json.dumps(facts, default=str))


def read_variables(path: Path, given: str | None = None) -> dict[str, VariableText]:
    """The variables of a file, by key. What is no text there becomes JSON.

    Raises:
        BadSecretsFile: it is not there, or not in its format.
    """
    return {key: _variable(value) for key, value in _read(path, given).items()}


def _variable(value: Any) -> VariableText:
    if isinstance(value, Mapping) and value.keys() <= {"value", "description"} >= {"value"}:
        value, description = value.get("value"), value.get("description")
    else:
        description = None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return VariableText(text, description)


def read_pools(path: Path, given: str | None = None) -> dict[str, tuple[int, str]]:
    """Slots and description of the pools of a file, by name.

    Raises:
        BadSecretsFile: it is not there, or not in its format.
    """
    return {name: _pool(path, name, facts) for name, facts in _read(path, given).items()}


def _pool(path: Path, name: str, facts: Any) -> tuple[int, str]:
    slots = facts.get("slots") if isinstance(facts, Mapping) else None
    if isinstance(slots, bool) or not isinstance(slots, int):
        raise BadSecretsFile(path, f"pool {name!r} is not like {{'slots': 5}}.")
    return slots, str(facts.get("description") or "")


# ── formats ─────────────────────────────────────────────────────────────────


def _read(path: Path, given: str | None) -> dict[str, Any]:
    kind = format_of(path, given)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or "it is no text"
        raise BadSecretsFile(path, f"{why}.") from None
    readers: dict[str, Callable[[Path, str], Any]] = {
        "json": _json,
        "yaml": _yaml,
        "env": _env,
    }
    found = readers[kind](path, text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadSecretsFile(path, "it is no object of names and values.")
    return {str(name): value for name, value in found.items()}


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text or "{}", object_pairs_hook=lambda pairs: _once(path, pairs))
    except json.JSONDecodeError as exc:
        why = f"it is no JSON (line {exc.lineno}, column {exc.colno})."
        raise BadSecretsFile(path, why) from None


def _once(path: Path, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadSecretsFile(path, f"{name!r} stands in it twice.")
        found[name] = value
    return found


def _yaml(path: Path, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise BadSecretsFile(path, f"it is no YAML{where}.") from None


def _env(path: Path, text: str) -> dict[str, str]:
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        name, mark, value = line.removeprefix("export ").partition("=")
        if not mark or not name.strip():
            raise BadSecretsFile(path, f"line {number} is not NAME=VALUE.")
        pairs.append((name.strip(), _unquoted(value.strip())))
    return _once(path, pairs)


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def written(entries: Mapping[str, Any], kind: str) -> str:
    """Entries as the text of a file; for "env" each is a line.

    Raises:
        BadSecretsFile: a line of a .env file cannot hold a value of several lines.
    """
    if kind == "json":
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    if kind == "yaml":
        import yaml

        text: str = yaml.safe_dump(dict(entries), sort_keys=False, allow_unicode=True)
        return text
    for name, value in entries.items():
        if len(str(value).splitlines()) > 1:
            raise BadSecretsFile(".env", f"{name!r} has several lines; use JSON or YAML.")
    return "".join(f"{name}={value}\n" for name, value in entries.items())


class LocalFilesystemBackend(BaseSecretsBackend):
    """Connections and variables from files, read anew when they change.

    Args:
        connections_file_path: A .json, .yaml, .yml or .env file of connections.
        variables_file_path: The same of variables.
    """

    def __init__(
        self,
        connections_file_path: str | None = None,
        variables_file_path: str | None = None,
    ) -> None:
        self._connections = _File(connections_file_path, read_connections)
        self._variables = _File(variables_file_path, read_variables)

    def get_connection(self, conn_id: str) -> Connection | None:
        found: Connection | None = self._connections.entries().get(conn_id)
        return found

    def get_variable(self, key: str) -> str | None:
        found: VariableText | None = self._variables.entries().get(key)
        return found.value if found is not None else None


class _File:
    """The entries of a file, kept until it changes."""

    def __init__(self, path: str | None, read: Callable[[Path], Mapping[str, Any]]) -> None:
        self._path = Path(path).expanduser() if path else None
        self._read_entries = read
        self._seen: tuple[int, int, int] | None = None
        self._entries: Mapping[str, Any] = {}

    def entries(self) -> Mapping[str, Any]:
        if self._path is None:
            return {}
        try:
            found = self._path.stat()
        except OSError as exc:
            raise BadSecretsFile(self._path, f"{exc.strerror}.") from None
        now = (found.st_mtime_ns, found.st_size, found.st_ino)
        if now != self._seen:
            self._entries, self._seen = self._read_entries(self._path), now
        return self._entries
