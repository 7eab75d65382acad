"""What goes into a notebook task and comes out, checked where it is written.

A notebook's signature is read from its file. A name that it surely does not have, and a
value or an output that surely does not fit, is an error at once; what cannot be known is
not, and what is wrong with the file itself is said before the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from mlflowkit.authoring.axes import written_kwargs
from mlflowkit.authoring.composed import WRITTEN, items_of
from mlflowkit.authoring.edge_types import check_arrow, check_param, what_it_gives
from mlflowkit.authoring.refs import ParamRef, XComArg, has_refs
from mlflowkit.authoring.runtime import part
from mlflowkit.authoring.template import holds_template, texts_in, unwrapped
from mlflowkit.core.spec import KWARGS_AXIS, RETURN_VALUE
from mlflowkit.errors import NeverAssigned, UnknownOutput

if TYPE_CHECKING:
    from mlflowkit.core.spec import ParamSpec

#: What may hold outputs of tasks inside.
_HOLD_OTHERS: Final = (list, tuple, set, dict)
#: What a notebook task gives beside its outputs.
_GIVES_ITSELF: Final = (
    "dict[str, object]",
    "every notebook task gives that; take an output of it by name, as fitted['score']",
)


def check_given(
    path: Path, given: Mapping[str, object], params: Iterable[ParamSpec] = ()
) -> None:
    """Does the notebook take these values, outputs and parameters of the DAG?

    Args:
        path: The notebook.
        given: Values for its parameters, the same for all instances.
        params: The DAG's own parameters.

    Raises:
        NoParametersCell, UnknownParameter, BadParameterName: it has no such parameter.
        WrongType, WrongEdge: one surely does not fit.
    """
    signature = _signature(path) if given else None
    if signature is None:
        return
    signature.check_names(given)
    declared = {param.name: param for param in params}
    for name, value in given.items():
        if isinstance(value, ParamRef) and value.name in declared:
            check_param(*_asked(signature, name), declared[value.name])
        _check_value(signature, name, value)


def check_mapped(path: Path, axes: Mapping[str, object]) -> None:
    """Does the notebook take the items of these axes? Raises what `check_given` does."""
    signature = _signature(path) if axes else None
    if signature is None:
        return
    named = {name: axis for name, axis in axes.items() if name != KWARGS_AXIS}
    signature.check_names(named)
    for name, axis in named.items():
        if isinstance(axis, XComArg):
            check_arrow(*_asked(signature, name), axis, mapped=True)
        elif isinstance(axis, WRITTEN):
            for at, item in enumerate(items_of(cast(object, axis))):
                _check_value(signature, name, item, f"item {at} of {name} in expand()")
    for at, kwargs in enumerate(written_kwargs(axes)):
        signature.check_names(kwargs)
        for name, value in kwargs.items():
            _check_value(signature, name, value, f"its value in item {at}")


def check_returns(path: Path, returns: Iterable[str]) -> None:
    """Could a cell of the notebook assign what is to be returned?

    Raises:
        NeverAssigned: surely none does.
    """
    signature = _signature(path) if returns else None
    if signature is None or signature.is_open or signature.variables.more:
        return
    known = signature.variables.types
    for name in returns:
        if name not in known and not signature.output(name) and name[:1] != "_":
            raise NeverAssigned(f"notebook {path.name}", name, known)


def check_output(path: Path, returns: Iterable[str], key: str) -> None:
    """Could the notebook give an XCom of this name?

    Raises:
        UnknownOutput: it surely does not.
    """
    signature = _signature(path)
    if signature is None or signature.is_open:
        return
    known = {*returns, *(one.name for one in signature.outputs)}
    if key != RETURN_VALUE and key not in known:
        raise UnknownOutput(f"notebook {path.name}", key, known)


def given_by_notebook(path: Path, key: str) -> tuple[str, str]:
    """The annotation of what a notebook's task gives under a key, and what says it."""
    signature = _signature(path)
    if key == RETURN_VALUE:
        return _GIVES_ITSELF
    said: str = signature.type_of(key) if signature is not None else ""
    return (said, f"notebook {path.name} says so") if said else ("", "")


def known_later(value: object) -> bool:
    """Does it hold something that is put in when the task runs?"""
    return has_refs(value) or any(holds_template(text) for text in texts_in(value))


def _signature(path: Path) -> Any:
    """The NotebookSignature; None for what is no proper notebook."""
    return part("mlflowkit.nbrun.signature", "signature_of")(path)


def _asked(signature: Any, name: str) -> tuple[str, str, str, str]:
    """Whose parameter it is, its name, its annotation, and that as it is shown."""
    where, parameter = f"notebook {signature.path.name}", signature.parameter(name)
    if parameter is None:
        return where, name, "", ""
    wanted = part("mlflowkit.nbrun.edges", "wanted_by")(parameter)
    return where, name, wanted, parameter.annotation or f"{wanted} (as its default is)"


def _check_value(signature: Any, name: str, value: object, item: str = "") -> None:
    if isinstance(value, XComArg):
        check_arrow(*_asked(signature, name), value)
    elif type(value) in _HOLD_OTHERS or not known_later(value):
        signature.check_value(name, _as_known(value), item)


def _as_known(value: object) -> object:
    """The value; in a list or a dict what comes later stands as what is known of it."""
    kind = type(value)
    if isinstance(value, XComArg):
        return _later(what_it_gives(value)[0], repr(value))
    if kind is dict:
        pairs = cast("dict[object, object]", value).items()
        return {_as_known(key): _as_known(item) for key, item in pairs}
    if kind in _HOLD_OTHERS and has_refs(value):
        items = map(_as_known, cast("Iterable[object]", value))
        return cast("Callable[..., object]", kind)(items)
    return _later("", repr(value)) if known_later(value) else unwrapped(value)


def _later(annotation: str, shown: str) -> object:
    return part("mlflowkit.nbrun.types", "Later")(annotation, shown)
