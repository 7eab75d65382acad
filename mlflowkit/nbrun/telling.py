"""Tells what a cell does while it does it: at most a few events a second for each cell.

What comes faster is put together: of a stream the last text, of displays the last one.
While a cell runs, a pulse says how much CPU it has used and since when it is silent, so
that a stuck cell can be told from a busy one. Writes nothing down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from mlflowkit.nbrun import usage
from mlflowkit.nbrun.usage import Usage

#: kind, cell, facts
Tell = Callable[[str, int, dict[str, Any]], None]

#: Between two events about the output of one cell.
GAP_SECONDS: Final = 0.25
#: Reports of progress: so many come through at once, and then so many a second.
REPORTS_AT_ONCE: Final = 500
REPORTS_A_SECOND: Final = 10.0
#: Characters of an event about an output, and of a line in one.
TEXT: Final = 500
LINE: Final = 200
#: Between two pulses: at first, and in a cell that runs for long.
PULSE_SECONDS: Final = 2.0
_SLOW_PULSE_SECONDS: Final = 10.0
_LONG_SECONDS: Final = 120.0
#: Less CPU than this between two pulses is none: the kernel's own threads use a little.
_NO_CPU_SECONDS: Final = 0.02


@dataclass(slots=True)
class Running:
    """The cell that runs now."""

    cell: int
    before: Usage
    begun: float = field(default_factory=monotonic)
    told: float = 0.0
    #: When it last put something out, and when it last used CPU.
    output_at: float = 0.0
    busy_at: float = 0.0
    cpu: float = 0.0
    last: str = ""
    #: The end of its latest stream, and its name: a line may come in pieces.
    end: str = ""
    stream: str = ""

    def __post_init__(self) -> None:
        self.told = self.output_at = self.busy_at = self.begun
        self.cpu = self.before.cpu

    def hear(self, text: str, stream: str, now: float) -> None:
        """It put something out; `stream` is empty for what is no stream."""
        before = self.end if stream and stream == self.stream else ""
        self.end, self.stream, self.output_at = (before + text)[-TEXT:], stream, now
        self.last = last_line(self.end) or self.last


class Teller:
    """For one execution. What `tell` raises is raised from every method."""

    def __init__(self, tell: Tell, pid: int) -> None:
        self._tell, self._pid = tell, pid
        self._running: Running | None = None
        #: What was used when the latest cell ended: the next one begins there.
        self._used: Usage | None = None
        self._told_at: dict[int, float] = {}
        self._waiting: dict[int, dict[str, Any]] = {}
        #: Reports that may be told at once, and the last one of a flood.
        self._allowed, self._allowed_at = float(REPORTS_AT_ONCE), monotonic()
        self._report: tuple[int, dict[str, Any]] | None = None

    def begin(self, cell: int, source: str) -> None:
        """A cell's code is about to be sent."""
        self._running = Running(cell, self._used or usage.of(self._pid))
        self._used = None
        self._tell("cell_started", cell, {"source": source, "at": round(time.time(), 3)})

    def end(self, cell: int, status: str, seconds: float) -> None:
        """The cell is over."""
        self.flush()
        self._told_at.pop(cell, None)
        facts: dict[str, Any] = {"status": status, "seconds": round(seconds, 3)}
        running, self._running = self._running, None
        if running is not None:
            now = self._used = usage.of(self._pid)
            facts |= now.facts(running.before) if now.rss else {}
            facts |= {"last": running.last} if running.last else {}
        self._tell("cell_ended", cell, facts | {"at": round(time.time(), 3)})

    def output(self, cell: int, output_type: str, text: str, **facts: str) -> None:
        """A cell put something out. Told now, or soon, with what comes meanwhile."""
        now = monotonic()
        if self._running is not None:
            self._running.hear(text, facts.get("name", ""), now)
        told = {"output_type": output_type, "text": shortened(text), **facts}
        if now - self._told_at.get(cell, 0.0) >= GAP_SECONDS and cell not in self._waiting:
            self._told_at[cell] = now
            self._tell("cell_output", cell, told)
            return
        before = self._waiting.get(cell)
        if before is not None and _same_stream(before, told):
            told["text"] = shortened(before["text"].removeprefix("…") + text)
        self._waiting[cell] = told

    def progress(self, cell: int, facts: Mapping[str, Any]) -> None:
        """A cell reported how far it is. All are told, but for those of a flood."""
        now = monotonic()
        more = (now - self._allowed_at) * REPORTS_A_SECOND
        self._allowed, self._allowed_at = min(REPORTS_AT_ONCE, self._allowed + more), now
        if self._allowed < 1:
            self._report = (cell, dict(facts))
            return
        self._allowed -= 1
        self._report = None
        self._tell("progress", cell, dict(facts))

    def pulse(self) -> None:
        """Called several times a second: tells what is due."""
        now = monotonic()
        if self._report is not None:
            self.progress(*self._report)
        for cell in list(self._waiting):
            if now - self._told_at.get(cell, 0.0) >= GAP_SECONDS:
                self._told_at[cell] = now
                self._tell("cell_output", cell, self._waiting.pop(cell))
        running = self._running
        if running is None:
            return
        slow = now - running.begun > _LONG_SECONDS
        if now - running.told >= (_SLOW_PULSE_SECONDS if slow else PULSE_SECONDS):
            running.told = now
            self._tell("cell_running", running.cell, self._signs_of_life(running, now))

    def _signs_of_life(self, running: Running, now: float) -> dict[str, Any]:
        used = usage.of(self._pid)
        cpu = used.cpu
        if cpu - running.cpu < _NO_CPU_SECONDS:
            cpu += usage.cpu_below(self._pid)
        if abs(cpu - running.cpu) >= _NO_CPU_SECONDS:
            running.busy_at = now
        running.cpu = cpu
        return {
            "seconds": round(now - running.begun, 1),
            **used.facts(running.before),
            "quiet": round(now - running.output_at, 1),
            "idle": round(now - running.busy_at, 1),
            "last": running.last,
            "at": round(time.time(), 3),
        }

    def flush(self) -> None:
        """Tell everything that waits."""
        report, self._report = self._report, None
        if report is not None:
            self._tell("progress", *report)
        for cell in list(self._waiting):
            self._tell("cell_output", cell, self._waiting.pop(cell))


def _same_stream(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one.get("name") and one.get("name") == other.get("name"))


def shortened(text: str) -> str:
    """The end of a text, for an event."""
    return text if len(text) <= TEXT else "…" + text[-TEXT:]


def last_line(text: str) -> str:
    """The last line that says something, as a terminal shows it: redrawn parts are gone."""
    end = text[-10 * LINE :].rstrip()
    line = end[end.rfind("\n") + 1 :]
    return line[line.rfind("\r") + 1 :].strip()[-LINE:]
