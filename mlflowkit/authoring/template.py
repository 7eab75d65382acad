"""Templates in the arguments of tasks: `BashOperator(bash_command="echo {{ ds }}")`.

The strings of an operator's `template_fields` are rendered in the worker, just before
`execute`, at any depth. What comes from elsewhere, the output of a task or a parameter of
the run, is data: it is put in as it is, and never read as a template. jinja2 is loaded when
a template is found.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from mlflowkit.authoring.refs import Composed, MappedArg, ParamRef, Ref, XComArg, replaced
from mlflowkit.authoring.template_errors import Telling
from mlflowkit.errors import NotYetKnown

if TYPE_CHECKING:
    from mlflowkit.authoring.template_env import Engine

T = TypeVar("T")
#: What begins something that Jinja reads, unless a DAG chose other marks.
MARKS: Final = ("{{", "{%", "{#")
#: Options of Jinja's environment that are such marks, too.
_MARK_OPTIONS: Final = {
    "variable_start_string": "{{",
    "block_start_string": "{%",
    "comment_start_string": "{#",
    "line_statement_prefix": "",
    "line_comment_prefix": "",
}
_STAND_INS = (XComArg, ParamRef, MappedArg, Composed)
_SEVERAL = (list, tuple, set, frozenset)
_HOLD_NOTHING = {type(None), bool, int, float, bytes}


class Literal(Generic[T]):
    """A value that is passed on as it is, whatever its texts look like."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"literal({self.value!r})"


def literal(value: T) -> Literal[T]:
    """`literal("{{ x }}")`: the task gets these very characters."""
    return Literal(value)


@dataclass(kw_only=True)
class TemplateSettings:
    """What a DAG says of its templates."""

    #: The folder of the DAG's file.
    folder: str = ""
    searchpath: tuple[str, ...] = ()
    macros: dict[str, Any] = field(default_factory=dict[str, Any])
    filters: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Values keep their types: `{{ [1, 2] }}` gives a list.
    native: bool = False
    #: A class of jinja2's undefined ones; None: every unknown name is an error.
    undefined: Any = None
    #: For Jinja's environment.
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Texts of template files that were stored with the DAG's code, by name.
    files: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self._engine: Engine | None = None
        self._marks = marks_of(self.options)

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts without any of these are no templates."""
        return self._marks

    def own(self) -> tuple[Any, ...]:
        """What makes the templates of this DAG mean something else than those of another."""
        return (
            self.macros,
            self.filters,
            self.native,
            self.undefined,
            self.options,
        )

    def engine(self) -> Engine:
        if self._engine is None:
            from mlflowkit.authoring.template_env import Engine

            self._engine = Engine(self)
        return self._engine

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_engine": None, "files": {}}


def marks_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    if not options:
        return MARKS
    found = (options.get(name) or usual for name, usual in _MARK_OPTIONS.items())
    return tuple(mark for mark in found if mark)


def holds_template(text: str, marks: Iterable[str] = MARKS) -> bool:
    """Is there anything in the text that Jinja would read?"""
    return any(mark in text for mark in marks)


def names_file(text: str, extensions: tuple[str, ...]) -> bool:
    """Does the text name a file whose content is the template?"""
    return bool(extensions) and text.endswith(extensions)


def fields_of(owner: Any) -> tuple[str, ...]:
    """The `template_fields` of an operator, or of an object inside its arguments."""
    found: Any = getattr(cast("Any", type(owner)), "template_fields", ())
    if not isinstance(found, _SEVERAL):
        return (found,) if isinstance(found, str) else ()
    own: Any = getattr(owner, "__dict__", {}).get("template_fields")
    listed = isinstance(own, tuple | list)
    return tuple(map(str, cast("Iterable[object]", own if listed else found)))


def extensions_of(owner: Any) -> tuple[str, ...]:
    """The `template_ext` of an operator."""
    found: object = getattr(owner, "template_ext", ())
    if isinstance(found, str):
        return (found,)
    return tuple(str(ext) for ext in cast("Iterable[object]", found or ()))


def texts_in(value: object, inside: frozenset[int] = frozenset()) -> Iterator[str]:
    """Every text in a value that rendering would look at, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, PurePath):
        yield str(value)
    elif isinstance(value, dict):
        for item in cast("dict[object, object]", value).values():
            yield from texts_in(item, inside)
    elif isinstance(value, _SEVERAL):
        items = cast("list[object]", value)
        if not set(map(type, items)) <= _HOLD_NOTHING:
            for item in items:
                yield from texts_in(item, inside)
    elif not isinstance(value, (Literal, *_STAND_INS)) and id(value) not in inside:
        for name in fields_of(value):
            yield from texts_in(getattr(value, name, None), inside | {id(value)})


class DataWalk:
    """Puts real values in the place of stand-ins and literals, at any depth.

    What they give is data: nothing looks into it. Texts stay as they are.

    Args:
        give: Gives what a stand-in stands for.
    """

    def __init__(self, give: Callable[[Ref], object]) -> None:
        self._give = give
        self._inside: set[int] = set()

    def value(self, value: object) -> Any:
        """The value, filled in. One that holds nothing to fill in comes back as it is."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Literal):
            return cast("Literal[object]", value).value
        if isinstance(value, _STAND_INS):
            return replaced(value, self._give)
        if isinstance(value, dict):
            return self._dict(cast("dict[object, object]", value))
        if isinstance(value, _SEVERAL):
            return self._several(cast("list[object]", value))
        if isinstance(value, PurePath):
            text = str(value)
            made = self._text(text)
            return value if made is text else type(value)(str(made))
        return self._object(value) if fields_of(value) else value

    def _text(self, text: str) -> Any:
        return text

    def _dict(self, value: dict[object, object]) -> object:
        made = {replaced(key, self._give): self.value(i) for key, i in value.items()}
        same = all(made.get(key) is item for key, item in value.items())
        return value if same else made

    def _several(self, value: Any) -> object:
        if set(map(type, value)) <= _HOLD_NOTHING:
            return value
        items = [self.value(item) for item in value]
        if all(made is item for made, item in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)

    def _object(self, value: Any) -> object:
        """A copy of an object with template fields of its own; the object itself is shared."""
        if id(value) in self._inside:
            return value
        self._inside.add(id(value))
        made = copy.copy(value)
        for name in fields_of(value):
            setattr(made, name, self.value(getattr(value, name)))
        self._inside.discard(id(value))
        return made


class Templates(DataWalk):
    """Renders the template fields of one task, for one attempt.

    Args:
        settings: Gives those of the DAG; called when there is something to render.
        context: Airflow's names for what a task may know.
    """

    def __init__(
        self,
        task_id: str,
        settings: Callable[[], TemplateSettings],
        context: Mapping[str, Any],
    ) -> None:
        super().__init__(_nothing_to_give)
        self.task_id, self.context = task_id, context
        self._settings = settings
        self._field, self._did = "", False
        self._extensions: tuple[str, ...] = ()
        #: What was rendered, by field.
        self.rendered: dict[str, object] = {}

    def field(
        self,
        name: str,
        value: object,
        extensions: tuple[str, ...] = (),
        give: Callable[[Ref], object] | None = None,
    ) -> Any:
        """The value of a template field, rendered. What holds no template comes back as it is.

        Raises:
            TemplateError: it cannot be rendered; the message names the task and the field.
        """
        self._field, self._extensions, self._did = name, extensions, False
        self._give = give or _nothing_to_give
        made = self.value(value)
        if self._did:
            self.rendered[name] = made
        return made

    def text(self, name: str, text: str) -> Any:
        """A single text, rendered; errors call it `name`."""
        self._field, self._extensions = name, ()
        return self._text(text)

    def _text(self, text: str) -> Any:
        file = names_file(text, self._extensions)
        marks = self._settings().marks
        if not file and not holds_template(text, marks):
            return text
        engine = self._settings().engine()
        with Telling(self.task_id, self._field, self.context, engine):
            if file and (engine.has_file(text) or not is_command(text)):
                template = engine.file(text)
            elif holds_template(text, marks):
                template = engine.text(text)
            else:
                return text
            self._did = True
            return engine.render(template, self.context)


def unwrapped(value: object) -> Any:
    """The value without its literals; stand-ins and templates stay."""
    return DataWalk(lambda ref: ref).value(value)


def _nothing_to_give(ref: Ref) -> object:
    raise NotYetKnown(repr(ref), "rendered")


def is_command(text: str) -> bool:
    """`bash clean.sh` ends like the name of a file, and is none."""
    return any(c.isspace() for c in text) or any(mark in text for mark in MARKS)
