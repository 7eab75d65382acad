"""Functions of cells in a pickle: their code finds the file that stands for its cell again."""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from typing import Any, Final

from cloudpickle import cloudpickle as _cloud

#: Marks a code object's file: that of the cell, wherever the next kernel puts it.
_CELL_FILE: Final = "\0cell/"


def reduce_code(code: types.CodeType, uses: set[str]) -> Any:
    """How a pickle keeps it; the names that it reads are added to `uses`."""
    uses.update(code.co_names)
    name = os.path.basename(code.co_filename)
    plain = code.replace(co_filename=_CELL_FILE + name)
    function, arguments = _cloud._code_reduce(plain)[:2]
    return _make_code, (function, *arguments)


def _make_code(function: Callable[..., types.CodeType], *arguments: Any) -> types.CodeType:
    code = function(*arguments)
    name = code.co_filename.removeprefix(_CELL_FILE)
    if name.startswith("<"):
        return code.replace(co_filename=name)
    return code.replace(co_filename=os.path.join(_cell_folder(), name))


def _cell_folder() -> str:
    """Where this kernel says that the code of cells lies."""
    try:
        from ipykernel.compiler import get_tmp_directory
    except ImportError:
        return ""
    return str(get_tmp_directory())  # type: ignore[no-untyped-call]  # untyped


def reduce_cell(cell: types.CellType) -> Any:
    """How a pickle keeps the cell of a closure: functions that share one still do."""
    try:
        state = (cell.cell_contents,)
    except ValueError:  # nothing is in it yet
        return types.CellType, ()
    return types.CellType, (), state, None, None, _set_cell


def _set_cell(cell: types.CellType, state: tuple[Any]) -> None:
    cell.cell_contents = state[0]


def class_as_made(reduced: Any) -> Any:
    """A class without what pickling its instances has added to it."""
    if isinstance(reduced, tuple) and len(reduced) > 2 and isinstance(reduced[2], tuple):
        reduced[2][0].pop("__slotnames__", None)
    return reduced


def set_function(function: types.FunctionType, state: Any) -> None:
    """Give a function its state; the namespace keeps its own builtins."""
    before = function.__globals__.get("__builtins__")
    _cloud._function_setstate(function, state)
    if before is not None:
        function.__globals__["__builtins__"] = before
