"""One run of 100,000 mapped task instances: the cost per task, and the engine's memory.

Warm, in two worker processes at a time, with logs and XComs on. The peak of the engine's
memory is the largest proportional set size (PSS) seen, looked at twice a second.
"""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

from benches.dags import fan_dag
from benches.runs import engine_home, engine_process, median, run_seconds

SMALL, LARGE = 100, 100_000


def run() -> dict[str, object]:
    """Seconds, the ratio of the cost per task, and MiB."""
    with engine_home() as home:
        return _measure(home)


def _measure(home: Path) -> dict[str, object]:
    fan = fan_dag()
    run_seconds(fan, n=SMALL)
    small = median([run_seconds(fan, n=SMALL) for _ in range(5)]) / SMALL
    with _Peak(engine_process(home)) as peak:
        large = run_seconds(fan, n=LARGE)
    return {
        f"1 → {SMALL} → 1, ms a task": small * 1000,
        f"1 → {LARGE:,} → 1, s": large,
        f"1 → {LARGE:,} → 1, ms a task": large / LARGE * 1000,
        "cost per task, large / small": large / LARGE / small,
        "engine memory, MiB, peak": peak.seen / 2**20,
    }


class _Peak:
    """The largest memory of a process while the block runs."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self.seen, self._over = process, 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self.seen = max(self.seen, self._process.memory_full_info().pss)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
