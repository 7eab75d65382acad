"""What a namespace holds: groups of variables that share objects, and those that do not travel.

Variables are pickled one by one; where two reach the same object, they are pickled once
more, together. One that does not travel takes with it all that it shares objects with:
half an object graph is never stored. Runs in a kernel; changes nothing.
"""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from mlflowkit.nbrun.checkpoint import memory, pickles, shared, travels
from mlflowkit.nbrun.checkpoint.memory import Blocks, DoesNotTravel
from mlflowkit.nbrun.checkpoint.pickles import Pickled

#: Objects that are looked at below one that does not travel.
_MOST_REACHED: Final = 200_000


@dataclass(slots=True)
class Survey:
    """The variables of a namespace."""

    groups: list[Pickled] = field(default_factory=list[Pickled])
    #: Variables that do not travel, in groups, with the reason for each that has one.
    stuck: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    why: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class _Reach:
    """What one variable reaches; its pickle, if it has one."""

    ids: Mapping[int, object]
    pickled: Pickled | None


def survey(
    namespace: dict[str, Any],
    names: Iterable[str],
    until: float,
    refuse: Callable[[Pickled], str] = lambda _: "",
) -> Survey:
    """Look at variables.

    Args:
        namespace: Of the shell; functions that cells define have it as their globals.
        names: The variables that are meant.
        until: By `monotonic`; after that it gives up.
        refuse: Why variables must not be stored; empty if they may.

    Raises:
        TooCostly: it takes too long.
    """
    found, blocks = Survey(), Blocks()
    reached: dict[str, _Reach] = {}
    for name in names:
        reached[name] = _look_at(name, namespace, blocks, until, refuse, found.why)
    parts = _Parts(list(reached))
    owner: dict[int, str] = {}
    for name, reach in reached.items():
        for each in reach.ids:
            parts.join(name, owner.setdefault(each, name))
    for one, other, clash in blocks.shared():
        parts.join(one, other)
        for name, with_ in ((one, other), (other, one)) if clash else ():
            found.why.setdefault(name, f"shares memory with {with_}")
    for names_ in parts.groups():
        _add(found, names_, reached, namespace, until)
    return found


def _look_at(
    name: str,
    namespace: dict[str, Any],
    blocks: Blocks,
    until: float,
    refuse: Callable[[Pickled], str],
    why: dict[str, str],
) -> _Reach:
    value = namespace[name]
    try:
        pickled = pickles.to_bytes([name], namespace, blocks, until)
        refused = refuse(pickled)
        if refused:
            raise DoesNotTravel(refused)
    except DoesNotTravel as exc:
        why[name] = str(exc)
        return _Reach(reached(value, namespace, blocks, name), None)
    return _Reach(pickled.seen, pickled)


def _add(
    found: Survey,
    names: tuple[str, ...],
    reached: Mapping[str, _Reach],
    namespace: dict[str, Any],
    until: float,
) -> None:
    if any(name in found.why for name in names):
        found.stuck.append(names)
        return
    only = reached[names[0]].pickled
    if len(names) == 1 and only is not None:
        found.groups.append(only)
        return
    try:
        found.groups.append(pickles.to_bytes(names, namespace, Blocks(), until))
    except DoesNotTravel as exc:
        found.why[names[0]] = str(exc)
        found.stuck.append(names)


def reached(
    value: object, namespace: dict[str, Any], blocks: Blocks, name: str
) -> dict[int, object]:
    """All that something reaches which no pickle can walk through."""
    seen: dict[int, object] = {}
    todo = [value]
    while todo and len(seen) < _MOST_REACHED:
        each = todo.pop()
        if id(each) in seen or _is_outside(each, namespace):
            continue
        seen[id(each)] = each
        todo += _below(each, namespace)
        if type(each).__name__ == "ndarray" and type(each).__module__ == "numpy":
            root = memory.root_of(each)
            blocks.note(*memory.bounds(root), ("array", id(root)), name)
            todo += [root, *([] if root.base is None else [root.base])]
    return seen


def _below(obj: Any, namespace: dict[str, Any]) -> list[object]:
    if isinstance(obj, types.FunctionType):
        inside = (obj.__closure__, obj.__defaults__, obj.__kwdefaults__, obj.__dict__)
        used = [namespace[n] for n in obj.__code__.co_names if n in namespace]
        return [*inside, *used]
    found = gc.get_referents(obj)
    found += _behind(obj)
    if getattr(obj, "grad_fn", None) is not None and type(obj).__module__ == "torch":
        found += memory.leaves_of(obj)
    return found


def _behind(obj: Any) -> Iterable[object]:
    """What it leads to without holding it, or where no collector of garbage looks."""
    kind = type(obj)
    if issubclass(kind, weakref.ref):
        return [obj()]
    if kind in (weakref.ProxyType, weakref.CallableProxyType):
        with suppress(ReferenceError):  # every question to it is one to what it stands for
            return [obj.__reduce_ex__.__self__]
    if kind is weakref.finalize:
        return obj.peek() or ()
    return [obj.obj] if kind is memoryview else ()


def _is_outside(obj: object, namespace: dict[str, Any]) -> bool:
    """Whether it belongs to no variable: the namespace, modules, and what they define."""
    if obj is namespace or isinstance(obj, types.ModuleType) or shared.place_of(obj):
        return True
    kind = type(obj)
    if kind in travels.ATOMS or travels.is_shared_by_all(obj, kind):
        return True
    return kind is dict and "__builtins__" in obj  # type: ignore[operator]  # a module's globals


class _Parts:
    """Names that belong together (a disjoint-set forest)."""

    def __init__(self, names: list[str]) -> None:
        self._above = {name: name for name in names}

    def _top(self, name: str) -> str:
        while self._above[name] != name:
            self._above[name] = self._above[self._above[name]]
            name = self._above[name]
        return name

    def join(self, one: str, other: str) -> None:
        self._above[self._top(other)] = self._top(one)

    def groups(self) -> list[tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for name in self._above:
            found.setdefault(self._top(name), []).append(name)
        return [tuple(sorted(names)) for names in found.values()]
