"""`pathlib.Path`: the file or folder it names travels with it.

It comes back as a path to a private copy with the same name, so that suffixes keep their
meaning and nobody can change what is stored. The copies of a process lie in one folder
that is removed when the process ends (`restore_to` chooses another one).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.artifacts.serializers import blame
from mlflowkit.artifacts.serializers.leaves import Leaf
from mlflowkit.artifacts.serializers.plain import TAG
from mlflowkit.errors import CannotRead, PathNotFound

if TYPE_CHECKING:
    from mlflowkit.artifacts.base import Artifacts
    from mlflowkit.artifacts.serializers.tree import Node, Reader, Writer

#: Process id → its folder; a forked child must not use, or remove, its parent's.
_folders: Final[dict[int, Path]] = {}


def pack(value: Any, writer: Writer) -> Node | None:
    if type(value) is not PosixPath:
        return None
    if value.is_dir():
        _refuse_bad_entries(value)
        return writer.leaf(Leaf("folder", put=_put_folder(value), facts=_facts(value)))
    if value.is_file():
        return writer.leaf(Leaf("file", put=_put_file(value), facts=_facts(value)))
    problem = "which is neither a file nor a folder" if value.exists() else _absent(value)
    raise PathNotFound(writer.where, blame.at(writer.trail), str(value), problem)


def _absent(path: Path) -> str:
    return "which does not exist" + ("" if path.is_absolute() else f" in {Path.cwd()}")


def _refuse_bad_entries(folder: Path) -> None:
    from mlflowkit.artifacts.folders import scan

    for _ in scan(folder):  # raises BadFolder before anything is stored
        pass


def _facts(path: Path) -> dict[str, Node]:
    named = os.fsencode(path.name or path.resolve().name or "root")
    facts: dict[str, Node] = {"name": named.hex()}
    if path.is_file() and os.access(path, os.X_OK):
        facts["x"] = 1
    return facts


def _put_file(path: Path) -> Any:
    def put(artifacts: Artifacts) -> tuple[str, int]:
        digest = artifacts.put_file(path)
        return digest, artifacts.path(digest).stat().st_size

    return put


def _put_folder(path: Path) -> Any:
    def put(artifacts: Artifacts) -> tuple[str, int]:
        digest = artifacts.put_folder(path)
        return digest, artifacts.path(digest).stat().st_size

    return put


def read(node: dict[str, Node], reader: Reader) -> Path:
    name = os.fsdecode(bytes.fromhex(node["name"]))
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise CannotRead("a path", f"its name {name!r} is not one")
    to = Path(tempfile.mkdtemp(dir=reader.restore_to or _own_folder())) / name
    if node[TAG] == "folder":
        return reader.artifacts.restore_folder(node["a"], to)
    return reader.artifacts.restore_file(
        node["a"], to, mode=0o755 if "x" in node else 0o644
    )


def _own_folder() -> Path:
    """This process's folder for private copies, removed when it ends."""
    pid = os.getpid()
    if pid not in _folders:
        _folders.clear()
        _folders[pid] = Path(tempfile.mkdtemp(prefix="mlflowkit-values-"))
        atexit.register(_remove, pid, _folders[pid])
    return _folders[pid]


def _remove(pid: int, folder: Path) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
