"""The notebook of an execution that goes on, from its journal: each look costs what is new.

`rebuilt.rebuild` is for one that was cut off: it marks what was running. Here nothing is
marked that did not happen. Reads; writes nothing.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.nbrun.rebuilt import applied, begun

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.record import Record


class Following:
    """One journal. Not for several threads at once."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._offset, self._inode = 0, 0
        self._record: Record | None = None
        #: In which cells a display stands that may be drawn again.
        self._shown: defaultdict[str, set[int]] = defaultdict(set)
        #: Bytes that were read in all: what looking has cost.
        self.read = 0

    @property
    def notebook(self) -> NotebookNode | None:
        """The notebook as of the last look; None before its first line was written."""
        return self._record.notebook if self._record is not None else None

    def look(self) -> set[int] | None:
        """Take in what was written since. The cells that changed; None: any of them.

        Raises:
            FileNotFoundError: the journal is gone: the executed notebook was written.
        """
        anew = False
        changed = set[int]()
        for change in self._changes():
            if change["op"] == "begin":
                self._record, anew = begun(change), True
                self._shown.clear()
            elif self._record is not None:
                applied(self._record, change)
                changed |= self._cells_of(change)
        if self._record is not None:
            for cell in [None] if anew else changed:
                self._record.outputs.settle(cell)
        return None if anew else changed

    def _cells_of(self, change: dict[str, Any]) -> set[int]:
        display = str(change.get("display_id") or "")
        if change["op"] == "update":
            return set(self._shown[display])
        cell = int(change.get("cell", -1))
        if display:
            self._shown[display].add(cell)
        return {cell} if cell >= 0 else set()

    def _changes(self) -> list[dict[str, Any]]:
        """The whole lines that are new; all of them where the journal was begun anew."""
        with self._journal.open("rb") as file:
            inode, size = _identity(file.fileno())
            if inode != self._inode or size < self._offset:
                self._inode, self._offset = inode, 0
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        self.read += whole
        return [json.loads(line) for line in data[:whole].splitlines()]


def _identity(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_ino, found.st_size
