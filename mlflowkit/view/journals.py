"""The notes of running attempts, read by offset as they grow."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.machine import InstanceRow
from mlflowkit.core.progress import AttemptProgress
from mlflowkit.core.spec import instance_name

MAX_READ_BYTES: Final = 1024 * 1024
#: Attempts whose progress is remembered.
REMEMBERED: Final = 512


class AttemptJournal:
    """The notes of one attempt: what is new is taken in when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._rest = path, 0, b""
        self.progress = AttemptProgress()

    def read(self) -> AttemptProgress:
        """Its progress as it is now."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MAX_READ_BYTES)
        except FileNotFoundError:
            return self.progress
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
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
        name = f"{instance_name(task_id, map_index)}.{attempt}"
        found = self._known.pop(name, None) or AttemptJournal(self._logs / f"{name}.jsonl")
        self._known[name] = found
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found.read()

    def progress(self, row: InstanceRow) -> dict[str, Any] | None:
        """How far the latest attempt of an instance is, for a screen."""
        return self.of(row.task_id, row.map_index, row.attempt).facts()
