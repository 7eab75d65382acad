"""What an artifact store promises. Every store passes `tests/artifacts/contract.py`.

An artifact is a sequence of bytes named by its SHA-256 (64 lower-case hex digits). It is
written whole or not at all, never changes, and is never half visible. A folder is an
artifact too: an index (see `folders`) that names the artifacts of its files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

#: Bytes read at a time when a file is copied or hashed.
CHUNK: Final = 1024 * 1024

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether `text` can be the name of an artifact (and so cannot leave a folder)."""
    return _DIGEST.fullmatch(text) is not None


class Artifacts(Protocol):
    """A place that keeps bytes by their hash. Safe to use from many processes at once.

    Every method that reads raises ArtifactMissing when the hash is not there, and
    ArtifactCorrupt when the bytes are seen to be others than those that were put.
    Every method that writes raises ArtifactNotStored when it could not, leaving nothing.
    """

    def put_bytes(self, data: bytes) -> str:
        """Store `data`; the same bytes twice are stored once. Returns their hash."""
        ...

    def put_file(self, path: Path) -> str:
        """Store what `path` holds now. The file itself is only read."""
        ...

    def put_stream(self, write: Callable[[BinaryIO], object]) -> str:
        """Store what `write` writes to the file it is given; nothing if it raises."""
        ...

    def put_folder(self, path: Path) -> str:
        """Store every file below `path`, empty folders and inner links too.

        Raises:
            BadFolder: an entry is a link that leaves the folder, or a device or socket.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether the bytes are here."""
        ...

    def path(self, digest: str, *, size: int | None = None) -> Path:
        """A local file with the bytes, for reading and memory mapping. Never write to it.

        Args:
            digest: The artifact's hash.
            size: The number of bytes expected; another one is ArtifactCorrupt.
        """
        ...

    def open(self, digest: str) -> BinaryIO:
        """The bytes as a file, positioned at the start."""
        ...

    def read(self, digest: str) -> bytes:
        """All the bytes, checked against their hash."""
        ...

    def restore_file(self, digest: str, to: Path, *, mode: int = 0o644) -> Path:
        """A private copy at `to`, which must not exist. Appears whole or not at all."""
        ...

    def restore_folder(self, digest: str, to: Path) -> Path:
        """A private copy of a folder at `to`, which must not exist.

        Raises:
            BadFolder: the index is not one, or an entry would leave `to`.
        """
        ...

    def verify(self, digest: str) -> None:
        """Read everything and compare with the hash. Raises ArtifactCorrupt."""
        ...

    def delete(self, digest: str) -> None:
        """Forget the bytes. Open readers keep them; an unknown hash is no error."""
        ...

    def __iter__(self) -> Iterator[str]:
        """Every hash that is stored, in no order."""
        ...
