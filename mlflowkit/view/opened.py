"""Opening a failed notebook from a screen: in its kernel, where that is held; else as it was
executed. Nothing is shown here: the screen is told where it is.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.spec import UNMAPPED
from mlflowkit.errors import BadViewRequest, NoHeldKernel
from mlflowkit.handles.run import RunHandle
from mlflowkit.handles.task import TaskHandle

_NOT_HELD: Final = "its kernel is not held: this is the executed notebook"


def open_failed(home: Path, run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
    """Open the notebook of a task instance.

    Returns:
        `url` (JupyterLab on the kernel that failed; empty where it is not installed or no
        kernel is held), `command` (a terminal's way in; empty where none is held), `path` of
        the notebook, and `said`, a line for people.

    Raises:
        BadViewRequest: it has no executed notebook.
    """
    task = RunHandle(run_id, home)[task_id]
    task = task if map_index == UNMAPPED else task[map_index]
    said = "its kernel is held, and JupyterLab is not installed here"
    if find_spec("jupyterlab") is not None:
        try:
            return _told(task.open(browser=False), "JupyterLab works in its kernel")
        except NoHeldKernel as exc:
            said = exc.problem
    try:
        return _told(task.open(lab=False, browser=False), said)
    except NoHeldKernel:
        return {"url": "", "command": "", "path": _executed(task), "said": _NOT_HELD}


def _told(found: Any, said: str) -> dict[str, Any]:
    where = {"url": found.url, "command": found.command, "path": str(found.notebook)}
    return {**where, "said": said}


def _executed(task: TaskHandle) -> str:
    try:
        return str(task.notebook().path)
    except FileNotFoundError as exc:
        raise BadViewRequest("open", str(exc)) from exc
