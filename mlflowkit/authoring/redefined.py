"""Was a function or class defined anew under its name, or is it simply another one?

A loop, a decorator, or a second `def` in the same file also give a name another object:
none of these makes the earlier one old. Nothing of a person's code is called here.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any, cast

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


def ran_again(new: Any, old: object) -> bool:
    """Is `new` what the cell that defined `old` gave when it ran again?"""
    mine, theirs = _statement(new), _statement(old)
    if mine is None or theirs is None or mine is theirs:
        return False
    if mine.co_filename != theirs.co_filename:
        return True
    if mine.co_firstlineno == theirs.co_firstlineno:
        return True
    # A file that was edited and run again, or two definitions in one file or cell?
    linecache.checkcache(mine.co_filename)
    text = "".join(linecache.getlines(mine.co_filename))
    return defined_once(text.encode(errors="replace"), new.__qualname__)


def loaded_again(new: object, old: object, source: bytes) -> bool:
    """Is `new` what `old` became when its module, a file of that `source`, was loaded again?"""
    if isinstance(new, type) and isinstance(old, type):
        return type(new) is type(old) and defined_once(source, new.__qualname__)
    if not isinstance(new, FunctionType) or not isinstance(old, FunctionType):
        return False
    mine, theirs = list(_layers(new)), list(_layers(old))
    kinds = [[layer.__code__.co_qualname for layer in one] for one in (mine, theirs)]
    if kinds[0] != kinds[1]:
        return False
    if mine[-1].__code__ is theirs[-1].__code__:
        # IPython's autoreload gives an old function the very parts of the new one.
        return vars(new) is vars(old) or (len(mine) == 1 and _alike(new, old))
    return defined_once(source, new.__qualname__)


def _layers(function: FunctionType) -> Iterator[FunctionType]:
    """The function, then what it wraps (as functools.wraps notes it), to the innermost."""
    layer: object = function
    seen: set[int] = set()
    while isinstance(layer, FunctionType) and id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        layer = cast("object", getattr(layer, "__wrapped__", None))


def _alike(one: FunctionType, other: FunctionType) -> bool:
    same_defaults = one.__defaults__ is other.__defaults__
    bare = not (vars(one) or vars(other))
    return same_defaults and one.__kwdefaults__ is other.__kwdefaults__ and bare


def _statement(value: object) -> CodeType | None:
    """Code that was compiled for the statement that defined a function or class."""
    if isinstance(value, FunctionType):
        return list(_layers(value))[-1].__code__
    if isinstance(value, type):
        for member in vars(value).values():
            inner: Any = getattr(member, "fget", getattr(member, "__func__", member))
            if isinstance(inner, FunctionType):
                code = list(_layers(inner))[-1].__code__
                if code.co_qualname.startswith(f"{value.__qualname__}."):
                    return code
    return None


@functools.lru_cache(maxsize=256)
def defined_once(source: bytes, qualname: str) -> bool:
    """Does one statement of the file, outside loops, give the name its only meaning?"""
    try:
        body: list[ast.stmt] = ast.parse(source).body
    except (SyntaxError, ValueError):
        return False
    *outer, name = qualname.split(".")
    for part in outer:
        found = [n for n in _classes(body) if n.name == part]
        if len(found) != 1 or _times(body, part) != 1:
            return False
        body = found[0].body
    return _times(body, name) == 1


def _classes(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef]:
    for one in body:
        if isinstance(one, ast.ClassDef):
            yield one
        elif not isinstance(one, _SCOPES):
            for block in _blocks(one):
                yield from _classes(block)


def _times(body: Iterable[ast.stmt], name: str) -> int:
    """How often the statements bind `name`; the branches of an `if` or `try` count as one."""
    return sum(_times_in(one, name) for one in body)


def _times_in(one: ast.stmt, name: str) -> int:
    if isinstance(one, _SCOPES):
        overload = any("overload" in ast.unparse(d) for d in one.decorator_list)
        return int(one.name == name and not overload)
    if isinstance(one, (ast.Import, ast.ImportFrom)):
        return sum((a.asname or a.name).partition(".")[0] == name for a in one.names)
    blocks = [_times(block, name) for block in _blocks(one)]
    if blocks:
        return max(blocks) * (2 if isinstance(one, _LOOPS) else 1)
    stored = (n for n in ast.walk(one) if isinstance(n, ast.Name))
    return sum(n.id == name and isinstance(n.ctx, ast.Store) for n in stored)


def _blocks(one: ast.stmt) -> list[list[ast.stmt]]:
    found = [getattr(one, part, []) for part in ("body", "orelse", "finalbody")]
    found += [case.body for case in getattr(one, "cases", [])]
    found += [handler.body for handler in getattr(one, "handlers", [])]
    return [block for block in found if block]
