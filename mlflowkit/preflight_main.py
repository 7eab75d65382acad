"""Does a bundle's code load in a clean process? Asked by a notebook before it starts a run.

`python -m mlflowkit.preflight_main` reads questions and writes answers, a JSON object a line, and
ends with its standard input, or when nobody has asked for long. It imports installed libraries
once; each bundle is opened in a fork, so that nothing of one is left for the next. Runs no task.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Final

from mlflowkit.authoring.loader import persons_frames
from mlflowkit.authoring.open_bundle import OpenBundle, imports_of, open_bundle
from mlflowkit.authoring.quiet import all_quiet
from mlflowkit.late_imports import put_off

IDLE_SECONDS: Final = 600.0


def main() -> None:
    """Answer until nobody asks any more."""
    put_off()
    out = os.dup(1)
    _silence()
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], IDLE_SECONDS)
        data = os.read(0, 65536) if ready else b""
        if not data:
            return
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            os.write(out, _answer(json.loads(line)))


def _silence() -> None:
    """What modules print when they are imported is not ours to show."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _answer(question: dict[str, Any]) -> bytes:
    """In a fork; in this process, and for the last time, if it cannot be forked safely."""
    folder = Path(question["bundle"])
    sys.path[:] = question["sys_path"]
    _import_ahead(folder)
    if threading.active_count() > 1:
        return _line(_look(folder, question)) + _line({"last": True})
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, _line(_look(folder, question)))
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        found = file.read()
    _, status = os.waitpid(pid, 0)
    died = {"task": "", "problem": f"it ended the process that loaded it ({status})"}
    return found or _line(died)


def _line(found: dict[str, Any]) -> bytes:
    return json.dumps(found).encode() + b"\n"


def _import_ahead(folder: Path) -> None:
    for name in imports_of(folder):
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except BaseException:  # noqa: BLE001 - it fails again where it is used, and is told there
                sys.modules.pop(name, None)


def _look(folder: Path, question: dict[str, Any]) -> dict[str, Any]:
    """{} if all of it loads; else the first task that does not, and why."""
    task = ""
    try:
        os.chdir(question["cwd"])
        os.environ.clear()
        os.environ.update(question["env"])
        bundle = open_bundle(folder)
        if not all_quiet(folder, bundle.facts["modules"]):
            return {}  # importing its modules does something: that is for the run alone
        for task in bundle.task_ids:
            bundle.operator(task)
        task = ""
        _load_rest(bundle)
    except BaseException as exc:  # noqa: BLE001 - a person's modules may fail in any way
        return {
            "task": task,
            "problem": f"{type(exc).__name__}: {exc}",
            "kind": type(exc).__name__,
            "name": _symbol(exc),
            "trace": _trace(exc),
        }
    return {}


def _trace(exc: BaseException) -> str:
    """A person's own frames."""
    machinery = importlib.__file__ or ""
    frames = [f for f in persons_frames(exc.__traceback__) if f.filename != machinery]
    return "".join(traceback.format_list(frames))


def _load_rest(bundle: OpenBundle) -> None:
    bundle.callbacks()
    bundle.timetable()
    bundle.templates()


def _symbol(exc: BaseException) -> str:
    """The name that is missing, where the error says one."""
    name = getattr(exc, "name", None)
    if isinstance(name, str):
        return name
    quoted = str(exc).split("'")
    return quoted[-2] if isinstance(exc, AttributeError) and len(quoted) > 2 else ""


if __name__ == "__main__":
    main()
