"""Which file packs a type and which reads a codec. Nothing is imported before it is met.

A value of a numpy type can only exist once numpy is loaded, so looking at the module name
of a value's class is enough: `dump(1)` loads no library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from mlflowkit.errors import CannotRead

if TYPE_CHECKING:
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer


class Codec(Protocol):
    """What a file of typed values has."""

    def pack(self, value: Any, writer: Writer) -> Node | None:
        """A node for `value`; None when the codec would not bring it back exactly."""

    def read(self, node: dict[str, Node], reader: Reader) -> object:
        """The value of one of this file's nodes."""


#: First part of the module of a value's class → file in this folder.
_PACKERS: Final = {
    "numpy": "arrays",
    "pandas": "frames",
    "polars": "frames",
    "pyarrow": "frames",
    "PIL": "images",
    "torch": "tensors",
    "pathlib": "paths",
}

#: Tag of a node → file in this folder.
_READERS: Final = {
    "npy": "arrays",
    "numpy": "arrays",
    "pandas": "frames",
    "series": "frames",
    "polars": "frames",
    "polars_series": "frames",
    "arrow": "frames",
    "png": "images",
    "tensor": "tensors",
    "tensors": "tensors",
    "file": "paths",
    "folder": "paths",
    "object": "objects",
    "named": "objects",
    "enum": "objects",
    "pickle": "pickled",
}


def packer(kind: type) -> Codec | None:
    """The codec for values of exactly this class's library, if there is one."""
    name = _PACKERS.get(str(kind.__module__).partition(".")[0])
    return None if name is None else _load(name)


def reader(tag: str) -> Codec:
    """The codec that reads nodes with this tag.

    Raises:
        CannotRead: no such codec: the value is of a newer mlflowkit, or damaged.
    """
    name = _READERS.get(tag)
    if name is None:
        raise CannotRead(f"a value of codec {tag!r}", "this version does not know it")
    return _load(name)


def _load(name: str) -> Codec:
    return cast(Codec, import_module(f"mlflowkit.artifacts.serializers.{name}"))
