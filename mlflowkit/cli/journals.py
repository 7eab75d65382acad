"""What running attempts tell: their journals and logs, read by offset as they grow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflowkit.cli.words import progress_text
from mlflowkit.core.spec import instance_name

MAX_READ_BYTES = 4 * 1024 * 1024


class Tail:
    """The new whole lines of a growing file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset, self._rest = 0, b""

    def lines(self) -> list[bytes]:
        """Lines that were ended since the last call; a file that is not there has none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MAX_READ_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole

    def rest(self) -> list[bytes]:
        """What is there and has no end of line, once nothing more comes."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def file_name(task_id: str, map_index: int, attempt: int) -> str:
    """The name of an attempt's files, without suffix."""
    return f"{instance_name(task_id, map_index)}.{attempt}"


@dataclass
class Progress:
    """How far one attempt is."""

    journal: Tail
    log: Tail
    cells: int = 0
    started: int = 0
    source: str = ""
    told: str = ""
    #: The last report, until somebody has shown it.
    news: str = ""

    def read(self) -> None:
        """Take in what was written since."""
        for line in self.journal.lines():
            try:
                self._take(json.loads(line))
            except ValueError:
                continue  # cut off by a crash

    def _take(self, note: dict[str, Any]) -> None:
        kind = note.get("kind")
        if kind == "notebook_started":
            self.cells = int(note.get("cells", 0))
        elif kind == "cell_started":
            self.started += 1
            self.source, self.told = str(note.get("source", "")), ""
        elif kind == "progress":
            self.told = progress_text(note)
            self.news = self.told

    @property
    def line(self) -> str:
        """`cell 4 of 8, epoch 3/8, loss 0.31`."""
        if not self.cells:
            return self.told
        where = f"cell {min(self.started, self.cells)} of {self.cells}"
        return f"{where}: {self.told or self.source}"


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
