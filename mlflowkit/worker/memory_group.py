"""The memory that a process may have, and whether the system enforced it by killing.

Reads what Linux says of control groups, both versions, also inside containers. Judges
nothing. Elsewhere, or where the system does not tell, there is no limit and no kill.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc")
#: For each version: the file with the limit, and the one that counts kills.
_FILES: Final = (
    ("memory.max", "memory.events"),
    ("memory.limit_in_bytes", "memory.oom_control"),
)
_KILLS: Final = re.compile(r"^oom_kill (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """The control group that a process is in; its children are, too, unless they leave it.

    Attributes:
        folders: Its folder, and those of the groups around it, nearest first; none where
            nothing controls memory.
        proc: Where the system tells of its processes.
    """

    folders: tuple[Path, ...]
    proc: Path = _PROC

    @classmethod
    def of(cls, pid: int, root: Path = _ROOT, proc: Path = _PROC) -> MemoryGroup:
        """That of a process, as it is now. Empty when the process is gone."""
        return cls(tuple(_folders(_read(proc / str(pid) / "cgroup"), root)), proc)

    def limit(self) -> int:
        """Bytes that its processes may have together; 0 where nothing but the machine
        limits them."""
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        told = (_read(folder / name) for folder in self.folders for name, _ in _FILES)
        found = (int(text) for text in told if text.strip().isdigit())
        return min((limit for limit in found if limit < machine), default=0)

    def kills(self) -> int:
        """How many of its processes were killed for lack of memory so far; where it does
        not count them, how many on the machine."""
        counts = (folder / name for folder in self.folders[:1] for _, name in _FILES)
        for path in (*counts, self.proc / "vmstat"):
            found = _KILLS.search(_read(path))
            if found:
                return int(found[1])
        return 0


def _folders(groups: str, root: Path) -> Iterator[Path]:
    """From lines `number:controllers:path`; in a container, a path may begin outside."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, _FILES[0][0]
        elif "memory" in controllers.split(","):
            base, name = root / "memory", _FILES[1][0]
        else:
            continue
        folder = base / path.strip("/")
        found = [each for each in (folder, *folder.parents) if (each / name).is_file()]
        if found:
            yield from found
            return


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
