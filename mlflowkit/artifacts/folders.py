"""Folders as artifacts: a canonical index of what lies below a path.

The index is JSON: one entry per file (hash, executable or not, size), per empty folder
and per link that stays inside. Modes are reduced to "executable or not", so that the same
content has the same hash on every machine. Restoring trusts nothing: an index may have
been made by hand, so no entry may leave the folder, neither by name nor through a link.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mlflowkit.errors import ArtifactCorrupt, ArtifactNotStored, BadFolder

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts

_FORMAT: Final = "mlflowkit-folder/1"

Kind = Literal["file", "link", "folder"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder; `path` is relative, with "/" between parts."""

    path: str
    kind: Kind
    #: Hash of a file, target of a link, "" for an empty folder.
    target: str = ""
    executable: bool = False
    size: int = 0


def write_index(entries: list[Entry]) -> bytes:
    """The canonical bytes of an index: same entries in any order, same bytes."""
    rows = [
        [entry.path, entry.kind, entry.target, entry.executable, entry.size]
        for entry in sorted(entries, key=lambda entry: entry.path)
    ]
    # ASCII escapes keep file names that are not valid UTF-8.
    return json.dumps({"format": _FORMAT, "entries": rows}, separators=(",", ":")).encode()


def read_index(data: bytes, name: str) -> list[Entry]:
    """Parse and check an index.

    Raises:
        BadFolder: it is not an index, or an entry could leave the folder.
    """
    try:
        found = json.loads(data)
        rows = found["entries"] if found["format"] == _FORMAT else None
        entries = [Entry(*row) for row in rows or []]
    except (ValueError, TypeError, LookupError) as exc:
        raise BadFolder(name, "index", "is not a folder index") from exc
    if rows is None:
        raise BadFolder(name, "index", "is of an unknown format")
    if not all(isinstance(e.path, str) and isinstance(e.target, str) for e in entries):
        raise BadFolder(name, "index", "is not a folder index")
    _check(entries, name)
    return entries


def _check(entries: list[Entry], name: str) -> None:
    links = {entry.path for entry in entries if entry.kind == "link"}
    for entry in entries:
        parts = entry.path.split("/")
        if not _is_inside(parts) or "\0" in entry.path:
            raise BadFolder(name, entry.path, "would leave the folder")
        parents = {"/".join(parts[:n]) for n in range(1, len(parts))}
        if parents & links:
            raise BadFolder(name, entry.path, "lies behind a link")
        if entry.kind == "link" and not _stays(entry.path, entry.target):
            raise BadFolder(
                name, entry.path, f"is a link out of the folder ({entry.target})"
            )
        if entry.kind not in ("file", "link", "folder"):
            raise BadFolder(name, entry.path, f"is of an unknown kind ({entry.kind})")


def _is_inside(parts: list[str]) -> bool:
    return all(part not in ("", ".", "..") for part in parts)


def _stays(path: str, target: str) -> bool:
    """Whether a link at `path` (relative) to `target` points inside the folder.

    ".." may only lead the target: behind a name that is itself a link it could climb out.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    if posixpath.isabs(target) or "\0" in target or ".." in parts[climbs:]:
        return False
    return climbs <= path.count("/")


def store_folder(artifacts: Artifacts, folder: Path) -> str:
    """Put every file below `folder` and the index that names them. Returns its hash."""
    entries = list(scan(folder))  # refuses before anything is stored
    done = [_store_entry(artifacts, folder, entry) for entry in entries]
    return artifacts.put_bytes(write_index(done))


def _store_entry(artifacts: Artifacts, folder: Path, entry: Entry) -> Entry:
    if entry.kind != "file":
        return entry
    digest = artifacts.put_file(folder / entry.path)
    size = artifacts.path(digest).stat().st_size
    return Entry(entry.path, "file", digest, entry.executable, size)


def scan(folder: Path) -> Iterator[Entry]:
    """What lies below `folder`; the hashes of files are still empty.

    Raises:
        BadFolder: a link that leaves the folder, or a device, pipe or socket.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as listing:
            found = list(listing)
        if not found and below:
            yield Entry(below, "folder")
        for item in found:
            path = posixpath.join(below, item.name)
            if item.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                yield _entry(folder, path, item)


def _entry(folder: Path, path: str, item: os.DirEntry[str]) -> Entry:
    if item.is_symlink():
        target = os.readlink(item.path)
        if not _stays(path, target):
            raise BadFolder(str(folder), path, f"is a link out of the folder ({target})")
        return Entry(path, "link", target)
    if not item.is_file(follow_symlinks=False):
        raise BadFolder(str(folder), path, "is not a file, folder or link")
    mode = item.stat(follow_symlinks=False).st_mode
    return Entry(path, "file", executable=bool(mode & 0o100))


def restore(artifacts: Artifacts, digest: str, to: Path) -> Path:
    """Build a private copy of a stored folder beside `to`, then move it there."""
    entries = read_index(artifacts.read(digest), digest[:12])
    to.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        for entry in entries:
            _restore_entry(artifacts, building, entry)
        building.chmod(0o755)
        building.rename(to)
    except OSError as exc:
        raise ArtifactNotStored(str(to), exc.strerror or str(exc)) from exc
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return to


def _restore_entry(artifacts: Artifacts, folder: Path, entry: Entry) -> None:
    at = folder / entry.path
    at.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind == "folder":
        at.mkdir(exist_ok=True)
    elif entry.kind == "link":
        at.symlink_to(entry.target)
    else:
        artifacts.restore_file(entry.target, at, mode=0o755 if entry.executable else 0o644)
        if at.stat().st_size != entry.size:
            raise ArtifactCorrupt(entry.target, "it has another size than its index says")
