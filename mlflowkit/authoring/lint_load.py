"""Lint rules about what a file does when it is loaded, and what is written in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from mlflowkit.authoring.lint_source import Source, keyword

HEAVY: Final = frozenset(
    {"cv2", "dask", "datasets", "jax", "keras", "lightgbm", "matplotlib", "nltk", "numpy"}
    | {"pandas", "polars", "pyarrow", "pyspark", "scipy", "seaborn", "sklearn", "spacy"}
    | {"statsmodels", "sympy", "tensorflow", "torch", "torchvision", "transformers"}
    | {"xgboost"}
)
_WEB = ("get", "post", "put", "patch", "delete", "head", "request", "options")
#: Calls that wait for something outside of the program.
_OUTSIDE: Final = frozenset(
    {f"{library}.{verb}" for library in ("requests", "httpx") for verb in _WEB}
    | {"urllib.request.urlopen", "urllib.request.urlretrieve", "time.sleep", "os.system"}
    | {
        f"subprocess.{name}"
        for name in ("run", "call", "check_call", "check_output", "Popen")
    }
    | {f"{library}.connect" for library in ("psycopg", "psycopg2", "pymysql", "sqlite3")}
    | {"pymongo.MongoClient", "redis.Redis.from_url", "socket.create_connection"}
)
_READS_DATA = re.compile(r"(pandas|polars)\.read_\w+|pyarrow\.parquet\.read_\w+")
_HOOK_CALL = re.compile(r"(?:^|\.)\w*Hook\(\)\.(?!__)\w+$")
_BOTO = re.compile(r"boto3\.(client|resource)\(\)(\.\w+(\(\))?)+$")
_STORED: Final = re.compile(
    r"(mlflowkit|airflow)[\w.]*\.(Variable\.get|(BaseHook|Connection)\.get\w*)$"
)
_NOW: Final = frozenset(
    {f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")}
    | {f"pendulum.{name}" for name in ("now", "today", "yesterday", "tomorrow")}
    | {"datetime.date.today", "time.time", "airflow.utils.dates.days_ago"}
    | {"airflow.utils.timezone.utcnow"}
)
_URL_WITH_PASSWORD = re.compile(
    r"\b[a-z][\w+.-]*://[^\s:/@{]+:(?P<secret>[^\s@/]+)@[\w.\[-]"
)
_ACCESS_KEY = re.compile(r"\bAKIA[0-9A-Z]{16}\b")
_SECRET_NAMES: Final = frozenset(
    {"password", "passwd", "secret_key", "api_key", "access_token", "auth_token"}
    | {"aws_secret_access_key", "aws_session_token", "client_secret"}
)
#: Values that only stand for a secret.
_PLACEHOLDER = re.compile(
    r"^$|[{}<>$%\s*]|^(x+|\.+|changeme|example|password|secret|test|dummy)$|^(env|secret):",
    re.IGNORECASE,
)
_MANY_ROUNDS: Final = 100_000


class Spot(NamedTuple):
    """What a rule found: where, and in which words."""

    rule: str
    #: Lines of the source as a whole.
    first: int
    last: int
    what: str
    todo: str = ""


def spot(rule: str, node: ast.AST, what: str, todo: str = "") -> Spot:
    """A finding at a node."""
    first = int(getattr(node, "lineno", 1))
    return Spot(rule, first, int(getattr(node, "end_lineno", None) or first), what, todo)


def heavy_imports(source: Source) -> Iterator[Spot]:
    """heavy-import"""
    for node in source.at_load:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in sorted({n.partition(".")[0] for n in names} & HEAVY):
            yield spot("heavy-import", node, f"{name} is imported when the file is loaded")


def outside_calls(source: Source) -> Iterator[Spot]:
    """top-level-io, top-level-variable"""
    for node in source.at_load:
        if not isinstance(node, ast.Call):
            continue
        name = _full(source, node.func)
        if _STORED.search(name):
            what = f"{_short(name)}() is called when the file is loaded"
            yield spot("top-level-variable", node, what)
        elif (
            name in _OUTSIDE
            or _READS_DATA.fullmatch(name)
            or _HOOK_CALL.search(name)
            or _BOTO.fullmatch(name)
        ):
            what = f"{_short(name)}() is called when the file is loaded"
            yield spot("top-level-io", node, what)


def _full(source: Source, node: ast.expr) -> str:
    """Its name, with a variable of the top level in its place: `hook.get` → `S3Hook().get`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        meant = source.meant(node.value)
        if isinstance(meant, ast.Call):
            return f"{source.name_of(meant)}.{node.attr}"
    return source.name_of(node)


def _short(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def long_loops(source: Source) -> Iterator[Spot]:
    """top-level-loop"""
    for node in source.at_load:
        if (
            isinstance(node, (ast.For, ast.comprehension))
            and _rounds(node.iter) > _MANY_ROUNDS
        ):
            rounds = f"{_rounds(node.iter):,}"
            at = node if isinstance(node, ast.For) else node.iter
            place = Spot("top-level-loop", at.lineno, at.lineno, "")
            yield place._replace(
                what=f"a loop goes {rounds} rounds when the file is loaded"
            )


def _rounds(over: ast.expr) -> int:
    if not (isinstance(over, ast.Call) and isinstance(over.func, ast.Name)):
        return 0
    values = [a.value for a in over.args if isinstance(a, ast.Constant)]
    numbers = [value for value in values if isinstance(value, int)]
    if over.func.id != "range" or not numbers or len(numbers) < len(over.args):
        return 0
    return len(range(*numbers))


def moving_start_dates(source: Source) -> Iterator[Spot]:
    """dynamic-start-date"""
    for node in ast.walk(source.tree):
        for value in _start_dates(node):
            for part in ast.walk(source.meant(value)):
                name = source.name_of(part.func) if isinstance(part, ast.Call) else ""
                if name in _NOW:
                    what = f"start_date is made by {_short(name)}()"
                    yield spot("dynamic-start-date", value, what)
                    break


def _start_dates(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and (value := keyword(node, "start_date")) is not None:
        yield value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "start_date":
                yield value


def secrets(source: Source) -> Iterator[Spot]:
    """secret-in-code"""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = _URL_WITH_PASSWORD.search(node.value)
            if found and not _PLACEHOLDER.search(found["secret"]):
                yield spot("secret-in-code", node, "a URL holds a password")
            elif _ACCESS_KEY.search(node.value):
                yield spot("secret-in-code", node, "a text holds an AWS access key")
        for name, value in _named_values(node):
            if name.lower() in _SECRET_NAMES and _is_secret(value):
                yield spot("secret-in-code", value, f"{name} is written in the file")


def _named_values(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _is_secret(value: ast.expr) -> bool:
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return False
    return len(value.value) >= 6 and not _PLACEHOLDER.search(value.value)
