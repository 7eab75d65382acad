"""A value that one task hands to another, as the engine and the store see it.

Plain data: the bytes are never opened here. Small values travel inside the row, larger
ones are named by the hash of their artifact. Only `artifacts.serializers` turns a value
into this and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Bytes up to which a value is kept in the store itself.
INLINE_LIMIT: Final = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """One serialized value. Exactly one of `inline` and `artifact` is set."""

    #: Which reader opens the bytes: "json", "tree", "items", "npy", "arrow", "pickle" …
    codec: str
    #: The bytes themselves, at most INLINE_LIMIT of them.
    inline: bytes | None = None
    #: SHA-256 of the bytes in the artifact store, 64 lower-case hex digits.
    artifact: str | None = None
    #: Bytes of `inline` or of the artifact; what a tree refers to is not counted.
    size: int
    #: Number of items; set when mapped tasks expand over the value.
    length: int | None = None
    #: The keys as text, in order, when mapped tasks expand over a dict.
    keys: tuple[str, ...] | None = None
    #: One line of at most 200 characters for people.
    preview: str = ""

    def __post_init__(self) -> None:
        if (self.inline is None) == (self.artifact is None):
            raise ValueError("a stored value has either inline bytes or an artifact")
