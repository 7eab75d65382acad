"""Why a cell failed, in words for a person: what was raised, where, what to do.

Nothing here asks a kernel; facts come in, an error goes out.
"""

from __future__ import annotations

import errno
import re
import signal
import site
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mlflowkit.worker.processes import readable_bytes

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
#: First line of a frame in IPython's traceback: `File ~/x.py:3, in f(x)`.
_FRAME: Final = re.compile(r"^File (?P<path>.+?):(?P<line>\d+)")

#: The same for one in a cell: `Cell In[3], line 2, in f()`.
_CELL: Final = re.compile(r"Cell In\[(\d+)\], line (\d+)")

_INPUT_HINT: Final = (
    "input() asks a person, and a task has none: make it a parameter of the notebook."
)
_MEMORY_HINT: Final = "There was no more memory to get{used}: work on less at a time."
#: How the names of exceptions end that mean a lack of memory.
_NO_MEMORY: Final = ("MemoryError", "OutOfMemoryError")
#: `OSError: [Errno 28] …`: the disk is full, a quota or a limit is reached.
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
_DISK_HINTS: Final = {
    errno.ENOSPC: "The disk is full: make room, or write somewhere else.",
    errno.EDQUOT: "Your disk quota is used up: make room, or write somewhere else.",
    errno.EFBIG: "A file may not be larger than that here (see `ulimit -f`).",
}

_NOISE: Final = ("frozen_modules", "PYDEVD_DISABLE", "make the debugger")
#: How Python's faulthandler begins.
_CRASH: Final = "Fatal Python error: "


def hint_for(ename: str, evalue: str = "", memory: tuple[int, int] = (0, 0)) -> str:
    """What to do about an exception, where its name or number says enough.

    Args:
        ename, evalue: Its class and its text.
        memory: The most bytes that the kernel had, and may have; 0 where that is unknown.
    """
    if ename == "StdinNotImplementedError":
        return _INPUT_HINT
    if ename.endswith(_NO_MEMORY):
        return _memory_hint(*memory)
    found = _ERRNO.search(evalue)
    return _DISK_HINTS.get(int(found[1]), "") if found else ""


def _memory_hint(peak: int, limit: int) -> str:
    used = f" (the kernel had up to {readable_bytes(peak)}" if peak else ""
    used += f" of the {readable_bytes(limit)} that it may have" if used and limit else ""
    return _MEMORY_HINT.format(used=used + ")" if used else "")


def own_frames(traceback: Sequence[str]) -> tuple[str, ...]:
    """A traceback without the frames of libraries; colours are kept.

    The last words (the exception itself) and frames of cells and of the person's own
    files stay. One line says how many frames were left out.
    """
    kept: list[str] = []
    left_out = 0
    for part in traceback:
        if _is_library_frame(part):
            left_out += 1
        else:
            kept.append(part)
    if left_out and kept:
        word = "frame" if left_out == 1 else "frames"
        kept.insert(-1, f"    … {left_out} {word} of libraries left out")
    return tuple(line for part in kept for line in part.splitlines())


def as_output(ename: str, evalue: str) -> dict[str, Any]:
    """An error output of ours, where the kernel could not write its own."""
    told = [f"{ename}: {evalue}"]
    return {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": told}


def line_of_cell(source: str, traceback: Sequence[str], count: int | None) -> int:
    """Which line of the cell with this number failed, from 1; 0 if that is not told."""
    lines = source.splitlines()
    empty = next((n for n, line in enumerate(lines) if line.strip()), 0)
    for part in traceback:
        match = _CELL.search(_ANSI.sub("", part))
        if match is not None and count is not None and int(match[1]) == count:
            return int(match[2]) + empty  # IPython does not count those at its beginning
    return 0


def _is_library_frame(part: str) -> bool:
    match = _FRAME.match(_ANSI.sub("", part))
    if match is None:
        return False
    path = str(Path(match["path"]).expanduser())
    if path.startswith("<") and not path.startswith("<ipython"):
        return True  # <frozen importlib._bootstrap>
    return path.startswith(_library_folders()) or "/site-packages/" in path


def _library_folders() -> tuple[str, ...]:
    folders = [
        sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
    ]
    folders += [site.getusersitepackages(), str(Path(sys.base_prefix) / "lib")]
    folders.append(str(Path(__file__).resolve().parents[1]))
    return tuple(folder.rstrip("/") + "/" for folder in folders)


def death(status: int, memory: tuple[int, int], oom: bool) -> tuple[str, str]:
    """What to say of a kernel that died: a sentence, and what to do.

    Args:
        status: Exit status of its process, negative for a signal.
        memory: The most bytes that it was seen to have, and that it may have with all of
            its group; 0 where that is unknown.
        oom: The system killed a process of its group for lack of memory meanwhile.
    """
    how = how_it_died(status)
    peak, limit = memory
    used = f", having used {readable_bytes(peak)} of memory" if peak else ""
    if used and limit and oom:
        used += f"; its group of processes may have {readable_bytes(limit)}"
    if status == -9 and oom:
        todo = "Work on less data at a time, or give the task more memory."
        return (
            f"the kernel ran out of memory: the system killed it (SIGKILL){used}",
            todo,
        )
    if status == -9:
        todo = "Something outside of it sent SIGKILL; where memory is short, that is the system."
        return f"the kernel {how}{used}", todo
    if status in (-11, -7, -6, -8, -4):
        todo = "A native library crashed; the last lines above name the call."
        return f"the kernel {how}{used}", todo
    todo = "The cell ended the kernel's process: raise an exception instead of leaving."
    return f"the kernel {how}", todo if status >= 0 else ""


def how_it_died(status: int) -> str:
    """An exit status in words: "was killed by SIGKILL", "exited with status 1"."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}"


def last_words(text: str) -> str:
    """The part of a kernel's own stderr that says something."""
    if _CRASH in text:
        return _crash_report(text)
    lines = text.splitlines()
    return "\n".join(line for line in lines if not any(w in line for w in _NOISE)).strip()


def _crash_report(text: str) -> str:
    """What faulthandler said, with the innermost frames of the thread that crashed."""
    lines = text[text.rindex(_CRASH) :].splitlines()
    at = next((n for n, line in enumerate(lines) if line.startswith("Current thread")), 0)
    frames = [line for line in lines[at + 1 : at + 7] if line.startswith("  File")]
    return "\n".join([lines[0], *frames])
