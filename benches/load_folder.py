"""Loading a folder of small pipeline files: the first time, unchanged, and with one changed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = 1000
PIPELINE = """
from datetime import UTC, datetime
from mlflowkit import dag, task
from shared_by_all import helper

@task(retries=1)
def load(n: int) -> list[int]:
    return list(range(n))

@task
def fit(rows: list[int]) -> int:
    return helper(sum(rows)) + {number}

@dag(schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC))
def pipeline_{number}(n: int = 3):
    fit(load(n))
"""


def run() -> dict[str, object]:
    """Seconds (budgets: 10 cold, 0.3 unchanged), as a program that is started for it."""
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name, "pipelines"), Path(name, "home")
        home.mkdir()
        _write(folder)
        found: dict[str, object] = {f"{FILES} files, cold, s": _load(folder, home, 0)}
        found["nothing changed, s"] = _load(folder, home, FILES)
        (folder / "p0000.py").write_text(PIPELINE.format(number=FILES))
        found["one file changed, s"] = _load(folder, home, FILES - 1)
        (folder / "shared_by_all.py").write_text("def helper(x):\n    return x + 2\n")
        found["a module that all import changed, s"] = _load(folder, home, 0)
        found["nothing changed, in a process that runs, s"] = _within(folder, home)
        return found


def _write(folder: Path) -> None:
    folder.mkdir()
    (folder / "shared_by_all.py").write_text("def helper(x):\n    return x + 1\n")
    for number in range(FILES):
        (folder / f"p{number:04}.py").write_text(PIPELINE.format(number=number))


def _load(folder: Path, home: Path, unchanged: int) -> float:
    command = [
        sys.executable,
        "-m",
        "mlflowkit.load_folder",
        str(folder),
        "--home",
        str(home),
    ]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=True)
    seconds = time.perf_counter() - started
    last = done.stdout.splitlines()[-1]
    assert b'"files":%d,"unchanged":%d' % (FILES, unchanged) in last, last
    return seconds


def _within(folder: Path, home: Path) -> float:
    from mlflowkit.authoring.folder import load_folder

    started = time.perf_counter()
    report = load_folder(folder, home)
    seconds = time.perf_counter() - started
    assert (len(report.dags), report.errors) == (FILES, [])
    return seconds
