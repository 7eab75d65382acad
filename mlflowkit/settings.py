"""Settings, and the two folders everything hangs on: the root and the home.

Root: the nearest parent folder with `.mlflowkit`, `pyproject.toml` or `.git`,
else the working folder. Home: `ROOT/.mlflowkit`, or `MLFLOWKIT_HOME`.
Settings come from `MLFLOWKIT_*`, then `[tool.mlflowkit]` in `ROOT/pyproject.toml`.
Nothing here is cached between calls: a changed environment or working folder takes effect at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.errors import HomeOnNetwork, HomeUnwritable

if TYPE_CHECKING:
    from mlflowkit._settings_model import Settings

ROOT_MARKS = (".mlflowkit", "pyproject.toml", ".git")
#: File systems on which SQLite's WAL mode breaks: its shared memory cannot be shared there.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "glusterfs", "lustre"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.glusterfs", "fuse.gcsfuse", "gpfs", "beegfs"}
)


def root(start: Path | None = None) -> Path:
    """The project's folder: sources are found from here, functions run here."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in ROOT_MARKS):
            return folder
    return here


def home_path() -> Path:
    """Where the home is, or will be. Touches nothing."""
    given = os.environ.get("MLFLOWKIT_HOME")
    return Path(given).expanduser().resolve() if given else root() / ".mlflowkit"


def home() -> Path:
    """The home folder, made if need be, with its own `.gitignore`.

    Raises:
        HomeUnwritable: it cannot be made or written.
        HomeOnNetwork: it lies on a network file system.
    """
    path = home_path()
    ignore = path / ".gitignore"
    if ignore.exists() and os.access(path, os.W_OK):
        return _private(path)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK):
            raise HomeUnwritable(path, "it is read-only")
        _refuse_network(path)
        ignore.write_text("*\n")
    except OSError as exc:
        raise HomeUnwritable(path, exc.strerror or str(exc)) from exc
    return _private(path)


def _private(path: Path) -> Path:
    """Code, values and environments of tasks lie in the home: only its owner may look."""
    found = path.stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        path.chmod(0o700)
    return path


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by the longest mount point above it.

    Args:
        path: An absolute path.
        mounts: The text of `/proc/self/mounts`.
    """
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, where, fs_type, *_ = line.split(" ")
        where = where.encode().decode("unicode_escape")
        inside = str(path) == where or str(path).startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best):
            best, kind = where, fs_type
    return kind


def _refuse_network(path: Path) -> None:
    mounts = Path(os.environ.get("MLFLOWKIT_MOUNTS", "/proc/self/mounts"))
    if not mounts.exists():
        return
    kind = file_system_of(path, mounts.read_text())
    if kind in NETWORK_FILE_SYSTEMS:
        raise HomeOnNetwork(path, kind)


def settings() -> Settings:
    """The settings in force now, for this working folder and environment.

    Raises:
        BadSetting: a value does not fit; the message names the variable.
    """
    from mlflowkit._settings_model import read_settings

    return read_settings(root() / "pyproject.toml")
