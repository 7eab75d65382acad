"""What the arrows between tasks carry, as annotations, and whether that can be taken.

Only what is surely wrong is an error: an annotation that is not there, a class of a
person's own, what is made of several outputs can never be one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import Parameter, formatannotation, signature
from itertools import chain, cycle
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from mlflowkit.authoring.params import hints_of
from mlflowkit.authoring.refs import ParamRef, XComArg
from mlflowkit.authoring.runtime import part
from mlflowkit.core.spec import RETURN_VALUE
from mlflowkit.errors import WrongEdge

if TYPE_CHECKING:
    from mlflowkit.core.spec import ParamSpec

#: Whose classes mean what their names say; one of a person's own may be called `Series`, too.
_KNOWN_MAKERS: Final = frozenset(
    {"builtins", "typing", "collections", "datetime", "decimal", "pathlib", "uuid", "types"}
    | {"pandas", "polars", "numpy", "torch", "pyarrow", "PIL"}
)
_OF_JSON: Final[Mapping[str, str]] = {
    "integer": "int",
    "number": "float",
    "string": "str",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
}
_BY_PLACE: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def check_arrow(
    where: str, name: str, wanted: str, shown: str, giver: XComArg, *, mapped: bool = False
) -> None:
    """Could an output be what a parameter takes?

    Args:
        where: Whose parameter it is: "notebook fit.ipynb", "task 'publish'".
        name: The parameter's.
        wanted: The parameter's annotation; empty: it takes anything.
        shown: How that is shown.
        giver: The output.
        mapped: Each instance gets an item of it.

    Raises:
        WrongEdge: it surely could not.
    """
    if not wanted:
        return
    said, by = what_it_gives(giver)
    edges = "mlflowkit.nbrun.edges"
    given = part(edges, "item_of")(said) if mapped else said
    if given and not part(edges, "can_be")(given, wanted):
        what = f"each item of {giver!r}" if mapped else repr(giver)
        raise WrongEdge(where, name, shown, what, given, by)


def check_param(where: str, name: str, wanted: str, shown: str, param: ParamSpec) -> None:
    """Could a parameter of the DAG be what a task's parameter takes?

    Raises:
        WrongEdge: it surely could not.
    """
    given = _of_schema(json.loads(param.schema_json))
    if wanted and given and not part("mlflowkit.nbrun.edges", "can_be")(given, wanted):
        giver = repr(ParamRef(param.name))
        raise WrongEdge(where, name, shown, giver, given, "the DAG says so")


def what_it_gives(output: XComArg) -> tuple[str, str]:
    """The annotation of an output, and what says it; empty where nothing does."""
    operator = output.operator
    if operator.group_axes:
        return "", ""
    said, by = operator.gives(output.key)
    return (f"list[{said}]" if said and operator.axes else said), by


def given_by_function(function: Callable[..., Any], key: str) -> str:
    """The annotation of what a function's task gives under a key."""
    annotation = hints_of(function).get("return", "")
    return text_of(annotation if key == RETURN_VALUE else _of_item(annotation, key))


def taken_by_function(
    function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> Iterator[tuple[str, str, object]]:
    """Name, annotation and value of each argument that a call gives to a function."""
    try:
        known = signature(function).parameters
    except (TypeError, ValueError):
        return  # a built-in one that does not say
    hints = hints_of(function)
    in_order = [p for p in known.values() if p.kind in _BY_PLACE]
    several = [p for p in known.values() if p.kind is Parameter.VAR_POSITIONAL]
    rest = [p for p in known.values() if p.kind is Parameter.VAR_KEYWORD]
    for value, one in zip(args, chain(in_order, cycle(several)), strict=False):
        yield one.name, _wanted(one, hints), value
    for name, value in kwargs.items():
        for one in [known[name]] if name in known else rest:
            yield name, _wanted(one, hints), value


def _wanted(parameter: Parameter, hints: Mapping[str, Any]) -> str:
    said = text_of(hints.get(parameter.name, ""))
    optional = parameter.default is None and "None" not in said
    return f"{said} | None" if said and optional else said


def text_of(annotation: Any) -> str:
    """An annotation as it is written; empty where a part of it is not surely what it seems."""
    if isinstance(annotation, str):
        return annotation
    if not all(map(_is_known, _classes_in(annotation))):
        return ""
    return formatannotation(annotation).replace("typing.", "")


def _of_item(annotation: Any, key: str) -> Any:
    """What a function that returns a dict gives under one of its keys."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if not is_typeddict(annotation):
        return ""
    try:
        return get_type_hints(annotation).get(key, "")
    except NameError:
        return ""


def _classes_in(annotation: Any) -> Iterable[Any]:
    origin = get_origin(annotation)
    if origin is None:
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _classes_in(inner)


def _is_known(one: Any) -> bool:
    if not isinstance(one, type):
        return True
    module = cast(str, getattr(one, "__module__", ""))
    return module.partition(".")[0] in _KNOWN_MAKERS


def _of_schema(schema: Mapping[str, Any]) -> str:
    """What a JSON Schema allows, as an annotation; empty where it cannot be said."""
    if "anyOf" in schema:
        parts = [_of_schema(one) for one in schema["anyOf"]]
        return " | ".join(parts) if all(parts) else ""
    if "format" in schema or not isinstance(schema.get("type"), str):
        return ""
    kind = _OF_JSON.get(schema["type"], "")
    items = _of_schema(schema["items"]) if kind == "list" and "items" in schema else ""
    return f"list[{items}]" if items else kind
