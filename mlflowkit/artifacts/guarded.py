"""An artifact store that looks at bytes before it takes them, and may refuse.

What is refused leaves nothing behind. Reading is the other store's own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from mlflowkit.artifacts import folders
from mlflowkit.artifacts.base import CHUNK, Artifacts

#: Raises when these bytes may not be stored.
Refuse = Callable[[bytes], None]


class GuardedArtifacts:
    """`base.Artifacts` in front of another one.

    Args:
        inner: Where the bytes go.
        refuse: Called with the bytes, of a long stream with one piece after another.
        overlap: Bytes of a piece that are shown again with the next one.
    """

    def __init__(self, inner: Artifacts, refuse: Refuse, overlap: int) -> None:
        self._inner, self._refuse, self._overlap = inner, refuse, overlap

    def put_bytes(self, data: bytes) -> str:
        self._refuse(data)
        return self._inner.put_bytes(data)

    def put_file(self, path: Path) -> str:
        def copy(to: BinaryIO) -> None:
            with path.open("rb") as source:
                while chunk := source.read(CHUNK):
                    to.write(chunk)

        return self.put_stream(copy)

    def put_stream(self, write: Callable[[BinaryIO], object]) -> str:
        def looked_at(file: BinaryIO) -> None:
            write(cast(BinaryIO, _Looking(file, self._refuse, self._overlap)))

        return self._inner.put_stream(looked_at)

    def put_folder(self, path: Path) -> str:
        return folders.store_folder(self, path)

    def has(self, digest: str) -> bool:
        return self._inner.has(digest)

    def path(self, digest: str, *, size: int | None = None) -> Path:
        return self._inner.path(digest, size=size)

    def open(self, digest: str) -> BinaryIO:
        return self._inner.open(digest)

    def read(self, digest: str) -> bytes:
        return self._inner.read(digest)

    def restore_file(self, digest: str, to: Path, *, mode: int = 0o644) -> Path:
        return self._inner.restore_file(digest, to, mode=mode)

    def restore_folder(self, digest: str, to: Path) -> Path:
        return self._inner.restore_folder(digest, to)

    def verify(self, digest: str) -> None:
        self._inner.verify(digest)

    def delete(self, digest: str) -> None:
        self._inner.delete(digest)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)


class _Looking(io.RawIOBase):
    """A file for writing; what is written is looked at first."""

    def __init__(self, file: BinaryIO, refuse: Refuse, overlap: int) -> None:
        super().__init__()
        self._file, self._refuse, self._overlap = file, refuse, overlap
        self._tail = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(cast(bytes, data)))
        seen = self._tail + piece
        self._refuse(seen)
        self._tail = seen[-self._overlap :] if self._overlap else b""
        return self._file.write(piece)

    def tell(self) -> int:
        return self._file.tell()
