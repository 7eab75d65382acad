"""What goes wrong in a template, told with its task, its field and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from mlflowkit.errors import (
    BadTemplate,
    ForbiddenInTemplate,
    TemplateFileMissing,
    UndefinedInTemplate,
    UserError,
    suggest,
)

if TYPE_CHECKING:
    import jinja2

#: Names that only runs with a logical date have.
DATED = frozenset(
    {
        "ds",
        "ds_nodash",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "yesterday_ds",
        "tomorrow_ds",
    }
    | {"yesterday_ds_nodash", "tomorrow_ds_nodash", "next_ds", "next_ds_nodash", "prev_ds"}
    | {"prev_ds_nodash", "task_instance_key_str"}
)


class HasEnvironment(Protocol):
    """An engine, as far as it is needed here."""

    env: jinja2.Environment


class Telling:
    """Turns errors of Jinja into ours; errors of a person's macros get a note of where."""

    def __init__(
        self, task_id: str, field: str, context: Mapping[str, Any], engine: HasEnvironment
    ) -> None:
        self._where = (task_id, field)
        self._context, self._env = context, engine.env

    def __enter__(self) -> Telling:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, UserError):
            return
        told = self._told(error)
        if told is not None:
            raise told from error
        task_id, field = self._where
        error.add_note(f"(while the template in {field} of task {task_id!r} was rendered)")

    def _told(self, error: BaseException) -> UserError | None:
        import jinja2
        from jinja2.exceptions import SecurityError

        # The sandbox refuses a range that is too long with an OverflowError.
        if isinstance(error, SecurityError) or "The sandbox blocks" in str(error):
            return ForbiddenInTemplate(*self._where, str(error))
        if isinstance(error, jinja2.UndefinedError):
            return self._undefined(error)
        if isinstance(error, jinja2.TemplateSyntaxError):
            return bad_template(*self._where, error, self._env)
        if isinstance(error, jinja2.TemplateNotFound):
            return file_missing(*self._where, str(error.name or error), self._env)
        return None

    def _undefined(self, error: jinja2.UndefinedError) -> UserError:
        name, owner = _what_is_missing(error)
        if owner is not None:
            return UndefinedInTemplate(*self._where, name, _names_of(owner), inside=owner)
        known = {*self._context, *self._env.globals}
        why = ""
        if name in DATED and name not in self._context:
            why = "this run has no logical date"
        return UndefinedInTemplate(*self._where, name, known, why=why)


def _what_is_missing(error: jinja2.UndefinedError) -> tuple[str, object]:
    """The name, and what was asked for it; None where it is a name of its own."""
    import jinja2
    from jinja2.utils import missing

    trace = error.__traceback__
    found: Any = None
    while trace is not None:
        first: Any = trace.tb_frame.f_locals.get("self")
        found = first if isinstance(first, jinja2.Undefined) else found
        trace = trace.tb_next
    if found is None:
        quoted = re.findall(r"'([^']*)'", str(error))
        return quoted[-1] if quoted else str(error), None
    owner: object = found._undefined_obj
    return str(found._undefined_name), None if owner is missing else owner


def _names_of(owner: object) -> list[str]:
    if isinstance(owner, Mapping):
        return [str(key) for key in owner]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [name for name in dir(owner) if not name.startswith("_")]


def bad_template(
    task_id: str,
    field: str,
    error: jinja2.TemplateSyntaxError,
    env: jinja2.Environment,
) -> BadTemplate:
    why = (error.message or "it cannot be read").rstrip(".")
    asked = re.match(r"No (filter|test) named '([^']*)'", why)
    hint = ""
    if asked:
        hint = suggest(asked[2], env.filters if asked[1] == "filter" else env.tests)
    return BadTemplate(task_id, field, why, error.lineno, error.name or "", hint)


def file_missing(
    task_id: str, field: str, name: str, env: jinja2.Environment
) -> TemplateFileMissing:
    import jinja2

    places: list[str] = []
    loaders: list[Any] = list(getattr(env.loader, "loaders", [env.loader]))
    for loader in loaders:
        if isinstance(loader, jinja2.FileSystemLoader):
            places += [str(place) for place in loader.searchpath]
    known = env.list_templates() if _is_small(places) else []
    return TemplateFileMissing(task_id, field, name, places, known)


def _is_small(places: list[str]) -> bool:
    """Suggestions list every file below: only where that is quickly done."""
    from itertools import islice
    from pathlib import Path

    return all(
        len(list(islice(Path(place).rglob("*"), 2000))) < 2000
        for place in places
        if Path(place).is_dir()
    )
