"""Tasks as a person names them on the command line: `fit`, `fit[3]`, `fit[3,5-7]`."""

from __future__ import annotations

import re

import typer

from mlflowkit.errors import TaskNotInRun
from mlflowkit.handles.run import RunHandle

#: More than any task has.
_MOST = 1_000_000
_NAMED = re.compile(r"(?P<name>.+?)\[(?P<indexes>[^\[\]]*)\]")


def target(handle: RunHandle, text: str) -> tuple[str, tuple[int, ...]]:
    """A task, and the map indexes that are meant; none of them: the task as a whole.

    Raises:
        TaskNotInRun: the run has no such task.
        typer.BadParameter: the brackets hold no indexes.
    """
    match = _NAMED.fullmatch(text)
    name = match["name"] if match else text
    known = [task.task_id for task in handle.view().tasks]
    if name not in known:
        raise TaskNotInRun(handle.run_id, name, known)
    return name, _indexes(text, match["indexes"]) if match else ()


def targets(
    handle: RunHandle, texts: list[str]
) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """Tasks as a whole, and of others the map indexes. What is named as a whole is whole."""
    found = [target(handle, text) for text in texts]
    whole = tuple(dict.fromkeys(name for name, indexes in found if not indexes))
    parts: dict[str, tuple[int, ...]] = {}
    for name, indexes in found:
        if name not in whole:
            parts[name] = tuple(dict.fromkeys((*parts.get(name, ()), *indexes)))
    return whole, parts


def _indexes(text: str, inside: str) -> tuple[int, ...]:
    chosen: dict[int, None] = {}
    for piece in inside.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", piece)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else -1
        if not 0 <= last - first < _MOST:
            problem = f"{text!r}: in the brackets stand map indexes, as [3] or [3,5-7]"
            raise typer.BadParameter(problem, param_hint="TASK")
        chosen |= dict.fromkeys(range(first, last + 1))
    return tuple(chosen)
