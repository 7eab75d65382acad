"""Values as a tree of JSON in which everything that JSON lacks has a tag.

    {"$": "tuple", "v": [1, 2]}      {"$": "npy", "a": "<sha256>", "n": 80128}

`Writer` makes the tree and stores nothing until `finish`: a value that cannot be
serialized leaves nothing behind. `Reader` makes the value again. Types are compared
exactly; a subclass that no tag would bring back goes to its library's codec, to `objects`
(enums, named tuples, dataclasses) and, last, to cloudpickle.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime, time
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.artifacts.serializers import plain, registry
from mlflowkit.artifacts.serializers.leaves import LEAF_INLINE, Leaf, Node, Source
from mlflowkit.artifacts.serializers.plain import INT_HIGH, INT_LOW, TAG
from mlflowkit.artifacts.serializers.scalars import SCALARS, SCALARS_BY_TAG
from mlflowkit.errors import CannotSerialize

if TYPE_CHECKING:
    from pathlib import Path

    from mlflowkit.artifacts.base import Artifacts

__all__ = ["Node", "Reader", "Writer"]


class Attribute(str):
    """A step of the trail that is an attribute and not a key."""

    __slots__ = ()


class Writer:
    """Turns one value into a tree. Not reused after an error."""

    def __init__(self, where: str) -> None:
        #: Who gave the value, for messages: "task 'load'".
        self.where = where
        self.trail: list[object] = []  # keys and attributes from the root to here
        #: Leaves whose bytes are still to be put, with their nodes; and of what those that are
        #: pickles are pickles.
        self.pending: list[tuple[dict[str, Node], Leaf]] = []
        self.pickled: list[tuple[dict[str, Node], object]] = []
        self.classes: dict[type, Node] = {}  # a thousand points name their class once

    def node(self, value: Any) -> Node:
        """The tree of `value`.

        Raises:
            CannotSerialize: part of it cannot travel.
            PathNotFound: a Path in it names nothing.
        """
        kind = type(value)
        if kind is bool or value is None:
            return value
        if kind is str and (value.isascii() or _is_utf8(value)):
            return value
        if kind is int and INT_LOW <= value <= INT_HIGH:
            return value
        if kind is float and isfinite(value):
            return value
        if (write := _WRITERS.get(kind)) is not None:
            return write(self, value)
        if (scalar := SCALARS.get(kind)) is not None and value is not None:
            return self._scalar(value, scalar[0], scalar[1])
        return self._typed(value, kind)

    def child(self, value: Any, step: object) -> Node:
        """The tree of a part of the value being written."""
        self.trail.append(step)
        node = self.node(value)
        self.trail.pop()
        return node

    def attempt(self, value: Any, step: object) -> Node | None:
        """Like `child`; None, and nothing to put, when it cannot be serialized."""
        depth, waiting = len(self.trail), len(self.pending)
        try:
            return self.child(value, step)
        except CannotSerialize:
            del self.trail[depth:], self.pending[waiting:]
            return None

    def leaf(self, leaf: Leaf) -> Node:
        """A node for bytes of their own, which `finish` will put."""
        node = {TAG: leaf.codec, **leaf.facts}
        if leaf.data is not None and len(leaf.data) <= LEAF_INLINE:
            node["b"] = b64encode(leaf.data).decode()
        self.pending.append((node, leaf))
        return node

    def finish(self, artifacts: Artifacts) -> None:
        """Put the bytes of all leaves and write their hashes into the tree."""
        for node, leaf in self.pending:
            if leaf.put is not None:
                node["a"], node["n"] = leaf.put(artifacts)
            elif leaf.data is not None and "b" not in node:
                node["a"], node["n"] = artifacts.put_bytes(leaf.data), len(leaf.data)

    def _scalar(self, value: Any, tag: str, out: Callable[[Any], Any]) -> Node:
        payload = out(value)
        if payload is None:  # a zone without a name
            return registry.reader("pickle").pack(value, self)
        return {TAG: tag, "v": payload}

    def _typed(self, value: Any, kind: type) -> Node:
        codec = registry.packer(kind)
        node = None if codec is None else codec.pack(value, self)
        if node is None:
            node = registry.reader("object").pack(value, self)
        if node is None:
            node = registry.reader("pickle").pack(value, self)
        return node


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ── containers ──


def _list(writer: Writer, value: list[Any]) -> Node:
    return [writer.child(item, at) for at, item in enumerate(value)]


def _tuple(writer: Writer, value: tuple[Any, ...]) -> Node:
    return {
        TAG: "tuple",
        "v": [writer.child(item, at) for at, item in enumerate(value)],
    }


def _unordered(tag: str) -> Callable[[Writer, Iterable[Any]], Node]:
    def write(writer: Writer, value: Iterable[Any]) -> Node:
        nodes = [writer.child(item, item) for item in value]
        return {
            TAG: tag,
            "v": sorted(nodes, key=plain.encode),
        }  # equal sets, equal bytes

    return write


def _dict(writer: Writer, value: dict[Any, Any]) -> Node:
    if (node := _state_dict(writer, value)) is not None:
        return node
    if TAG not in value and all(type(key) is str and _is_utf8(key) for key in value):
        return {key: writer.child(item, key) for key, item in value.items()}
    return {TAG: "dict", "v": pairs(writer, value)}


def _ordered_dict(writer: Writer, value: OrderedDict[Any, Any]) -> Node:
    if (node := _state_dict(writer, value)) is not None:
        return node
    if vars(value):
        return registry.reader("pickle").pack(value, writer)
    return {TAG: "ordered", "v": pairs(writer, value)}


def _state_dict(writer: Writer, value: dict[Any, Any]) -> Node | None:
    """One node for a dict of tensors, so that tied weights stay tied."""
    for item in value.values():
        kind = type(item)
        if str(kind.__module__).partition(".")[0] != "torch":
            return None
        codec = registry.packer(kind)
        return None if codec is None else codec.pack(value, writer)
    return None


def pairs(writer: Writer, value: dict[Any, Any]) -> list[Node]:
    """A dict as a list of [key, value] nodes."""
    return [
        [writer.child(key, key), writer.child(item, key)] for key, item in value.items()
    ]


def _slice(writer: Writer, value: slice) -> Node:
    return {
        TAG: "slice",
        "v": [writer.node(n) for n in (value.start, value.stop, value.step)],
    }


def _bytes(tag: str) -> Callable[[Writer, bytes], Node]:
    return lambda writer, value: writer.leaf(Leaf(tag, bytes(value)))


def _moment(tag: str) -> Callable[[Writer, Any], Node]:
    """A datetime or a time: its clock face, its zone, and which of two equal hours."""

    def write(writer: Writer, value: datetime | time) -> Node:
        node: dict[str, Node] = {TAG: tag, "v": value.replace(tzinfo=None).isoformat()}
        if value.fold:
            node["fold"] = 1
        if value.tzinfo is not None:
            node["tz"] = writer.child(value.tzinfo, Attribute("tzinfo"))
        return node

    return write


_WRITERS: Final[dict[type, Callable[[Writer, Any], Node]]] = {
    list: _list,
    tuple: _tuple,
    set: _unordered("set"),
    frozenset: _unordered("frozenset"),
    dict: _dict,
    OrderedDict: _ordered_dict,
    slice: _slice,
    bytes: _bytes("bytes"),
    bytearray: _bytes("bytearray"),
    datetime: _moment("datetime"),
    time: _moment("time"),
}


class Reader:
    """Turns trees into values."""

    def __init__(
        self,
        artifacts: Artifacts,
        *,
        allow_pickle: bool = True,
        restore_to: Path | None = None,
        opened: dict[str, Any] | None = None,
    ) -> None:
        self.artifacts = artifacts
        self.allow_pickle = allow_pickle
        self.restore_to = restore_to  # for copies of files; None: a folder of the process
        self.classes: dict[str, type] = {}  # by hash or name: each is looked up once
        # Pickles that hold several values, each opened once: see `together`.
        self.opened: dict[str, Any] = {} if opened is None else opened

    def value(self, node: Node) -> Any:
        """The value of a tree.

        Raises:
            CannotRead: it needs something that is not here.
            MissingExtra: it needs a library that is not installed.
            ArtifactMissing, ArtifactCorrupt: bytes of a leaf are gone or damaged.
        """
        kind = type(node)
        if kind is list:
            return [self.value(item) for item in node]
        if kind is not dict:
            return node
        tag = node.get(TAG)
        if tag is None:
            return {key: self.value(item) for key, item in node.items()}
        if (scalar := SCALARS_BY_TAG.get(tag)) is not None:
            return scalar(node["v"])
        if (read := _READERS.get(tag)) is not None:
            return read(self, node)
        return registry.reader(tag).read(node, self)


def _read_dict(reader: Reader, node: dict[str, Node]) -> dict[Any, Any]:
    return {reader.value(key): reader.value(item) for key, item in node["v"]}


def _read_moment(
    kind: type[datetime | time],
) -> Callable[[Reader, dict[str, Node]], Any]:
    def read(reader: Reader, node: dict[str, Node]) -> datetime | time:
        zone = reader.value(node["tz"]) if "tz" in node else None
        return kind.fromisoformat(node["v"]).replace(tzinfo=zone, fold=node.get("fold", 0))

    return read


def _read_bytes(reader: Reader, node: dict[str, Node]) -> bytes:
    return Source.of_node(node, reader.artifacts).bytes()


_READERS: Final[dict[str, Callable[[Reader, dict[str, Node]], Any]]] = {
    "tuple": lambda reader, node: tuple(reader.value(node["v"])),
    "set": lambda reader, node: set(reader.value(node["v"])),
    "frozenset": lambda reader, node: frozenset(reader.value(node["v"])),
    "dict": _read_dict,
    "ordered": lambda reader, node: OrderedDict(_read_dict(reader, node)),
    "slice": lambda reader, node: slice(*reader.value(node["v"])),
    "bytes": _read_bytes,
    "bytearray": lambda reader, node: bytearray(_read_bytes(reader, node)),
    "datetime": _read_moment(datetime),
    "time": _read_moment(time),
}
