"""`import mlflowkit` in a fresh interpreter, against a bare one."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 9


def run() -> dict[str, object]:
    """Milliseconds that the import adds (budget: 150)."""
    pairs = [(_start("pass"), _start("import mlflowkit")) for _ in range(ROUNDS)]
    added = [ours - bare for bare, ours in pairs]
    return {
        "bare interpreter, ms": statistics.median([b for b, _ in pairs]) * 1000,
        "import mlflowkit adds, ms": statistics.median(added) * 1000,
    }


def _start(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began
