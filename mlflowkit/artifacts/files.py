"""Artifacts in a folder of this machine: `root/ab/cdef…`, one read-only file per hash.

Rules:
1. A file appears under its name only by rename, complete and read-only.
2. A half-written file lives in `root/tmp`, locked by its writer. A lock that can be had
   means that the writer is dead: the next store that opens sweeps the file away.
3. What is there is not written again, unless it is seen to be damaged: then it is replaced.
   Its modification time says when it was last put, so that cleaning can spare what is new.
4. Bytes that do not match their hash are moved to `root/damaged` when they are read, so
   that putting them again heals the store.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from mlflowkit.artifacts import folders
from mlflowkit.artifacts.base import CHUNK, is_digest
from mlflowkit.artifacts.hashing import HashingWriter
from mlflowkit.errors import ArtifactCorrupt, ArtifactMissing, ArtifactNotStored

#: Artifacts up to this many bytes are checked against their hash whenever they are read.
VERIFY_LIMIT: Final = 1024 * 1024


class FileArtifacts:
    """An artifact store in one folder. See `base.Artifacts` for the promises.

    Args:
        root: The folder; made when the first artifact is put.
        fsync: Wait for the disk before an artifact gets its name. Without it a power cut
            may lose or truncate the newest artifacts (which is then detected), a crash of
            a process never.
    """

    def __init__(self, root: Path, *, fsync: bool = False) -> None:
        self.root = Path(root)
        self._tmp = self.root / "tmp"
        self._fsync = fsync
        self.sweep()

    def __repr__(self) -> str:
        return f"FileArtifacts({str(self.root)!r})"

    # ── writing ──

    def put_bytes(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if not self._is_good(digest, len(data)):
            with self._writing() as (file, temporary):
                file.write(data)
                self._publish(file, temporary, digest)
        return digest

    def put_file(self, path: Path) -> str:
        def copy(to: BinaryIO) -> None:
            with path.open("rb") as source:
                while chunk := source.read(CHUNK):
                    to.write(chunk)

        return self.put_stream(copy)

    def put_stream(self, write: Callable[[BinaryIO], object]) -> str:
        with self._writing() as (file, temporary):
            hashing = HashingWriter(file)
            write(cast(BinaryIO, hashing))
            digest = hashing.hexdigest()
            if not self._is_good(digest, hashing.tell()):
                self._publish(file, temporary, digest)
        return digest

    def put_folder(self, path: Path) -> str:
        return folders.store_folder(self, path)

    def delete(self, digest: str) -> None:
        with suppress(FileNotFoundError):
            self._place(digest).unlink()

    # ── reading ──

    def has(self, digest: str) -> bool:
        return self._place(digest).is_file()

    def path(self, digest: str, *, size: int | None = None) -> Path:
        place = self._place(digest)
        try:
            found = place.stat().st_size
        except FileNotFoundError as exc:
            raise ArtifactMissing(digest, str(self.root)) from exc
        if size is not None and found != size:
            self._set_aside(digest)
            raise ArtifactCorrupt(digest, f"it has {found} bytes instead of {size}")
        if found <= VERIFY_LIMIT:
            self.verify(digest)
        return place

    def open(self, digest: str) -> BinaryIO:
        return self.path(digest).open("rb")

    def read(self, digest: str) -> bytes:
        data = self._read(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            self._set_aside(digest)
            raise ArtifactCorrupt(digest, "its bytes do not match its hash")
        return data

    def verify(self, digest: str) -> None:
        try:
            with self._place(digest).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as exc:
            raise ArtifactMissing(digest, str(self.root)) from exc
        if found != digest:
            self._set_aside(digest)
            raise ArtifactCorrupt(digest, "its bytes do not match its hash")

    def restore_file(self, digest: str, to: Path, *, mode: int = 0o644) -> Path:
        try:
            source = self._place(digest).open("rb")
        except FileNotFoundError as exc:
            raise ArtifactMissing(digest, str(self.root)) from exc
        with source:
            same = _copy_checked(source, to, mode, digest)
        if not same:
            self._set_aside(digest)
            raise ArtifactCorrupt(digest, "its bytes do not match its hash")
        return to

    def restore_folder(self, digest: str, to: Path) -> Path:
        return folders.restore(self, digest, to)

    def __iter__(self) -> Iterator[str]:
        for shelf in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for file in os.listdir(shelf):
                if is_digest(shelf.name + file):
                    yield shelf.name + file

    def sweep(self) -> int:
        """Remove half-written files whose writers are dead. Returns how many."""
        try:
            names = os.listdir(self._tmp)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return sum(_remove_if_abandoned(self._tmp / name) for name in names)

    # ── inside ──

    def _place(self, digest: str) -> Path:
        if not is_digest(digest):
            raise ArtifactMissing(
                digest, f"{self.root} (that is not the name of an artifact)"
            )
        return self.root / digest[:2] / digest[2:]

    def _read(self, digest: str) -> bytes:
        try:
            return self._place(digest).read_bytes()
        except FileNotFoundError as exc:
            raise ArtifactMissing(digest, str(self.root)) from exc

    def _is_good(self, digest: str, size: int) -> bool:
        """Whether it is there, as far as can be told cheaply; if so it is now as new."""
        place = self._place(digest)
        try:
            if place.stat().st_size != size:
                return False
            if size <= VERIFY_LIMIT:
                self.verify(digest)
            os.utime(place)
        except (FileNotFoundError, NotADirectoryError, ArtifactMissing, ArtifactCorrupt):
            return False
        except PermissionError:  # another user's file: there, but not ours to touch
            return True
        return True

    def _set_aside(self, digest: str) -> None:
        aside = self.root / "damaged"
        with suppress(OSError):  # a read-only store still gets the error, only no healing
            aside.mkdir(exist_ok=True)
            self._place(digest).rename(aside / digest)

    @contextmanager
    def _writing(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A locked temporary file; gone at the end unless it was published."""
        file: BinaryIO | None = None
        temporary = self._tmp / secrets.token_hex(12)
        try:
            self._tmp.mkdir(parents=True, exist_ok=True)
            file = _open_locked(temporary)
            yield file, temporary
        except OSError as exc:
            if not _is_ours(exc, temporary):
                raise
            raise ArtifactNotStored(str(self.root), _in_words(exc)) from exc
        finally:
            if file is not None:
                with suppress(OSError):
                    temporary.unlink()
                with suppress(OSError):  # what could not be flushed was already reported
                    file.close()

    def _publish(self, file: BinaryIO, temporary: Path, digest: str) -> None:
        file.flush()
        os.fchmod(file.fileno(), 0o444)
        if self._fsync:
            os.fsync(file.fileno())
        place = self._place(digest)
        place.parent.mkdir(exist_ok=True)
        temporary.rename(place)
        if self._fsync:
            _sync_folder(place.parent)


def _open_locked(path: Path) -> BinaryIO:
    """A new file that this process holds the lock of, also if a sweeper was quicker."""
    while True:
        file = path.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _remove_if_abandoned(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (
        OSError
    ):  # its writer lives, or has just published it, or it is not ours to remove
        return False
    return True


def _copy_checked(source: BinaryIO, to: Path, mode: int, digest: str) -> bool:
    """Copy to `to` if the bytes have this hash; whether they had."""
    building = to.with_name(f".{secrets.token_hex(8)}")
    try:
        with building.open("xb") as target:
            os.fchmod(target.fileno(), mode)
            hashing = HashingWriter(target)
            while chunk := source.read(CHUNK):
                hashing.write(chunk)
        same = hashing.hexdigest() == digest
        if same:
            building.rename(to)
    except OSError as exc:
        raise ArtifactNotStored(str(to.parent), _in_words(exc)) from exc
    finally:
        building.unlink(missing_ok=True)
    return same


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_STORE_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def _is_ours(exc: OSError, temporary: Path) -> bool:
    """Whether the store failed, and not the file that the caller reads from."""
    if exc.errno in _STORE_FULL:
        return True
    named = str(exc.filename or "")
    return named.startswith(str(temporary.parent.parent))


def _in_words(exc: OSError) -> str:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return (exc.strerror or str(exc)).lower()
