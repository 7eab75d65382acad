"""Names by which functions and classes can be found again, and the names that code uses.

Code of a notebook, of `__main__` and of local functions has no such place: it travels
by value. All other code travels by its name.
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mlflowkit.authoring.meaning import look_up, plain_function
from mlflowkit.authoring.redefined import loaded_again

if TYPE_CHECKING:
    from mlflowkit.authoring.modules import LocalModules

_MAINS = ("__main__", "__mp_main__", None)
_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})
#: Set in `__flags__` of classes that were made by a class statement.
_HEAP_TYPE = 1 << 9
#: Members of a class that Python makes again by itself.
_MADE_AGAIN = frozenset(
    {"__dict__", "__weakref__", "__module__", "_abc_impl", "__doc__"}
) | {
    "__firstlineno__",
    "__static_attributes__",
    "__annotate_func__",
    "__annotations_cache__",
}


class Place(NamedTuple):
    """Where something can be imported from."""

    module: str
    qualname: str


def place_of(value: object, modules: LocalModules) -> Place | None:
    """Where a function or class can be found by name in another process; None if nowhere."""
    if not isinstance(value, (FunctionType, type)) and not _is_builtin(value):
        return None
    module = getattr(value, "__module__", None)
    name = cast("str", getattr(value, "__qualname__", None))
    if isinstance(value, type) and not value.__flags__ & _HEAP_TYPE:
        return Place(str(module), name)  # written in C: every process has it
    if module in _MAINS or module not in sys.modules:
        return None
    there = look_up(sys.modules[module], name)
    if there is value or plain_function(there) is value:
        return Place(module, name)
    if (
        there is not None
        and modules.is_local(module)
        and loaded_again(plain_function(there), value, modules.source_of(module))
    ):
        return Place(module, name)
    return None


def _is_builtin(value: object) -> bool:
    return type(value).__name__ == "builtin_function_or_method" and isinstance(
        getattr(value, "__module__", None), str
    )


def load_place(module: str, qualname: str) -> Any:
    """Import what travelled by name. Called while a bundle is opened."""
    from importlib import import_module

    found = plain_function(look_up(import_module(module), qualname))
    if found is None:
        raise AttributeError(f"module {module!r} no longer has {qualname!r}")
    return found


@functools.lru_cache(maxsize=4096)
def _names_in(code: CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Globals that the code uses, and modules that it imports; nested code included."""
    used: dict[str, None] = {}
    imported: dict[str, None] = {}
    module = ""
    for step in dis.get_instructions(code):
        if step.opname in _GLOBAL_OPS:
            used[str(step.argval)] = None
        elif step.opname == "IMPORT_NAME":
            module = str(step.argval)
            imported[module] = None
        elif step.opname == "IMPORT_FROM":
            imported[f"{module}.{step.argval}"] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _names_in(constant)
            used |= dict.fromkeys(inner[0])
            imported |= dict.fromkeys(inner[1])
    return tuple(sorted(used)), tuple(imported)


def names_in(code: CodeType) -> tuple[str, ...]:
    """Globals that the code uses, whether they exist or not."""
    return _names_in(code)[0]


def globals_of(function: FunctionType) -> Mapping[str, object]:
    """The globals that a function uses and that exist, by name in order."""
    found = function.__globals__
    return {name: found[name] for name in _names_in(function.__code__)[0] if name in found}


def missing_globals(function: FunctionType) -> list[str]:
    """Names that code of `__main__` reads and that nothing defines: neither its globals, nor
    Python, nor the code itself. Other modules may define theirs later; a run starts now."""
    if function.__module__ not in _MAINS:
        return []
    read, stored = _reads_and_stores(function.__code__)
    known = {*function.__globals__, *vars(builtins), *stored}
    return sorted(set(read) - known)


@functools.lru_cache(maxsize=4096)
def _reads_and_stores(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    read, stored = set[str](), set[str]()
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            read.add(str(step.argval))
        elif step.opname == "STORE_GLOBAL":
            stored.add(str(step.argval))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _reads_and_stores(constant)
            read |= inner[0]
            stored |= inner[1]
    return frozenset(read), frozenset(stored)


def imported_by(code: CodeType) -> tuple[str, ...]:
    """Modules that the code imports when it runs; also names that may be modules."""
    return _names_in(code)[1]


def members_of(cls: type) -> Iterator[tuple[str, object]]:
    """The members of a class that make it what it is, by name in order."""
    for name, member in sorted(vars(cls).items()):
        skipped = isinstance(member, (GetSetDescriptorType, MemberDescriptorType))
        if not skipped and name not in _MADE_AGAIN:
            yield name, member


def bytes_of(value: object) -> bytes:
    """A plain value as bytes: the same in every process."""
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    return value if isinstance(value, bytes) else repr(value).encode()


def defined_in(code: CodeType) -> str:
    """Where a person finds the code."""
    return f"{code.co_name}() at {code.co_filename}:{code.co_firstlineno}"
