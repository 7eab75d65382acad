"""What a process holds beside variables: settings, random states, modules, threads.

`probe` gives plain data that is equal where nothing has changed; what differs after a
cell was changed by it, and the cell is replayed. Random states are brought back instead.
Runs in a kernel; changes nothing but by `set_random`.
"""

from __future__ import annotations

import builtins
import decimal
import gc
import locale
import os
import signal
import site
import socket
import sys
import sysconfig
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.libraries import name_of, settings_of_libraries
from mlflowkit.nbrun.checkpoint.loggers import settings_of_logging
from mlflowkit.nbrun.checkpoint.modules import data_in, patched, states_of_modules
from mlflowkit.nbrun.checkpoint.randomness import filters_travel
from mlflowkit.nbrun.checkpoint.shared import contents_in
from mlflowkit.nbrun.checkpoint.store import DATA, text_digest

#: Beginnings of what differs in each kernel, and is nothing that a cell sets.
_OWN_VARIABLES: Final = (
    "JPY_",
    "MLFLOWKIT_",
    "PYDEVD_",
    "IPY_INTERRUPT",
    "COLUMNS",
    "LINES",
    # Set by scikit-learn and torch when they are imported, wherever that is.
    "KMP_DUPLICATE_LIB_OK=",
    "KMP_INIT_AT_FORK=",
    "TORCHINDUCTOR_CACHE_DIR=",
)


def here() -> dict[str, Any]:
    """The settings that a fork of this process would not have. Plain data."""
    return {
        "handlers of signals": _signals(),
        "threads": _threads(),
        "child processes": _children(),
        "sys.stdout": [name_of(sys.stdout), name_of(sys.stderr)],
        "the collector of garbage": [gc.isenabled(), *gc.get_threshold()],
    }


def rest(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """All other settings, by what they are. Plain data."""
    found: dict[str, Any] = {
        "the working folder": os.getcwd(),
        "environment variables": _environment(),
        "sys.path": text_digest(*map(str, sys.path)),
        "sys.argv": _arguments(),
        "the finders of modules": [
            name_of(each) for each in (*sys.meta_path, *sys.path_hooks)
        ],
        "the time zone": [*time.tzname, time.timezone],
        "the mask of new files": _umask(),
        "filters of warnings": "brought back" if filters_travel() else _filters(),
        "logging": settings_of_logging(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the decimal context": repr(decimal.getcontext()),
        "the recursion limit": sys.getrecursionlimit(),
        "the switch interval": sys.getswitchinterval(),
        "hooks of the interpreter": [
            name_of(hook) for hook in (sys.excepthook, sys.gettrace(), sys.displayhook)
        ],
        "the sockets' time-out": socket.getdefaulttimeout(),
        "builtins": _builtins(),
    }
    found.update(settings_of_libraries())
    found.update(states_of_modules())
    found.update(patched(namespace))
    found[DATA] = {**data_in(namespace), **contents_in(namespace)}
    return found


def probe(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of this process."""
    return {**here(), **rest(namespace)}


# ── the process ──


def _environment() -> str:
    said = (f"{name}={value}" for name, value in os.environ.items())
    return text_digest(*sorted(one for one in said if not one.startswith(_OWN_VARIABLES)))


def _filters() -> str:
    return text_digest(*map(repr, warnings.filters))


def _arguments() -> list[str]:
    """Those of the kernel itself by their places: each kernel has another file there."""
    then = _argv_then
    return [f"#{then.index(each)}" if each in then else str(each) for each in sys.argv]


def _umask() -> str:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return line
    return ""


#: The shell puts its own handler there while a cell runs.
_SIGNALS: Final = sorted(signal.valid_signals() - {signal.SIGINT})


def _signals() -> str:
    return text_digest(*(name_of(signal.getsignal(each)) for each in _SIGNALS))


_builtins_then: Final[dict[str, int]] = {name: id(v) for name, v in vars(builtins).items()}


def _builtins() -> list[str]:
    now = vars(builtins)
    ours = {"_", "__", "___", "input"}  # the kernel puts its own there for each cell
    names = (now.keys() | _builtins_then.keys()) - ours
    return sorted(n for n in names if id(now.get(n)) != _builtins_then.get(n))


_threads_then: Final[set[int | None]] = set()
_argv_then: Final[list[str]] = []


def know_own() -> None:
    """The threads that run now are the kernel's own, and so is its command line."""
    _threads_then.update(each.ident for each in threading.enumerate())
    _argv_then[:] = sys.argv


def _threads() -> int:
    own = ("IPythonHistorySavingThread", "Tmp", "asyncio_", "IOPub", "Heartbeat", "Control")
    return sum(
        each.ident not in _threads_then and not each.name.startswith(own)
        for each in threading.enumerate()
    )


#: Children that write checkpoints.
own_children: Final[set[int]] = set()


def _children() -> int:
    try:
        told = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
        return len({int(pid) for pid in told.read_text().split()} - own_children)
    except (OSError, ValueError):
        return 0


def interpreter() -> str:
    """Of which Python and packages this process is: changes with every installation."""
    said = [sys.version, sys.executable]
    folders = sorted({*site.getsitepackages(), *sysconfig.get_paths().values()})
    packages = [f for f in folders if f.endswith("packages") and os.path.isdir(f)]
    return text_digest(*said, *(f"{f} {os.stat(f).st_mtime_ns}" for f in packages))
