"""Templates of a DAG, looked at before it runs: mistakes, and the files that they need.

Nothing is rendered here, and no macro is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mlflowkit.authoring.context import TEMPLATE_NAMES
from mlflowkit.authoring.fill import class_fields
from mlflowkit.authoring.template import (
    TemplateSettings,
    extensions_of,
    fields_of,
    holds_template,
    is_command,
    names_file,
    texts_in,
)
from mlflowkit.authoring.template_errors import Telling, file_missing
from mlflowkit.errors import BadOption, UndefinedInTemplate

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator
    from mlflowkit.authoring.template_env import Engine


@dataclass(frozen=True, slots=True)
class Found:
    """A template of a task."""

    task_id: str
    field: str
    text: str
    #: The text names the file that holds the template.
    file: bool


@dataclass(slots=True)
class TemplatesOfTask:
    """What the templates of one task need."""

    files: dict[str, str] = field(default_factory=dict[str, str])
    #: Some includes are computed: their files are read from the disk when the task runs.
    open_ended: bool = False
    any: bool = False


def templates_in(task: BaseOperator, settings: TemplateSettings) -> Iterator[Found]:
    """Every template that is written in a task's arguments."""
    extensions = extensions_of(getattr(task, "operator_class", task))
    marks = settings.marks
    for name, value in _values_of(task):
        for text in texts_in(value):
            file = names_file(text, extensions)
            if file or holds_template(text, marks):
                yield Found(task.task_id, name, text, file)


def _values_of(task: BaseOperator) -> Iterator[tuple[str, object]]:
    """Its template fields: of a mapped task, shared and mapped arguments."""
    cls = getattr(task, "operator_class", None)
    fields = tuple(class_fields(cls)) if cls else fields_of(task)
    inside: dict[str, Any] = (
        task.arguments() if cls is None else getattr(task, "shared", {})
    )
    for name in fields:
        if name in inside:
            yield name, inside[name]
        elif cls is None:
            yield name, getattr(task, name, None)
    for name, axis in task.axes.items():
        if cls is None or name in fields:
            yield name, axis
        elif isinstance(axis, list | tuple):
            items = cast("list[object]", axis)
            for item in items:
                if isinstance(item, dict):
                    given = cast("dict[str, object]", item)
                    yield from ((n, v) for n, v in given.items() if n in fields)


def needs_of(task: BaseOperator, settings: TemplateSettings) -> TemplatesOfTask:
    """The files that the templates of a task are made of, also those they include.

    Raises:
        TemplateError: one is missing, or cannot be read.
    """
    needs = TemplatesOfTask()
    for found in templates_in(task, settings):
        needs.any = True
        engine = settings.engine()
        with Telling(found.task_id, found.field, CONTEXT, engine):
            source = _source(found, engine)
            if source is not None:
                if found.file:
                    needs.files[found.text] = source
                _follow(needs, source, engine)
    return needs


#: What `Telling` may suggest where no context is there yet.
CONTEXT = dict.fromkeys(TEMPLATE_NAMES)


def _source(found: Found, engine: Engine) -> str | None:
    if not found.file:
        return found.text
    source = engine.source(found.text)
    if source is None:
        if is_command(found.text):
            return found.text if holds_template(found.text, engine.marks) else None
        raise file_missing(found.task_id, found.field, found.text, engine.env)
    return source


def _follow(needs: TemplatesOfTask, source: str, engine: Engine) -> None:
    names, computed = engine.referenced(source)
    needs.open_ended |= computed
    for name in names:
        if name not in needs.files:
            text = engine.source(name)
            if text is not None:
                needs.files[name] = text
                _follow(needs, text, engine)


def read_ahead(task: BaseOperator, settings: TemplateSettings) -> None:
    """Compile the templates of a task: whatever forks from this process has them ready.

    Raises:
        jinja2.TemplateError: one cannot be read; its task will say so.
    """
    for found in templates_in(task, settings):
        engine = settings.engine()
        if found.file and engine.has_file(found.text):
            engine.file(found.text)
        elif not found.file:
            engine.text(found.text)


def check_templates(task: BaseOperator, settings: TemplateSettings) -> None:
    """Look for mistakes in the templates of a task.

    Raises:
        BadOption: its class names a template field that it does not have.
        TemplateError: a template cannot be read, or uses a name that nothing defines.
    """
    if not hasattr(task, "operator_class"):
        for name in fields_of(task):
            if not hasattr(task, name):
                where = f"{type(task).__name__} of task {task.task_id!r}"
                why = f"has {name!r}, which is no attribute of it"
                raise BadOption(where, "template_fields", why)
    for found in templates_in(task, settings):
        engine = settings.engine()
        with Telling(found.task_id, found.field, CONTEXT, engine):
            source = _source(found, engine)
            if source is None:
                continue
            unknown = engine.undeclared(source) - TEMPLATE_NAMES
            if unknown and not engine.lenient:
                known = {*TEMPLATE_NAMES, *engine.env.globals}
                raise UndefinedInTemplate(found.task_id, found.field, min(unknown), known)
