"""Peak memory and duration of the whole demo: the PSS of all its processes, summed.

    python -m benches.demo_memory [arguments of `mlflowkit demo`]

PSS counts a page that several processes share once, split among them. The sum is
sampled; what lives shorter than the gap between two samples may be missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import psutil

BUDGET_GB = 2.5
EVERY_SECONDS = 0.1
#: What the demo leaves in the environment of everything it starts.
MARK = "MLFLOWKIT_HOME"


@dataclass
class Peak:
    """The largest sum that was seen, and who made it up."""

    bytes: int = 0
    processes: int = 0
    largest: str = ""


def sample(root: psutil.Process, peak: Peak) -> None:
    """Take one sum over a process and all below it."""
    found: list[tuple[int, str]] = []
    for process in [root, *root.children(recursive=True)]:
        try:
            words = process.cmdline()
            found.append((process.memory_full_info().pss, " ".join(words[1:4])))
        except psutil.Error:
            continue  # it has ended meanwhile
    total = sum(pss for pss, _ in found)
    if total > peak.bytes:
        peak.bytes, peak.processes = total, len(found)
        largest, name = max(found)
        peak.largest = f"{largest / 1e9:.2f} GB: {name}"


def main() -> int:
    """Run the demo in a fresh home, and say what it took. Gives 1 if over the budget."""
    peak, begun = Peak(), time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflowkit", "demo", "--json", *sys.argv[1:]],
            env={**os.environ, MARK: home},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        root = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                sample(root, peak)
            except psutil.NoSuchProcess:
                break
            time.sleep(EVERY_SECONDS)
        status = process.wait()
    seconds = time.monotonic() - begun
    print(f"demo: exit status {status}, {seconds:.0f} s on {os.cpu_count()} cores")
    print(
        f"peak memory: {peak.bytes / 1e9:.2f} GB in {peak.processes} processes "
        f"(budget {BUDGET_GB} GB); the largest was {peak.largest}"
    )
    return 1 if status or peak.bytes > BUDGET_GB * 1e9 else 0


if __name__ == "__main__":
    sys.exit(main())
