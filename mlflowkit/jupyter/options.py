"""Options as people write them behind a magic: `--retries 2 --retry-delay 30s --pool gpu`."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from mlflowkit.authoring.dag_options import DAG_OPTIONS
from mlflowkit.authoring.options import TASK_OPTIONS
from mlflowkit.errors import BadMagic, UnknownOption

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Options that are spans of time.
_SPANS: Final = frozenset(
    {"retry_delay", "max_retry_delay", "execution_timeout", "cache", "dagrun_timeout"}
)
_SWITCHES: Final = frozenset(
    {
        "catchup",
        "depends_on_past",
        "do_xcom_push",
        "fail_fast",
        "isolate",
        "retry_exponential_backoff",
        "wait_for_downstream",
    }
)
_DATES: Final = frozenset({"start_date", "end_date"})
#: Options that only code can give.
_CODE: Final = re.compile(
    r"_callback$|^(dag|task_group|task_id|default_args|params|inlets|outlets|"
    r"doc_json|user_defined_\w+|template_\w+|jinja_\w+)$"
)
TASK_WORDS: Final = frozenset(n for n in TASK_OPTIONS if not _CODE.search(n))
DAG_WORDS: Final = frozenset(n for n in DAG_OPTIONS - {"dag_id"} if not _CODE.search(n))


@dataclass(slots=True)
class Given:
    """What stands behind a magic."""

    words: list[str] = field(default_factory=list[str])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    #: `-p name=value`, as texts.
    params: dict[str, str] = field(default_factory=dict[str, str])
    #: Options that are the magic's own: `--run`, `--help`.
    own: dict[str, str] = field(default_factory=dict[str, str])


def read_line(
    magic: str, line: str, known: frozenset[str], own: Mapping[str, bool]
) -> Given:
    """Take a magic's line apart.

    Args:
        known: Names of options, with underscores.
        own: Names of the magic's own options, and whether each takes a value.

    Raises:
        BadMagic, UnknownOption: it cannot be understood.
    """
    try:
        parts = iter(shlex.split(line))
    except ValueError as exc:
        raise BadMagic(f"{magic} {line}", f"a quote is not closed ({exc})") from exc
    given = Given()
    for part in parts:
        if part in ("-p", "--param"):
            _param(given, f"{magic} {line}", next(parts, ""))
        elif part.startswith("--"):
            _option(given, magic, part[2:], parts, known, own)
        elif part == "-h":
            given.own["help"] = ""
        else:
            given.words.append(part)
    return given


def _param(given: Given, line: str, text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise BadMagic(line, f"after -p, {text!r} is not NAME=VALUE")
    given.params[name.strip()] = value


def _option(
    given: Given,
    magic: str,
    text: str,
    parts: Iterator[str],
    known: frozenset[str],
    own: Mapping[str, bool],
) -> None:
    word, equals, value = text.partition("=")
    name = word.replace("-", "_")
    name = {"tz": "timezone"}.get(name, name)
    negated = name.startswith("no_") and name[3:] in _SWITCHES
    if name in own:
        given.own[name] = (value if equals else next(parts, "")) if own[name] else ""
    elif negated:
        given.options[name[3:]] = False
    elif name in _SWITCHES and name in known and not equals:
        given.options[name] = True
    elif name in known:
        value = value if equals else next(parts, "")
        given.options[name] = value_of(f"{magic} --{word}", name, value)
    else:
        shown = [k.replace("_", "-") for k in (*known, *own)]
        raise UnknownOption(magic, word, shown)


def value_of(where: str, name: str, text: str) -> Any:
    """An option's value from its text: a span, a date, a Python literal, or the text itself.

    Raises:
        BadMagic: there is none, or it is no span or date where one is needed.
    """
    if not text:
        raise BadMagic(where, "needs a value")
    if name == "schedule":
        return None if text == "None" else text
    if name == "tags":
        return tuple(t for t in text.split(",") if t)
    if name in _SPANS:
        return _span(where, name, text)
    if name in _DATES:
        try:
            return datetime.fromisoformat(text)
        except ValueError as exc:
            raise BadMagic(where, f"{text!r} is no date such as 2026-03-01") from exc
    return literal_of(text)


def literal_of(text: str) -> Any:
    """`3`, `True`, `[1, 2]`, `true`, `null` as values; anything else is a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "null": None}.get(text, text)


def _span(where: str, name: str, text: str) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text)
    if found:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2] or "s"])
    if name == "cache" and text in ("True", "False"):
        return text == "True"
    raise BadMagic(where, f"{text!r} is no span of time such as 30s, 5m, 2h or 1d")
