"""Kernels that are held after their notebook failed: listed, found, opened, ended.

Asks every kernel server of this user: a held kernel outlives changes of the installation
that gave it. Never starts a server, and never ends a kernel that nobody named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflowkit.nbrun import private
from mlflowkit.nbrun.kernel_client import KernelServer, NoForkedKernel
from mlflowkit.nbrun.kernel_place import Place, here

#: Between the name of a server's folder and its own name of the kernel.
_MARK = "."
#: The engine does not stand still for a kernel server that does.
_ENGINE_SECONDS = 1.0
#: In the folder that is kept over the attempts of a task instance: copies to work in.
OPENED = ".opened"


@dataclass(frozen=True, slots=True)
class HeldKernel:
    """A kernel whose notebook failed, with its variables."""

    #: For `release` and `mlflowkit notebook release`.
    id: str
    pid: int
    run_id: str
    task_id: str
    #: None: the task is not mapped.
    map_index: int | None
    attempt: int
    #: The cell that failed, from 0, all cells counted.
    cell: int
    #: What was raised there.
    error: str
    since: datetime
    #: When it ends at last. Aware, UTC.
    until: datetime
    #: Memory, in bytes.
    bytes: int
    #: Whether somebody has it open: in JupyterLab, a console or an editor.
    opened: bool
    #: The executed notebook.
    notebook: str
    home: str = ""
    connection: Mapping[str, Any] = field(
        default_factory=dict[str, Any], repr=False, compare=False
    )

    @property
    def task(self) -> str:
        """Its task instance: `fit`, or `fit[2]`."""
        index = "" if self.map_index is None else f"[{self.map_index}]"
        return f"{self.task_id}{index}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without what gives access to it."""
        return {
            "id": self.id,
            "run": self.run_id,
            "task": self.task,
            "attempt": self.attempt,
            "cell": self.cell + 1,
            "error": self.error,
            "since": self.since.isoformat(timespec="seconds"),
            "until": self.until.isoformat(timespec="seconds"),
            "bytes": self.bytes,
            "opened": self.opened,
            "notebook": self.notebook,
        }

    def connection_file(self) -> Path:
        """Written for `jupyter console --existing FILE`, for this user alone."""
        folder = copies_of(self)
        path = folder / f"kernel-{self.id}.json"
        with os.fdopen(_opened(path), "w") as file:
            json.dump(dict(self.connection), file)
        return path

    def release(self) -> bool:
        """End it. Returns whether it was held still."""
        return release(self.id)


def _opened(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)


def held_kernels(
    home: str | Path | None = None, *, seconds: float = 65.0
) -> list[HeldKernel]:
    """The kernels of failed notebooks that are held, the oldest first.

    Args:
        home: Those of runs in this home; None: all of this user.
        seconds: A kernel server that does not answer for so long holds none.
    """
    wanted = None if home is None else str(Path(home).resolve())
    found: list[HeldKernel] = []
    for server, folder in _servers(seconds):
        with suppress(NoForkedKernel):
            found += [_held(folder, one) for one in server.held()]
        server.close()
    mine = [one for one in found if wanted is None or one.home == wanted]
    return sorted(mine, key=lambda one: one.since)


def _servers(seconds: float = 65.0) -> Iterator[tuple[KernelServer, Path]]:
    parent = here().folder.parent
    for folder in sorted(parent.glob("s*")):
        if not (folder / "server").exists():
            continue
        sock = Place(folder).connect()
        if sock is not None:
            yield KernelServer(sock, seconds), folder


def _held(folder: Path, told: Mapping[str, Any]) -> HeldKernel:
    facts = told["facts"]
    return HeldKernel(
        id=f"{folder.name}{_MARK}{told['id']}",
        pid=told["pid"],
        run_id=facts.get("run_id", ""),
        task_id=facts.get("task_id", ""),
        map_index=facts.get("map_index"),
        attempt=facts.get("attempt", 0),
        cell=facts.get("cell", -1),
        error=facts.get("error", ""),
        since=datetime.fromtimestamp(told["since"], UTC),
        until=datetime.fromtimestamp(told["until"], UTC),
        bytes=told["bytes"],
        opened=told["opened"],
        notebook=facts.get("notebook", ""),
        home=facts.get("home", ""),
        connection=told["connection"],
    )


def of_instance(
    home: str | Path, run_id: str, task_id: str, map_index: int | None
) -> list[HeldKernel]:
    """Those of one task instance, the oldest first."""
    wanted = (run_id, task_id, map_index)
    return [
        one
        for one in held_kernels(home)
        if (one.run_id, one.task_id, one.map_index) == wanted
    ]


def release(kernel: str) -> bool:
    """End a held kernel. Returns whether it was held."""
    try:
        server, name = reach(kernel)
    except NoForkedKernel:
        return False
    try:
        return server.release(name)
    except NoForkedKernel:
        return False
    finally:
        server.close()


def release_run(home: str | Path, run_id: str) -> int:
    """End what is held of a run. Returns how many that were."""
    return sum(one.release() for one in held_kernels(home) if one.run_id == run_id)


class HomesKernels:
    """`ports.HeldKernels`, for the engine of a home: it waits for no answer for long."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def opened(self) -> set[tuple[str, str, int]]:
        """Run, task and map index of those that somebody has open."""
        found = held_kernels(self._home, seconds=_ENGINE_SECONDS)
        return {_where(one) for one in found if one.opened}

    def release(self, run_id: str, task_ids: Collection[str], *, opened: bool) -> None:
        """End what is held of these tasks of a run; of none: of all."""
        for one in held_kernels(self._home, seconds=_ENGINE_SECONDS):
            meant = one.run_id == run_id and (not task_ids or one.task_id in task_ids)
            if meant and (opened or not one.opened):
                one.release()


def _where(one: HeldKernel) -> tuple[str, str, int]:
    return one.run_id, one.task_id, -1 if one.map_index is None else one.map_index


def reach(kernel: str) -> tuple[KernelServer, str]:
    """A connection of its own to the server that holds a kernel, and its name there.

    Args:
        kernel: `held_kernels()[0].id`, or a name that this interpreter's server gave.

    Raises:
        NoForkedKernel: there is no such server.
    """
    folder, mark, name = kernel.partition(_MARK)
    place = here()
    if mark:
        if "/" in folder or not folder.startswith("s"):
            raise NoForkedKernel(f"{kernel!r} names no held kernel")
        place = Place(place.folder.parent / folder)
    sock = place.connect()
    if sock is None:
        raise NoForkedKernel("the kernel server is gone")
    return KernelServer(sock), name if mark else kernel


def copies_of(kernel: HeldKernel) -> Path:
    """A private folder for the copy of its notebook; kept when the kernel has ended."""
    base = Path(kernel.home) if kernel.home else private.parent()
    name = f"{kernel.task}.{kernel.attempt}"
    folder = base / "runs" / kernel.run_id / OPENED / name
    if not folder.resolve().is_relative_to(base.resolve()):
        raise ValueError(f"{folder} is not below {base}")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder
