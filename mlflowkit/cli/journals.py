"""What running attempts tell: their journals and logs, read by offset as they grow."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflowkit.core.notebook_progress import NotebookProgress
from mlflowkit.core.progress_text import report_text
from mlflowkit.tailing import Tail, file_name

#: How often a cell that goes on and on is worth a line where there is no table.
SIGN_SECONDS = 30.0


@dataclass
class Progress:
    """How far one attempt is."""

    journal: Tail
    log: Tail
    notebook: NotebookProgress = field(default_factory=NotebookProgress)
    told: str = ""
    #: The last report, or sign of life of a long cell, until somebody has shown it.
    news: str = ""
    #: The cell, its hint and its seconds when such a sign was news.
    _seen: tuple[int, str, float] = (-1, "", 0.0)

    def read(self) -> None:
        """Take in what was written since."""
        for line in self.journal.lines():
            try:
                self._take(json.loads(line))
            except ValueError:
                continue  # cut off by a crash

    def _take(self, note: dict[str, Any]) -> None:
        self.notebook.take(note)
        kind = note.get("kind")
        if kind == "cell_started":
            self.told = ""
        elif kind == "progress":
            self.news = self.told = report_text(note)
        elif kind == "cell_running":
            self._sign_of_life()

    def _sign_of_life(self) -> None:
        """A cell that runs for long is news now and then, and when it may be stuck."""
        cell, (index, hint, seconds) = self.notebook.running, self._seen
        if cell is None:
            return
        known = (cell.index, cell.hint()) == (index, hint)
        if known and cell.seconds - seconds < SIGN_SECONDS:
            return
        self._seen = (cell.index, cell.hint(), cell.seconds)
        self.news = self.notebook.line()

    @property
    def line(self) -> str:
        """`cell 4 of 8, 40 s: fit(x) | epoch 3/8, loss 0.310`."""
        return self.notebook.line(time.time()) or self.told


class Journals:
    """The progress of all attempts of a run that are looked at."""

    def __init__(self, run_folder: Path) -> None:
        self._logs = run_folder / "logs"
        self._known: dict[str, Progress] = {}

    def of(self, task_id: str, map_index: int, attempt: int) -> Progress:
        """The progress of an attempt, as it is now."""
        name = file_name(task_id, map_index, attempt)
        if name not in self._known:
            self._known[name] = Progress(
                Tail(self._logs / f"{name}.jsonl"), Tail(self._logs / f"{name}.log")
            )
        found = self._known[name]
        found.read()
        return found
