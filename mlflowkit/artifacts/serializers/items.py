"""Sequences that mapped tasks expand over: item i is read without the others.

Small ones are one JSON object, `{"kind": "list", "tagged": false, "items": [...]}`, kept in
the store, of which the engine can cut an item as raw JSON. Larger ones are an artifact:

    [item0,item1,...]  offsets (n+1 × uint64, little-endian)  header (JSON)  its length (4)

so that everything can be parsed at once, and one item found in two reads.
"""

from __future__ import annotations

import json
import mmap
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import msgspec

from mlflowkit.artifacts.serializers import plain
from mlflowkit.artifacts.serializers.leaves import Node
from mlflowkit.errors import CannotRead

Kind = Literal["list", "tuple", "dict", "range"]

KINDS: Final[dict[type, Kind]] = {
    list: "list",
    tuple: "tuple",
    dict: "dict",
    range: "range",
}


def plain_of(value: Any) -> list[Any] | tuple[Any, ...] | dict[Any, Any] | range | None:
    """`value`, or its items in a plain list, tuple or dict if it is one of a class of its own;
    None if it is no sequence and no dict, or a text."""
    if type(value) in KINDS:
        return value  # type: ignore[no-any-return]
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, tuple):
        return tuple(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return list(value)
    return None


#: Inline values that are kept parsed.
_IN_USE: Final = 32


class Small(msgspec.Struct):
    """The inline form."""

    kind: Kind
    tagged: bool
    items: list[msgspec.Raw]


_read_small: Final = msgspec.json.Decoder(Small).decode


@dataclass(frozen=True, slots=True)
class Packed:
    """Items as JSON, ready to be stored in either form."""

    kind: Kind
    #: Whether items have tags, and a reader has to look into them.
    tagged: bool
    items: Sequence[bytes]

    def as_json(self) -> bytes:
        head = f'{{"kind":"{self.kind}","tagged":{str(self.tagged).lower()},"items":['
        return head.encode() + b",".join(self.items) + b"]}"

    def write(self, file: BinaryIO) -> None:
        """The artifact form."""
        lengths = (len(item) + 1 for item in self.items)
        offsets = array("Q", accumulate(lengths, initial=1))
        if sys.byteorder == "big":
            offsets.byteswap()
        file.write(b"[" + b",".join(self.items) + b"]")
        header = {
            "format": 1,
            "kind": self.kind,
            "tagged": self.tagged,
            "n": len(self.items),
        }
        ending = json.dumps(header).encode()
        file.write(offsets.tobytes() + ending + len(ending).to_bytes(4, "little"))

    @property
    def size(self) -> int:
        """Bytes of all items."""
        return sum(map(len, self.items))


def pack_plain(kind: Kind, value: Any) -> Packed | None:
    """Items that are all plain JSON, at C speed; None when some are not."""
    items: Any = value.values() if kind == "dict" else value
    if kind == "dict" and not all(type(key) is str for key in value):
        return None
    try:
        if not (kind == "range" or plain.are_plain(items)):
            return None
        rows: Iterable[Any] = map(list, value.items()) if kind == "dict" else items
        return Packed(kind, False, list(map(plain.encode, rows)))
    except (RecursionError, UnicodeEncodeError, OverflowError):
        return None


def pack_nodes(kind: Kind, nodes: Iterable[Node]) -> Packed:
    """Items that are trees."""
    return Packed(kind, True, [plain.encode(node) for node in nodes])


# ── reading ──


class Opened:
    """Items of a stored value, found one at a time."""

    __slots__ = ("_data", "_offsets", "kind", "length", "tagged")

    def __init__(self, data: Any, kind: Kind, tagged: bool, offsets: memoryview) -> None:
        self._data, self._offsets = data, offsets
        self.kind, self.tagged, self.length = kind, tagged, len(offsets) - 1

    def raw(self, index: int) -> bytes:
        """Item `index` as JSON."""
        _in_range(index, self.length)
        return bytes(self._data[self._offsets[index] : self._offsets[index + 1] - 1])

    def all(self) -> bytes:
        """All items as one JSON array."""
        return bytes(self._data[: self._offsets[self.length]])


class OpenedSmall:
    """The same for the inline form."""

    __slots__ = ("_found", "kind", "length", "tagged")

    def __init__(self, data: bytes) -> None:
        try:
            self._found = _read_small(data)
        except msgspec.MsgspecError as exc:
            raise CannotRead("a mapped value", f"its bytes are damaged ({exc})") from exc
        self.kind, self.tagged = self._found.kind, self._found.tagged
        self.length = len(self._found.items)

    def raw(self, index: int) -> bytes:
        _in_range(index, self.length)
        return bytes(self._found.items[index])

    def all(self) -> bytes:
        return b"[" + b",".join(map(bytes, self._found.items)) + b"]"


def _in_range(index: int, length: int) -> None:
    if not 0 <= index < length:
        raise IndexError(f"item {index} of a mapped value that has {length}")


@lru_cache(maxsize=_IN_USE)
def open_small(data: bytes) -> OpenedSmall:
    """The inline form, parsed once while it is in use."""
    return OpenedSmall(data)


def open_file(path: Path) -> Opened:
    """The artifact form, mapped into memory."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(data)
        ends = len(view) - 4
        begins = ends - int.from_bytes(view[ends:], "little")
        header = json.loads(bytes(view[begins:ends]))
        table = view[begins - 8 * (header["n"] + 1) : begins]
        if sys.byteorder == "big":
            swapped = array("Q", table.tobytes())
            swapped.byteswap()
            table = memoryview(swapped).cast("B")
        return Opened(view, header["kind"], header["tagged"], table.cast("Q"))
    except (ValueError, KeyError, TypeError) as exc:
        raise CannotRead("a mapped value", f"its bytes are damaged ({exc})") from exc
