"""Before the first run of changed code from a notebook: does it load in a clean process?

A notebook's process has names and modules that a new one lacks, so "it works here" says little.
What asks is started once in the background, in time for the first run; later ones take it a few
milliseconds. It never runs a task, and where it gives no answer in time, the run itself will.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.defining_cell import in_notebook, where_defined
from mlflowkit.errors import CodeDoesNotLoad
from mlflowkit.settings import home
from mlflowkit.surroundings import surroundings

#: Seconds after which the run goes on without an answer.
PATIENCE: Final = 30.0
_asker: list[_Asker] = []
#: Bundles that have loaded.
_good: set[str] = set()


def make_ready() -> None:
    """Start what is asked later, in the background."""
    if not _asker or not _asker[0].alive():
        _asker[:] = [_Asker()]


def preflight(dag: DAG) -> None:
    """Does the code of a DAG load in a clean process, as it is now? Only asked in notebooks.

    Raises:
        CodeDoesNotLoad: it does not; the message names what is missing, and the cell for it.
        CannotTravel, CapturedTooLarge, UndefinedName: it cannot be sent there.
    """
    if in_notebook():
        make_ready()
        check_bundle(make_bundle(dag, home()).folder)


def check_bundle(folder: Path | str) -> None:
    """The same for code that was stored; equal code is asked about once.

    Raises:
        CodeDoesNotLoad: it does not load.
    """
    begin(folder)()


def begin(folder: Path | str) -> Callable[[], None]:
    """Ask, and go on: the answer is waited for when what this gives is called. It raises
    CodeDoesNotLoad."""
    bundle = str(folder)
    if not in_notebook() or bundle in _good:
        return _nothing_to_ask
    make_ready()
    asker = _asker[0]
    asker.ask(bundle)

    def answer() -> None:
        found = asker.answer()
        if found:
            raise _error(found)
        if found is not None:
            _good.add(bundle)

    return answer


def _nothing_to_ask() -> None: ...


def _error(found: dict[str, Any]) -> CodeDoesNotLoad:
    name, kind = str(found.get("name", "")), str(found.get("kind", ""))
    problem, trace = str(found["problem"]), str(found.get("trace", "")).rstrip()
    return CodeDoesNotLoad(str(found["task"]), problem, _todo(name, kind), trace)


def _todo(name: str, kind: str) -> str:
    where = where_defined(name) if name and kind == "NameError" else ""
    if where or kind not in ("AttributeError", "ImportError", "ModuleNotFoundError"):
        return where
    if kind == "ModuleNotFoundError":
        return (
            f"Install {name!r} for new processes, too, or put its file beside the notebook."
        )
    return (
        "Its file was changed after this notebook imported it: import it again (restart the "
        "kernel, or `importlib.reload`), and use what it has now."
    )


class _Asker:
    """The process that opens bundles."""

    def __init__(self) -> None:
        around = surroundings()
        self._process = subprocess.Popen(
            [around.python, "-P", "-m", "mlflowkit.preflight_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(around.env),
            cwd=around.cwd,
            start_new_session=True,  # an interrupted cell does not interrupt it
        )

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, bundle: str) -> None:
        """Ask about a bundle; `answer` waits for what is said."""
        around = surroundings()
        question = {
            "bundle": bundle,
            "sys_path": list(around.sys_path),
            "cwd": around.cwd,
            "env": dict(around.env),
        }
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone: it gives no answer
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any] | None:
        """{} if the bundle loads, else what is wrong; None: no answer in time."""
        assert self._process.stdout is not None
        line = _line_from(self._process.stdout.fileno(), time.monotonic() + PATIENCE)
        first, _, more = line.partition(b"\n")
        if more or not line:  # it cannot be asked again
            self.end()
        found: dict[str, Any] | None = json.loads(first) if line else None
        return found

    def end(self) -> None:
        """End it, and what it is at."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _line_from(fd: int, deadline: float) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        data = os.read(fd, 65536) if ready else b""
        if not data:
            return b""
        found += data
    return found
