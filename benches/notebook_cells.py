"""What a cell costs beside its own work, and what a flood of output costs.

A trivial cell by our engine, by nbclient's own, and by an IPython without a kernel, in one
run; then 2,000 cells against 200 (linear: a ratio of 10), and 200 MB of output.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil

from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.ports import CellEvent, NotebookOrder

CELLS, MANY = 200, 2000
ROUNDS = 3
FLOOD = "for _ in range(200_000): print('x' * 1000)"


def run() -> dict[str, object]:
    """Milliseconds, ratios, megabytes."""
    _ours(["x = 1"])  # the first one loads what both use
    pairs = [
        (_ours(["x = 1"] * CELLS), _nbclient(CELLS), _ipython(CELLS)) for _ in range(ROUNDS)
    ]
    ours, peer, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    many = _ours(["x = 1"] * MANY)
    grown, seconds = _flood()
    return {
        "a cell by mlflowkit, ms": ours / CELLS * 1000,
        "a cell by nbclient, ms": peer / CELLS * 1000,
        "a cell by a bare IPython, ms": bare / CELLS * 1000,
        "nbclient / mlflowkit": peer / ours,
        f"{MANY} cells / {CELLS} cells (linear: {MANY / CELLS:g})": many / ours,
        "200 MB of output, s": seconds,
        "memory that grows meanwhile, MB": grown / 1e6,
    }


def _ours(sources: list[str]) -> float:
    """Seconds from the first cell's start to the last one's end."""
    times: list[float] = []

    def listen(event: CellEvent) -> None:
        if event.kind in ("cell_started", "cell_ended"):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.ipynb"
        nbformat.write(_notebook(sources), path)  # type: ignore[no-untyped-call]  # untyped
        order = NotebookOrder(path=path, parameters={}, output=path.with_name("o.ipynb"))
        NotebookEngine().run(order, listen)
    return times[-1] - times[0]


def _nbclient(cells: int) -> float:
    from nbclient import NotebookClient

    times: list[float] = []

    def note(**_: Any) -> None:
        times.append(time.perf_counter())

    made = _notebook(["x = 1"] * cells)
    NotebookClient(made, on_cell_start=note, on_cell_complete=note).execute()
    return times[-1] - times[0]


def _ipython(cells: int) -> float:
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.run_cell("x = 1")
    began = time.perf_counter()
    for _ in range(cells):
        shell.run_cell("x = 1", store_history=True)
    return time.perf_counter() - began


def _flood() -> tuple[int, float]:
    """Bytes that this process grew by at most, and seconds."""
    me, over, most = psutil.Process(), threading.Event(), [0]

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], me.memory_info().rss)

    before = me.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        seconds = _ours([FLOOD])
    finally:
        over.set()
        watcher.join()
    return max(0, most[0] - before), seconds


def _notebook(sources: list[str]) -> Any:
    from nbformat.v4 import new_code_cell, new_notebook

    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]  # untyped
    return new_notebook(cells=cells, metadata={"kernelspec": spec})  # type: ignore[no-untyped-call]  # untyped
