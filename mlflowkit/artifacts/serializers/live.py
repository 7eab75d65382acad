"""Classes of `__main__` that travel by value come home as the class that lives there.

cloudpickle sends such a class whole. When it is read in a process whose own `__main__` has
a class of the same name and the same code (a notebook that reads a result of its own task),
that live class is used, so that `isinstance` and `==` hold. If the code differs, the class
that was sent is made beside it. "The same code" is told by a fingerprint: file names and
line numbers do not count, so a cell that is run again changes nothing.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType
from typing import Any, Final
from weakref import WeakKeyDictionary

#: What differs between two runs of the same source, or says nothing about it.
_IGNORED: Final = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__module__",
        "__firstlineno__",
        "__static_attributes__",
    }
    | {"_abc_impl", "__abstractmethods__", "__slotnames__", "__annotations_cache__"}
)
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+")

#: Classes made here from a pickle → the fingerprint they came with.
_made: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def reduce(kind: type, reduced: Any) -> Any:
    """cloudpickle's recipe for a class, changed to look for the live class first."""
    if kind.__module__ != "__main__" or not isinstance(reduced, tuple) or len(reduced) != 6:
        return reduced
    make, args, state, *rest, set_state = reduced
    recipe = (make, args, set_state, kind.__qualname__, fingerprint(kind))
    return (_make, recipe, (set_state, state), *rest, _set_state)


def _make(
    make: Callable[..., type],
    args: tuple[Any, ...],
    _: object,
    qualname: str,
    print_: str,
) -> type:
    live = _find(qualname)
    if live is not None and fingerprint(live) == print_:
        return live
    made = make(*args)
    _made[made] = print_
    return made


def _set_state(kind: type, state: tuple[Callable[[type, Any], object], Any]) -> type:
    if _find(kind.__qualname__) is not kind:
        set_state, theirs = state
        set_state(kind, theirs)
    return kind


def _find(qualname: str) -> type | None:
    found: object = sys.modules.get("__main__")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def fingerprint(kind: type) -> str:
    """A hash of a class's code and attributes; the same for the same source."""
    known = _made.get(kind)
    if known is not None and _find(kind.__qualname__) is not kind:
        return known
    return hashlib.sha256(_describe_class(kind, ()).encode()).hexdigest()


def _describe_class(kind: type, above: tuple[object, ...]) -> str:
    bases = [_describe(base, (*above, kind)) for base in kind.__bases__]
    parts = {
        name: _describe(value, (*above, kind))
        for name, value in vars(kind).items()
        if name not in _IGNORED
    }
    return f"class {kind.__qualname__} {bases} {sorted(parts.items())}"


def _describe(value: object, above: tuple[object, ...]) -> str:
    if any(value is one for one in above):
        return "…"
    deeper = (*above, value)
    if isinstance(value, type):
        return (
            _describe_class(value, above)
            if value.__module__ == "__main__"
            else _name(value)
        )
    if isinstance(value, FunctionType):
        return _describe_function(value, deeper)
    if isinstance(value, CodeType):
        return _describe_code(value, deeper)
    if isinstance(value, staticmethod | classmethod):
        return f"{_name(type(value))} {_describe(value.__func__, deeper)}"
    if isinstance(value, property):
        return f"property {_describe_all((value.fget, value.fset, value.fdel), deeper)}"
    if isinstance(value, functools.cached_property):
        return f"cached {_describe(value.func, deeper)}"
    if isinstance(value, tuple | list):
        return f"{_name(type(value))} {_describe_all(value, deeper)}"
    if isinstance(value, set | frozenset):
        return f"{_name(type(value))} {sorted(_describe_all(value, deeper))}"
    if isinstance(value, Mapping):
        items = zip(
            _describe_all(value, deeper),
            _describe_all(value.values(), deeper),
            strict=True,
        )
        return f"{_name(type(value))} {sorted(items)}"
    return f"{_name(type(value))} {_ADDRESS.sub('', _repr(value))}"


def _describe_all(values: Iterable[object], above: tuple[object, ...]) -> list[str]:
    return [_describe(value, above) for value in values]


def _describe_function(value: FunctionType, above: tuple[object, ...]) -> str:
    beside = (value.__defaults__, value.__kwdefaults__, value.__annotations__)
    return (
        f"function {_describe_code(value.__code__, above)} {_describe_all(beside, above)}"
    )


def _describe_code(code: CodeType, above: tuple[object, ...]) -> str:
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
    )
    consts = _describe_all(code.co_consts, above)
    return f"code {code.co_name} {code.co_code.hex()} {names} {counts} {consts}"


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return ""  # a half-made object; its type is all we can compare
