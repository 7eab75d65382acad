"""What loading a folder found, kept as plain JSON, and whether it still holds.

    home/cache/dags/<hash of the folder>.json

A file is unchanged if its content is, and the content of every local module and notebook
that it used, and no new file stands where Python would now find one of its imports first,
and mlflowkit, Python and the limits are the same. What a file reads by itself when it is
loaded (data files, the environment) is not known here: `refresh` loads all anew.
"""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

import mlflowkit

#: A file that was too slow or ended its process is tried again after this.
PATIENCE_SECONDS = 300.0


class DagEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A DAG as an engine takes it: its spec is JSON, its code the name of a bundle."""

    dag_id: str
    bundle: str
    spec: msgspec.Raw
    notes: tuple[str, ...] = ()
    #: Whether it is to be paused when it is new; None: as usual.
    paused: bool | None = None


class ErrorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file, or one DAG of it, could not be loaded."""

    file: str
    #: Stable name of the kind of error (docs/reference/errors.md).
    code: str
    error: str
    line: int | None = None
    #: Where the error is, if that is another file: a module, or a cell of the notebook.
    where: str = ""
    dag_id: str = ""
    trace: str = ""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one file."""

    path: str
    #: Of the content that was loaded; empty if that cannot be said.
    sha256: str = ""
    #: How long its top level took.
    seconds: float = 0.0
    dags: tuple[DagEntry, ...] = ()
    errors: tuple[ErrorEntry, ...] = ()
    #: Other files that it was made of, with the hash of their content.
    made_of: dict[str, str] = {}
    #: Places without a suffix: a module or folder there would be imported instead.
    absent: tuple[str, ...] = ()
    #: Where its imports were looked for, in the order of `sys.path`.
    sys_path: tuple[str, ...] = ()
    #: Seconds since 1970 until which an error is taken as it is; 0: it is tried again.
    until: float = 0.0


class _Kept(msgspec.Struct):
    stamp: str
    files: dict[str, FileEntry]


def sha256(content: bytes) -> str:
    """Its hash, as text."""
    return hashlib.sha256(content).hexdigest()


class FolderCache:
    """The entries of one folder, read once and written whole."""

    def __init__(self, folder: Path, home: Path, *, airflow: bool = False) -> None:
        name = sha256(str(folder).encode())[:24] + ("-airflow" if airflow else "")
        self.path = home / "cache" / "dags" / f"{name}.json"
        self._stamp = _stamp(home)

    def read(self) -> dict[str, FileEntry]:
        """By path; empty if there is none that this program has written."""
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return {}
        return kept.files if kept.stamp == self._stamp else {}

    def write(self, files: Iterable[FileEntry]) -> None:
        """In the place of what was there: whole, or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = _Kept(stamp=self._stamp, files={entry.path: entry for entry in files})
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(msgspec.json.encode(kept))
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


class Freshness:
    """Does an entry still say what loading would say? Each file is looked at once."""

    def __init__(self, home: Path, now: float) -> None:
        self._now = now
        self._bundles = frozenset(_names(str(home / "bundles")))
        self._hashes: dict[str, str] = {}
        self._listings: dict[str, frozenset[str]] = {}

    def holds(self, entry: FileEntry, content_sha256: str) -> bool:
        """Would loading its file again give the same?"""
        return (
            entry.sha256 == content_sha256
            and not (entry.errors and self._now >= entry.until)
            and all(dag.bundle in self._bundles for dag in entry.dags)
            and all(self._hash(path) == sha for path, sha in entry.made_of.items())
            and not any(map(self._is_there, entry.absent))
        )

    def _hash(self, path: str) -> str:
        if path not in self._hashes:
            self._hashes[path] = hash_of_file(path)
        return self._hashes[path]

    def _is_there(self, place: str) -> bool:
        folder, name = os.path.split(place)
        if folder not in self._listings:
            self._listings[folder] = _names(folder)
        return name in self._listings[folder] or f"{name}.py" in self._listings[folder]


def hash_of_file(path: str) -> str:
    """The hash of its content; empty if there is no such file."""
    try:
        with open(path, "rb") as file:
            return sha256(file.read())
    except OSError:
        return ""


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _stamp(home: Path) -> str:
    """Changes with everything, beside files, that decides what loading gives."""
    ours = os.path.dirname(mlflowkit.__file__)
    limits = os.environ.get("MLFLOWKIT_MAX_MAP_LENGTH", "")
    project = hash_of_file(str(home.parent / "pyproject.toml"))
    parts = (mlflowkit.__version__, sys.version, sys.executable, limits, project)
    whole = hashlib.sha256(repr(parts).encode())
    for path, facts in _own_files(ours).items():
        whole.update(f"{path} {facts}\n".encode())
    return whole.hexdigest()


def _own_files(folder: str) -> Mapping[str, tuple[int, int]]:
    """Our own files with size and time: an editable install changes without a version."""
    found: dict[str, tuple[int, int]] = {}
    with os.scandir(folder) as listing:
        for entry in sorted(listing, key=lambda one: one.name):
            if entry.name.endswith(".py"):
                facts = entry.stat()
                found[entry.path] = (facts.st_size, facts.st_mtime_ns)
            elif entry.is_dir() and entry.name != "__pycache__":
                found |= _own_files(entry.path)
    return found
