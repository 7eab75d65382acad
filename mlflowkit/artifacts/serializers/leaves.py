"""A leaf: one value that is bytes of its own inside a tree, and where its bytes come from.

A codec packs a value into a `Leaf` without storing anything; the bytes are put when the
whole value is known to be serializable. Reading gets a `Source`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts

#: Up to this many bytes a leaf inside a tree is written into the tree (as base64).
LEAF_INLINE: Final = 4 * 1024

#: JSON-able, or a node of the tree.
Node = Any


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a codec makes of a value: bytes now, or a way to put them later."""

    codec: str
    #: The bytes, when they are few; else None and `put` stores them.
    data: bytes | None = None
    #: Stores the bytes and returns hash and size.
    put: Callable[[Artifacts], tuple[str, int]] | None = None
    #: Facts beside the bytes, as tree nodes.
    facts: dict[str, Node] = field(default_factory=dict)


def streamed(
    write: Callable[[BinaryIO], object],
) -> Callable[[Artifacts], tuple[str, int]]:
    """A `Leaf.put` for bytes that are written piece by piece."""

    def put(artifacts: Artifacts) -> tuple[str, int]:
        digest = artifacts.put_stream(write)
        return digest, artifacts.path(digest).stat().st_size

    return put


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a leaf are: here, or in the artifact store."""

    artifacts: Artifacts
    inline: bytes | None = None
    digest: str = ""
    size: int | None = None

    @classmethod
    def of_node(cls, node: dict[str, Node], artifacts: Artifacts) -> Source:
        if "b" in node:
            return cls(artifacts, b64decode(node["b"]))
        if "raw" in node:
            return cls(artifacts, node["raw"])
        return cls(artifacts, None, node["a"], node["n"])

    def bytes(self) -> bytes:
        """All of them; checked against the hash when they come from the store."""
        return self.artifacts.read(self.digest) if self.inline is None else self.inline

    def path(self) -> Path | None:
        """A local file to map into memory, or None when the bytes are inline."""
        if self.inline is not None:
            return None
        return self.artifacts.path(self.digest, size=self.size)
