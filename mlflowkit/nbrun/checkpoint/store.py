"""Checkpoints on disk: content named by its hash, and a manifest for each step.

    DIR/blobs/HASH        bytes                 DIR/steps/NNNNNN.json   Step: plain data
    DIR/cells.json        what the steps are of DIR/notes.jsonl         what was not kept, and why
    DIR/writing           locked (shared) while somebody writes
    DIR/steps/NNNNNN.begun                      this step is being written, or never was to its end

Files are 0600 in folders 0700, and appear whole or not at all; a step comes after all of its
blobs. Plain data is read anywhere, blobs in a kernel only: some of them are pickles.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

#: Left free on the disk.
_SPARE_BYTES: Final = 256 * 1024 * 1024
#: A setting: the constants of the modules that are variables, by their names; and what
#: objects hold that are variables and a module's, too, as "module:name".
DATA: Final = "the data of modules"


class Group(msgspec.Struct, frozen=True):
    """Variables that were stored together."""

    names: tuple[str, ...]
    #: Of their content.
    digest: str
    body: str
    buffers: tuple[str, ...] = ()
    #: The same content has the same digest in another process.
    exact: bool = True
    #: Names that functions in it may use.
    uses: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a kernel held after a cell."""

    #: The cell, counted among those that have something to run, from 0.
    at: int
    groups: tuple[Group, ...] = ()
    #: Variables that do not travel, in groups, with reasons.
    stuck: tuple[tuple[str, ...], ...] = ()
    why: dict[str, str] = {}
    #: Blob: the states of generators of random numbers.
    random: str = ""
    #: Settings of the process.
    ambient: dict[str, Any] = {}
    #: Files of local modules that were loaded, with their content's hash.
    modules: dict[str, str] = {}
    #: Files that the cells so far name, with size and time; see `files`.
    files: dict[str, str] = {}
    #: Blob: the names of the modules that were loaded.
    loaded: str = ""
    #: Executed code and which of it showed a value, as the shell counts.
    inputs: tuple[str, ...] = ()
    outs: tuple[int, ...] = ()
    count: int = 1
    #: Which variables hold what the shell will show as `_`, `__` and `___`.
    shown: dict[str, str] = {}
    #: Those of them that a cell has bound: the shell leaves them alone.
    taken: tuple[str, ...] = ()
    #: What was pushed so far.
    pushed: dict[str, Any] = {}
    #: Seconds of its cells.
    seconds: float = 0.0


class Cells(msgspec.Struct, frozen=True):
    """The notebook that steps belong to."""

    #: Hash of each cell that has something to run.
    cells: tuple[str, ...] = ()
    #: Parameters that were not written as code, by the hash of their content.
    inputs: dict[str, str] = {}
    #: Kernel, interpreter, distributions.
    kernel: str = ""
    #: Settings of the process before the first cell.
    ambient: dict[str, Any] = {}
    #: Blob: the states of generators of random numbers before the first cell.
    random: str = ""
    #: Where the executed notebook of the last attempt is.
    output: str = ""


class Store:
    """One task instance's folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folders. Twice is once."""
        for each in (self.folder, self.folder / "blobs", self.folder / "steps"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chmod(each, 0o700)

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # ── blobs ──

    def has(self, name: str) -> bool:
        return (self.folder / "blobs" / name).exists()

    def put(self, data: Any, name: str = "") -> str:
        """Store bytes. Returns their name. What is there already is not written again.

        Raises:
            OSError: the disk is full, or nearly.
        """
        name = name or digest(data)
        path = self.folder / "blobs" / name
        if not path.exists():
            size = memoryview(data).nbytes
            if shutil.disk_usage(self.folder).free < size + _SPARE_BYTES:
                raise OSError(28, "No space left on device")
            self._write(path, data)
        return name

    def get(self, name: str) -> bytearray:
        """Stored bytes.

        Raises:
            OSError: they are gone, or not what was stored.
        """
        path = self.folder / "blobs" / name
        found = bytearray(path.stat().st_size)
        with path.open("rb", buffering=0) as file:
            view = memoryview(found)
            while view and (read := file.readinto(view)):
                view = view[read:]
        if digest(found) != name:
            raise OSError(5, "a checkpoint is damaged", str(path))
        return found

    # ── steps ──

    def begin_step(self, at: int) -> None:
        """Say that a step is being written, until `end_step`."""
        self._write(self._of_step(at, "begun"), b"")

    def end_step(self, at: int) -> None:
        """It was written, or a note says why not."""
        self._of_step(at, "begun").unlink(missing_ok=True)

    def unfinished(self) -> list[int]:
        """The steps whose writing began and did not end: those of a process that was killed."""
        return sorted(int(p.stem) for p in (self.folder / "steps").glob("*.begun"))

    def add(self, step: Step) -> None:
        """Store a step; its blobs are there."""
        self._write(self._of_step(step.at, "json"), msgspec.json.encode(step))

    def _of_step(self, at: int, kind: str) -> Path:
        return self.folder / "steps" / f"{at:06d}.{kind}"

    def steps(self) -> list[Step]:
        """All steps, in order. One that cannot be read is as good as none."""
        found: list[Step] = []
        for path in sorted((self.folder / "steps").glob("*.json")):
            with suppress(msgspec.DecodeError, OSError):
                found.append(msgspec.json.decode(path.read_bytes(), type=Step))
        return found

    def keep(self, last: int) -> None:
        """Forget the steps after cell `last`, what only they held, and what is half written."""
        for path in (self.folder / "steps").iterdir():
            if path.suffix != ".json" or int(path.stem) > last:
                path.unlink(missing_ok=True)
        needed = {self.cells().random}
        for step in self.steps():
            needed |= {step.random, step.loaded}
            for group in step.groups:
                needed |= {group.body, *group.buffers}
        for path in (self.folder / "blobs").glob("*"):
            if path.name not in needed:
                path.unlink(missing_ok=True)

    # ── beside them ──

    def write_cells(self, cells: Cells) -> None:
        self._write(self.folder / "cells.json", msgspec.json.encode(cells))

    def write_kernel(self, facts: dict[str, Any], name: str = "kernel") -> None:
        """What a kernel tells of itself: `kernel`, `inputs`; see `Cells`."""
        self._write(self.folder / f"{name}.json", msgspec.json.encode(facts))

    def cells(self) -> Cells:
        """What the steps belong to; empty if that is not known."""
        try:
            raw = (self.folder / "cells.json").read_bytes()
            return msgspec.json.decode(raw, type=Cells)
        except (OSError, msgspec.DecodeError):
            return Cells()

    def note(self, cell: int, text: str) -> None:
        """Say why a step was not kept. Loses the note rather than raise."""
        line = json.dumps({"cell": cell, "text": text}).encode() + b"\n"
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            file = os.open(self.folder / "notes.jsonl", flags, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)

    def notes(self) -> list[dict[str, Any]]:
        """What `note` was told."""
        try:
            lines = (self.folder / "notes.jsonl").read_text().splitlines()
        except OSError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def forget_notes(self) -> None:
        (self.folder / "notes.jsonl").unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a lock that lasts as long as a process has it that was forked meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self.folder / "writing", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield
        finally:
            os.close(lock)

    def is_written(self) -> bool:
        """Whether nobody writes."""
        try:
            lock = os.open(self.folder / "writing", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _write(self, path: Path, data: Any) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            file = os.open(temporary, flags, 0o600)
            try:
                view = memoryview(data).cast("B")
                while view:
                    view = view[os.write(file, view) :]
            finally:
                os.close(file)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def digest(*parts: Any) -> str:
    """The name of a content: 32 hex digits. Fast; it guards against accidents alone."""
    try:
        import xxhash

        state: Any = xxhash.xxh3_128()
    except ImportError:
        state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part)
    found: str = state.hexdigest()
    return found


def text_digest(*texts: str) -> str:
    """The same for texts."""
    return digest(*(len(t).to_bytes(8, "big") + t.encode(errors="replace") for t in texts))


def fits(names: Iterable[str], group: Group) -> bool:
    """Whether a group has one of these names."""
    return not set(names).isdisjoint(group.names)
