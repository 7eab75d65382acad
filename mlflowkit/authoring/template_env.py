"""Jinja, set up as templates of tasks need it. The only module that imports jinja2.

It is imported when a template is found, never with mlflowkit. Templates are written by
people who write DAGs; the sandbox keeps mistakes of theirs, and what data may tempt them
to call, away from Python's insides. What a template gives is never a template again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.nativetypes import NativeEnvironment
from jinja2.sandbox import SandboxedEnvironment, is_internal_attribute

from mlflowkit.authoring.moment import Moment
from mlflowkit.settings import root

if TYPE_CHECKING:
    from mlflowkit.authoring.template import TemplateSettings

#: Compiled templates that one process keeps: a mapped task renders the same ones again.
KEPT_TEMPLATES = 400
_GUARDS = {"default", "d"}


def ds(value: date | time | None) -> str | None:
    return None if value is None else value.strftime("%Y-%m-%d")


def ds_nodash(value: date | time | None) -> str | None:
    return None if value is None else value.strftime("%Y%m%d")


def ts(value: date | time | None) -> str | None:
    return None if value is None else value.isoformat()


def ts_nodash(value: date | time | None) -> str | None:
    return None if value is None else value.strftime("%Y%m%dT%H%M%S")


def ts_nodash_with_tz(value: date | time | None) -> str | None:
    if value is None:
        return None
    return value.isoformat().replace("-", "").replace(":", "")


FILTERS = {
    "ds": ds,
    "ds_nodash": ds_nodash,
    "ts": ts,
    "ts_nodash": ts_nodash,
    "ts_nodash_with_tz": ts_nodash_with_tz,
}


class TextEnvironment(SandboxedEnvironment):
    """Templates give texts."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Names with one underscore may be read; Python's insides may not."""
        return not is_internal_attribute(obj, attr)


class ValueEnvironment(NativeEnvironment, TextEnvironment):
    """Templates give values with their types: a list stays a list."""


class Names(Mapping[str, Any]):
    """The context over the DAG's own macros: values are made when a template asks."""

    def __init__(self, context: Mapping[str, Any], below: Mapping[str, Any]) -> None:
        self._context, self._below = context, below

    def __getitem__(self, name: str) -> Any:
        if name not in self._context:
            return self._below[name]
        value = self._context[name]
        return Moment.of(value) if isinstance(value, datetime) else value

    def __contains__(self, name: object) -> bool:
        return name in self._context or name in self._below

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._below), **dict.fromkeys(self._context)})

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Engine:
    """The templates of one DAG."""

    def __init__(self, settings: TemplateSettings) -> None:
        kind = ValueEnvironment if settings.native else TextEnvironment
        options: dict[str, Any] = {
            "loader": jinja2.ChoiceLoader(
                [
                    jinja2.DictLoader(settings.files),
                    jinja2.FileSystemLoader(folders(settings)),
                ]
            ),
            "undefined": settings.undefined or jinja2.StrictUndefined,
            "extensions": ["jinja2.ext.do"],
            **settings.options,
        }
        self.env: jinja2.Environment = kind(**options)
        filters: dict[str, Any] = self.env.filters
        filters |= {**FILTERS, **settings.filters}
        self.env.globals.update(settings.macros)
        self.marks = settings.marks
        self._known: dict[str, jinja2.Template] = {}

    @property
    def lenient(self) -> bool:
        """May a template name what nobody defines?"""
        return not issubclass(self.env.undefined, jinja2.StrictUndefined)

    def has_file(self, name: str) -> bool:
        return self.source(name) is not None

    def source(self, name: str) -> str | None:
        """The text of a template file; None if there is none of that name."""
        loader = self.env.loader
        if loader is None or "\n" in name:
            return None
        try:
            return loader.get_source(self.env, name)[0]
        except jinja2.TemplateNotFound:
            return None

    def file(self, name: str) -> jinja2.Template:
        return self.env.get_template(name)

    def text(self, text: str) -> jinja2.Template:
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= KEPT_TEMPLATES:
                self._known.clear()
            found = self._known[text] = self.env.from_string(text)
        return found

    def render(self, template: jinja2.Template, context: Mapping[str, Any]) -> Any:
        """What the template gives. Only names that it uses are computed."""
        names = cast("dict[str, Any]", Names(context, template.globals))
        inside = template.new_context(names, shared=True)
        parts = template.root_render_func(inside)
        found: Any = self.env.concat(parts)
        if isinstance(found, jinja2.Undefined):
            str(found)  # a strict one says what is missing
        return found

    def undeclared(self, source: str) -> set[str]:
        """Names that a template uses and does not define, but for those that it guards.

        `x | default(1)` and `x is defined` guard `x` in the whole template.
        """
        tree = self.env.parse(source)
        found = meta.find_undeclared_variables(tree) - set(self.env.globals)
        return {str(name) for name in found - _guarded(tree)}

    def referenced(self, source: str) -> tuple[list[str], bool]:
        """Files that a template includes, imports or extends; and whether some are computed."""
        names = list(meta.find_referenced_templates(self.env.parse(source)))
        return [name for name in names if name is not None], None in names


def warm() -> None:
    """Have Jinja build, once, what every first template waits for."""
    env = TextEnvironment(undefined=jinja2.StrictUndefined, extensions=["jinja2.ext.do"])
    filters: dict[str, Any] = env.filters
    filters |= FILTERS
    env.from_string("{% if a %}{{ a.b | ds }}{% endif %}").render(a={"b": None})


def _guarded(tree: nodes.Template) -> set[str]:
    guards = [f for f in tree.find_all(nodes.Filter) if f.name in _GUARDS]
    tests = [t for t in tree.find_all(nodes.Test) if t.name in ("defined", "undefined")]
    names = [guard.node for guard in (*guards, *tests)]
    return {node.name for node in names if isinstance(node, nodes.Name)}


def folders(settings: TemplateSettings) -> list[str]:
    """Where template files are looked up: beside the DAG's file, its search path, the root."""
    here = Path(settings.folder) if settings.folder else Path.cwd()
    places = [here, *(here / place for place in settings.searchpath), root(here)]
    return list(dict.fromkeys(str(place) for place in places))
