"""The arrows into and out of a notebook task, checked where they are drawn.

What a task gives is known from its return annotation, or from the code of its notebook. A
parameter that surely cannot take it is an error at once; what cannot be known is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import formatannotation
from pathlib import Path
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

from mlflowkit.authoring.conditions import DecoratedPython
from mlflowkit.authoring.params import hints_of
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.authoring.refs import XComArg
from mlflowkit.authoring.runtime import part
from mlflowkit.core.spec import RETURN_VALUE
from mlflowkit.errors import UnknownOutput, WrongEdge

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator

#: Whose classes mean what their names say; one of a person's own may be called `Series`, too.
_KNOWN_MAKERS: Final = frozenset(
    {"builtins", "typing", "collections", "datetime", "decimal", "pathlib", "uuid", "types"}
    | {"pandas", "polars", "numpy", "torch", "pyarrow", "PIL"}
)
#: Others make something else of what their function returns: a branch, a command.
_GIVE_WHAT_THEY_RETURN: Final = (PythonOperator, DecoratedPython)


def check_edges(path: Path, given: Mapping[str, object], *, mapped: bool = False) -> None:
    """Could the outputs among these values be what the notebook's parameters take?

    Args:
        path: The notebook.
        given: Values for its parameters; those that are no outputs are checked elsewhere.
        mapped: Each instance gets an item of its value.

    Raises:
        WrongEdge: one surely could not.
    """
    outputs = {n: one for n, one in given.items() if isinstance(one, XComArg)}
    signature = part("mlflowkit.nbrun.signature", "signature_of")(path) if outputs else None
    if signature is None:
        return
    for name, output in outputs.items():
        parameter = signature.parameter(name)
        if parameter is not None:
            _check(f"notebook {path.name}", parameter, output, mapped)


def _check(where: str, parameter: Any, output: XComArg, mapped: bool) -> None:
    edges = "mlflowkit.nbrun.edges"
    wanted = part(edges, "wanted_by")(parameter)
    said, by = what_it_gives(output)
    given = part(edges, "item_of")(said) if mapped else said
    if wanted and given and not part(edges, "can_be")(given, wanted):
        giver = f"each item of {output!r}" if mapped else repr(output)
        shown = parameter.annotation or f"{wanted} (as its default is)"
        raise WrongEdge(where, parameter.name, shown, giver, given, by)


def what_it_gives(output: XComArg) -> tuple[str, str]:
    """The annotation of an output, and what says it; empty where nothing does."""
    operator = output.operator
    if operator.group_axes:
        return "", ""
    said, by = _of_one(operator, output.key)
    return (f"list[{said}]" if said and operator.axes else said), by


def _of_one(operator: BaseOperator, key: str) -> tuple[str, str]:
    notebook = getattr(operator, "notebook_file", None)
    if isinstance(notebook, Path):
        signature = part("mlflowkit.nbrun.signature", "signature_of")(notebook)
        found = signature.output(key) if signature is not None else None
        return (found.annotation, f"notebook {notebook.name}") if found else ("", "")
    if type(operator) in _GIVE_WHAT_THEY_RETURN:
        operator = cast(PythonOperator, operator)
        annotation = hints_of(operator.python_callable).get("return", "")
        if key != RETURN_VALUE:
            annotation = _of_item(annotation, key)
        return _text(annotation), "the return annotation"
    return "", ""


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


def _text(annotation: Any) -> str:
    """An annotation as it is written; empty where a part of it is not surely what it seems."""
    if isinstance(annotation, str):
        return annotation
    if not all(map(_is_known, _classes_in(annotation))):
        return ""
    return formatannotation(annotation).replace("typing.", "")


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


def check_output(path: Path, returns: Iterable[str], key: str) -> None:
    """Could the notebook give an XCom of this name?

    Raises:
        UnknownOutput: it surely does not.
    """
    signature = part("mlflowkit.nbrun.signature", "signature_of")(path)
    if signature is None or signature.is_open:
        return
    known = {*returns, *(one.name for one in signature.outputs)}
    if key != RETURN_VALUE and key not in known:
        raise UnknownOutput(f"notebook {path.name}", key, known)
