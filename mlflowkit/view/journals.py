"""The notes of running attempts, read by offset as they grow."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.machine import InstanceRow
from mlflowkit.core.progress import AttemptProgress
from mlflowkit.tailing import Tail, file_name

#: Attempts whose progress is remembered.
REMEMBERED: Final = 512


class AttemptJournal:
    """The notes of one attempt: what is new is taken in when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.progress = AttemptProgress()

    def read(self) -> AttemptProgress:
        """Its progress as it is now."""
        for line in self._tail.lines():
            self._take(line)
        return self.progress

    def _take(self, line: bytes) -> None:
        try:
            note = json.loads(line)
        except ValueError:
            return  # a crash cut it off
        if isinstance(note, dict):
            self.progress.take(note)


class AttemptJournals:
    """The journals of the attempts of a run that are looked at."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._known: OrderedDict[str, AttemptJournal] = OrderedDict()

    def of(self, task_id: str, map_index: int, attempt: int) -> AttemptProgress:
        """The progress of an attempt, as it is now."""
        name = file_name(task_id, map_index, attempt)
        found = self._known.pop(name, None) or AttemptJournal(self._logs / f"{name}.jsonl")
        self._known[name] = found
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found.read()

    def progress(self, row: InstanceRow) -> dict[str, Any] | None:
        """How far the latest attempt of an instance is, for a screen."""
        return self.of(row.task_id, row.map_index, row.attempt).facts()
