"""What a person has around them now: environment, folder, paths, interpreter, distributions."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from mlflowkit.ports import Surroundings
from mlflowkit.worker.processes import ENGINE_MARK

#: Opens the store's secrets, and would be stored beside them: the engine has its own.
_KEYS = frozenset({"MLFLOWKIT_FERNET_KEY"})
#: Change with every command and say nothing about the work.
NOISE = _KEYS | frozenset({"_", "OLDPWD", "SHLVL", "LINES", "COLUMNS", ENGINE_MARK})


def surroundings() -> Surroundings:
    """Taken at each run, so that `os.environ[...] =`, `os.chdir` and `%pip install` count at once."""
    return Surroundings(
        python=sys.executable,
        env={k: v for k, v in os.environ.items() if k not in NOISE and _is_text(k + v)},
        cwd=os.getcwd(),
        sys_path=tuple(sys.path),
        umask=umask(),
        distributions=distributions(),
    )


def umask() -> int:
    """The umask; asking the system by setting it would open a gap for other threads' files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _is_text(text: str) -> bool:
    """Whether it can be written as UTF-8; a variable that cannot is left behind."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def distributions() -> str:
    """A hash of what is installed: names and versions, and when each was put there."""
    found = hashlib.sha256()
    for entry in sorted({Path(p) for p in sys.path if p}):
        if not entry.is_dir():
            continue
        for info in sorted(entry.glob("*.dist-info")):
            found.update(f"{info.name} {info.stat().st_mtime_ns}\n".encode())
    return found.hexdigest()
