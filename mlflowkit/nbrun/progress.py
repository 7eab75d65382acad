"""The cells of a running notebook, read from its attempt's journal by offset.

    picture = cells_since(journal)                       # everything so far
    more = cells_since(journal, picture["cursor"])       # what changed since

The second one holds the cells that changed alone, and of them what was told since: merge
each into the one of the same `index`. It costs what was written since, not what is there:
2,000 cells or two. Reads; works out nothing but the fold of `core.notebook_progress`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.notebook_progress import NotebookProgress

#: Read at most at once; `more` says that there is more to read.
MOST_BYTES: Final = 4 * 1024 * 1024
#: Facts of the whole notebook, left out of what changed where nothing was told of them.
_OF_NOTEBOOK: Final = ("total", "kernel", "status")


def cells_since(journal: Path, cursor: int = 0, most: int = MOST_BYTES) -> dict[str, Any]:
    """What the journal of an attempt tells of its notebook's cells.

    Args:
        journal: `RUN/logs/TASK.ATTEMPT.jsonl`; where there is none yet, nothing is told.
        cursor: As given back by the call before; 0 from the beginning.
        most: Bytes to read at most.

    Returns:
        Plain data for JSON: `cursor`; `more` (read again at once); `cells`, see
        `CellProgress.facts`; `current` (the index of the cell that runs, -1 between cells;
        left out where nothing was told); and `total`, `kernel`, `status` where they changed.
        `reset` is True where a notebook began anew: forget the cells of before.
    """
    notes, after, more = _notes(journal, cursor, most)
    progress = NotebookProgress()
    reset = False
    for note in notes:
        reset = reset or note.get("kind") == "notebook_started"
        progress.take(note)
    found: dict[str, Any] = {"cursor": after, "more": more, "reset": reset}
    picture = progress.picture()
    found |= {name: picture[name] for name in _OF_NOTEBOOK if picture[name]}
    cells: list[dict[str, Any]] = picture["cells"]
    if progress.current is not None:
        found["current"] = progress.current
    found["cells"] = cells
    return found


def _notes(
    journal: Path, cursor: int, most: int
) -> tuple[Iterator[dict[str, Any]], int, bool]:
    """The notes of the whole lines from an offset on, the offset after them, and whether
    there are more."""
    try:
        with journal.open("rb") as file:
            file.seek(cursor)
            data = file.read(most)
            whole = data.rfind(b"\n") + 1
            if (
                not whole and len(data) == most
            ):  # a line longer than that says nothing to us
                whole = len(data)
            more = whole > 0 and len(data) == most
    except FileNotFoundError:
        return iter(()), cursor, False
    return _parsed(data[:whole]), cursor + whole, more


def _parsed(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            note = json.loads(line)
        except ValueError:
            continue  # cut off by a crash
        if isinstance(note, dict):
            yield note
