"""What the names of functions and classes mean in this session. Only looks; calls nothing."""

from __future__ import annotations

import functools
import sys
from types import FunctionType, MethodType
from typing import Any, cast


def plain_function(function: Any) -> Any:
    """The function under `@task`, or what was given."""
    return getattr(function, "function", function) if _is_task(function) else function


def _is_task(function: object) -> bool:
    return getattr(type(function), "is_task_function", False) is True


def look_up(where: object, qualname: str) -> Any:
    """What `qualname` names inside a module, or None."""
    found: Any = where
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found


def meaning_of(value: object) -> Any:
    """What the name of a function or class of `__main__` means now; else None."""
    name: str = getattr(value, "__qualname__", "<")
    if getattr(value, "__module__", None) != "__main__" or "<" in name:
        return None
    return plain_function(look_up(sys.modules["__main__"], name))


def meant_by_name(value: object) -> tuple[object, ...]:
    """The function or class of `__main__` behind `value`, if its name means it now."""
    behind = _behind(value)
    return (behind,) if meaning_of(behind) is behind else ()


def _behind(value: object) -> object:
    if isinstance(value, functools.partial):
        return _behind(cast("functools.partial[object]", value).func)
    if isinstance(value, MethodType):
        owner = value.__self__
        return owner if isinstance(owner, type) else type(owner)
    if isinstance(value, (FunctionType, type)):
        return value
    return type(value)
