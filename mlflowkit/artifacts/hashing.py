"""Hashing bytes while they are written, so that nothing is read twice."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO, cast


class HashingWriter(io.RawIOBase):
    """A file for writing only that hashes what passes through it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self._hash, self._written = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(cast(bytes, data))
        if view.nbytes:
            self._hash.update(view)
            self._file.write(view)
            self._written += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._written

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
