"""What a running notebook looks like: the picture that every face draws of its cells.

Folded from the notes of an attempt's journal (`ports.CellEvent` as JSON). A note costs the
same whatever came before it, and so does asking what has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlflowkit.core.progress_text import report_text, span_text

#: A cell that has put nothing out and used no CPU for this long may be stuck.
STUCK_SECONDS: Final = 30.0
_TEXT: Final = 200
#: Facts of a report that say where it comes from.
_NOT_SHOWN: Final = frozenset({"kind", "cell", "at"})


@dataclass(slots=True)
class CellProgress:
    """One cell that was begun.

    Attributes:
        index: Its position in the notebook, from 0, all cells counted.
        status: "running", or how it ended: "ok", "error", "timeout", "killed",
            "interrupted", "restored", "kept"; empty where that was not told.
        source: The line that people know it by.
        last: The last line that it put out.
        begun: When it began, in seconds since 1970; 0 if unknown.
        seconds: How long it ran, or had run when it was last heard of.
        cpu: CPU seconds that the kernel used meanwhile.
        rss, peak: Bytes of memory that the kernel had then, and at most so far.
        quiet: Seconds since its last output, when it was last heard of.
        idle: Seconds since it last used CPU, likewise.
        report: What it last reported by `report_progress`.
    """

    index: int
    status: str = ""
    source: str = ""
    last: str = ""
    begun: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0
    rss: int = 0
    peak: int = 0
    quiet: float = 0.0
    idle: float = 0.0
    report: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def stuck(self) -> bool:
        """Whether it may be stuck: it runs, and neither works nor says anything."""
        still = min(self.quiet, self.idle)
        return self.status == "running" and still >= STUCK_SECONDS

    def hint(self) -> str:
        """`no output and no CPU for 45 s: stuck?`, where it may be; else empty."""
        if not self.stuck:
            return ""
        return f"no output and no CPU for {min(self.quiet, self.idle):.0f} s: stuck?"

    def facts(self) -> dict[str, Any]:
        """As plain data: what is known, and nothing that is not. Times are in seconds."""
        found = {name: getattr(self, name) for name in _PLAIN if getattr(self, name)}
        now = {"quiet": self.quiet, "idle": self.idle, "hint": self.hint()}
        return {"index": self.index, **found, **now}


#: Left out where they are not known.
_PLAIN: Final = [
    "status",
    "source",
    "last",
    "begun",
    "seconds",
    "cpu",
    "rss",
    "peak",
    "report",
]


@dataclass
class NotebookProgress:
    """A notebook that runs, or ran. `take` every note once, in order.

    Attributes:
        total: Code cells that there are to run; 0 before anything was told.
        kernel: The kernel's name.
        status: "", "running", or how the notebook ended, in words of its metadata.
        cells: The cells that were begun, by position; the latest one that changed is last.
        current: Position of the cell that runs; -1 between cells; None: not told.
        begun: How many cells were begun.
    """

    total: int = 0
    kernel: str = ""
    status: str = ""
    cells: dict[int, CellProgress] = field(default_factory=dict[int, CellProgress])
    current: int | None = None
    begun: int = 0

    def take(self, note: Mapping[str, Any]) -> None:
        """One note. What is not known says nothing."""
        kind = note.get("kind")
        if kind == "notebook_started":
            self.total, self.kernel = int(note.get("cells", 0)), str(note.get("kernel", ""))
            self.status, self.current, self.begun = "running", -1, 0
            self.cells.clear()
        elif kind == "notebook_ended":
            self.status, self.current = str(note.get("status", "ended")), -1
        elif isinstance(cell := note.get("cell"), int) and cell >= 0:
            self._take_of_cell(str(kind), cell, note)

    def _take_of_cell(self, kind: str, at: int, note: Mapping[str, Any]) -> None:
        if kind == "cell_started":
            self.begun += 1
            self.current = at
            self.cells.pop(at, None)
            begun = float(note.get("at", 0.0))
            source = str(note.get("source", ""))[:_TEXT]
            self.cells[at] = CellProgress(at, "running", source, begun=begun)
            return
        cell = self._changed(at)
        if kind == "cell_output":
            cell.last = _last_line(str(note.get("text", ""))) or cell.last
            cell.quiet = 0.0
        elif kind == "progress":
            cell.report = {k: v for k, v in note.items() if k not in _NOT_SHOWN}
            cell.quiet = 0.0
        elif kind in ("cell_running", "cell_ended"):
            _take_facts(cell, note)
        if kind == "cell_running":
            cell.status, self.current = "running", at
        if kind == "cell_ended":
            cell.status, cell.quiet, cell.idle = str(note.get("status", "ok")), 0.0, 0.0
            self.begun += cell.status in ("restored", "kept")
            self.current = -1 if self.current in (at, None) else self.current

    def _changed(self, at: int) -> CellProgress:
        """The cell, as the one that changed last."""
        cell = self.cells.pop(at, None) or CellProgress(at)
        self.cells[at] = cell
        return cell

    @property
    def running(self) -> CellProgress | None:
        """The cell that runs now."""
        return None if self.current is None else self.cells.get(self.current)

    def line(self, now: float = 0.0) -> str:
        """`cell 7 of 23, 40 s: model.fit(x, y) | epoch 3/8`, for one line of a screen.

        Args:
            now: Seconds since 1970; 0: the time it was last heard of counts.
        """
        cell = self.running
        if not self.total or (cell is None and not self.cells):
            return ""
        where = f"cell {min(self.begun, self.total)} of {self.total}"
        cell = cell or next(reversed(self.cells.values()))
        seconds = cell.seconds
        if now and cell.begun and cell.status == "running":
            seconds = max(seconds, now - cell.begun)
        spent = f", {span_text(seconds)}" if seconds >= 1 else ""
        said = [cell.source, cell.hint() or _told(cell)]
        return f"{where}{spent}: {' | '.join(part for part in said if part)}"

    def picture(self) -> dict[str, Any]:
        """As plain data: `total`, `begun`, `current`, `status`, `kernel`, and `cells`, a list
        of `CellProgress.facts()`, the one that changed last at its end."""
        return {
            "total": self.total,
            "begun": self.begun,
            "current": -1 if self.current is None else self.current,
            "status": self.status,
            "kernel": self.kernel,
            "cells": [cell.facts() for cell in self.cells.values()],
        }


def _take_facts(cell: CellProgress, note: Mapping[str, Any]) -> None:
    for name in ("seconds", "cpu", "quiet", "idle"):
        setattr(cell, name, float(note.get(name, 0.0)))
    for name in ("rss", "peak"):
        setattr(cell, name, int(note.get(name, 0)) or getattr(cell, name))
    cell.last = str(note.get("last", "")) or cell.last


def _told(cell: CellProgress) -> str:
    return report_text(cell.report) if cell.report else cell.last


def _last_line(text: str) -> str:
    """The last line that says something, as a terminal shows it: redrawn parts are gone."""
    end = text.rstrip()
    line = end[end.rfind("\n") + 1 :]
    return line[line.rfind("\r") + 1 :].strip()[:_TEXT]
