"""Values that share objects, as a model and its optimizer do: one pickle for all of them.

    shared({"model": model, "optimizer": optimizer, "loss": loss})
    # {"model": Beside(...), "optimizer": Beside(...)}: dump these in their place

Whoever takes several of them at once (`load(..., opened=...)`) gets them sharing what they
shared. Pickled apart, each would come with a copy of its own, and what is done to the one
would silently not be done to the other. Only pickles are looked at: arrays, frames and plain
data are read apart.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.artifacts.serializers.leaves import LEAF_INLINE, Leaf
from mlflowkit.artifacts.serializers.opening import data_of
from mlflowkit.artifacts.serializers.plain import TAG, parse
from mlflowkit.core.values import StoredValue

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts
    from mlflowkit.artifacts.serializers.tree import Node, Writer

#: What a tree may be made of, beside plain data, for its value to be pickled as a whole.
_PICKLED: Final = frozenset({"pickle", "tuple", "set", "frozenset", "dict", "ordered"})
_HOLDERS: Final = (list, dict, set, bytearray, deque)
_FIXED: Final = (type, FunctionType, BuiltinFunctionType, ModuleType, Enum)


class Beside:
    """One value of several that are pickled together."""

    __slots__ = ("_all", "key", "value")

    def __init__(self, key: str, value: object, everything: _All) -> None:
        self.key, self.value, self._all = key, value, everything

    def node(self, writer: Writer) -> Node:
        """The tree of this one value."""
        return writer.leaf(self._all.leaf(self.key, writer))


class _All:
    """Values that share objects, and their one pickle."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = dict(values)
        self._data = b""

    def leaf(self, key: str, writer: Writer) -> Leaf:
        from mlflowkit.artifacts.serializers import pickled

        self._data = self._data or pickled.dumps(self._values, writer)
        return Leaf("pickle", self._data, facts={"k": key})


def shared(values: Mapping[str, object]) -> dict[str, Beside]:
    """Those of `values` that hold an object which another one holds, too.

    Args:
        values: What can be pickled: see `is_pickled`.
    """
    memos = {key: _objects(value) for key, value in values.items()}
    groups: list[set[str]] = []
    for key, memo in memos.items():
        near = [g for g in groups if any(memo.keys() & memos[k].keys() for k in g)]
        groups = [g for g in groups if g not in near] + [{key}.union(*near)]
    found: dict[str, Beside] = {}
    for group in groups:
        if len(group) > 1:
            everything = _All({key: values[key] for key in values if key in group})
            found |= {key: Beside(key, values[key], everything) for key in group}
    return found


def is_pickled(stored: StoredValue, artifacts: Artifacts) -> bool:
    """Whether a value that was dumped is a pickle, or plain containers of pickles."""
    if stored.codec != "tree":
        return stored.codec == "pickle"
    tags = set[str]()
    waiting: list[Any] = [parse(data_of(stored, artifacts), "a value")]
    while waiting:
        node = waiting.pop()
        if type(node) is dict:
            tags |= {node[TAG]} if TAG in node else set()
            waiting += node.values()
        elif type(node) is list:
            waiting += node
    return "pickle" in tags and tags <= _PICKLED


def join(writer: Writer) -> None:
    """Several pickles in one tree become one, so that they share what they shared."""
    waiting = {id(node): at for at, (node, _) in enumerate(writer.pending)}
    found = [(node, value) for node, value in writer.pickled if id(node) in waiting]
    if len(found) < 2:
        return
    from mlflowkit.artifacts.serializers import pickled

    data = pickled.dumps([value for _, value in found], writer)
    put = _put_once(data)
    for number, (node, _) in enumerate(found):
        node.pop("b", None)
        node["k"] = number
        leaf = Leaf("pickle", put=put)
        if len(data) * len(found) <= LEAF_INLINE:
            node["b"] = b64encode(data).decode()
            leaf = Leaf("pickle", data)
        writer.pending[waiting[id(node)]] = (node, leaf)


def _put_once(data: bytes) -> Any:
    done: list[tuple[str, int]] = []

    def put(artifacts: Artifacts) -> tuple[str, int]:
        if not done:
            done.append((artifacts.put_bytes(data), len(data)))
        return done[0]

    return put


class _Nowhere(io.RawIOBase):
    def write(self, data: Any, /) -> int:
        return len(data)


def _objects(value: object) -> dict[int, object]:
    """All that a pickle of `value` holds and that can be changed. They are kept alive, so that
    no other object gets the place of one that was made for the pickle alone."""
    from mlflowkit.artifacts.serializers import pickled

    memo = pickled.memo(value, _Nowhere())
    return {key: one for key, (_, one) in memo.items() if _can_change(one)}


def _can_change(one: object) -> bool:
    if isinstance(one, _HOLDERS):
        return True
    if isinstance(one, _FIXED):
        return False
    return hasattr(one, "__dict__") or type(one).__name__ == "ndarray"
