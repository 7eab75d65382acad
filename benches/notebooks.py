"""Notebooks: our engine against papermill's own, one after another and two at a time.

Both are warm (the second notebook of a kind in a live process), and take turns, so that a
loaded machine slows both; medians, with the quartiles of the ratio. Each notebook has five
cells. Also: what a trivial cell takes among 200, and a DAG run of one light notebook, from
its creation to its final state, in a live engine. The last figure is the memory of 20
notebooks that have imported torch and wait, against that of one; PSS of server, templates,
keepers and kernels.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

ROUNDS = 9
MANY = 30
CELLS = 200
#: Between two notebooks of ours: the ready kernels are made again meanwhile.
PAUSE_SECONDS = 0.5
LIGHT = (
    "import json\nimport math",
    "x = math.pi",
    "json.dumps({'x': x})",
    "print(x)",
    "x * 2",
)
PANDAS = (
    "import numpy as np\nimport pandas as pd",
    "df = pd.DataFrame({'a': np.arange(100), 'b': np.arange(100) % 7})",
    "sums = df.groupby('b').a.sum()",
    "print(sums.max())",
    "sums.head()",
)
TORCH = (
    "import torch",
    "x = torch.ones(8, 8)",
    "y = (x @ x).sum()",
    "print(float(y))",
    "y",
)
KINDS = {"light": (LIGHT, ROUNDS), "pandas": (PANDAS, ROUNDS), "torch": (TORCH, 7)}


def run() -> dict[str, object]:
    """Seconds (medians), the ratios to papermill's, and the load of the machine."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (cells, rounds) in KINDS.items():
            path = _write(Path(folder) / f"{kind}.ipynb", cells)
            found |= _taking_turns(kind, path, rounds)
        found |= _many_cells(Path(folder))
        found |= _in_an_engine(Path(folder) / "light.ipynb")
        found |= _sustained(Path(folder) / "light.ipynb")
        found |= _memory()
    found["load"] = os.getloadavg()[0]
    return found


def _write(path: Path, cells: tuple[str, ...]) -> Path:
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(
        cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": spec}
    )
    nbformat.write(notebook, path)
    return path


def ours(path: Path, number: int = 0) -> None:
    from mlflowkit.nbrun.engine import NotebookEngine
    from mlflowkit.ports import NotebookOrder

    output = path.with_name(f"ours-{number}.ipynb")
    order = NotebookOrder(path=path, parameters={}, output=output)
    NotebookEngine().run(order, lambda _: None)


def papermills(path: Path, number: int = 0) -> None:
    import papermill

    papermill.execute_notebook(
        path, path.with_name(f"theirs-{number}.ipynb"), progress_bar=False
    )


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _taking_turns(kind: str, path: Path, rounds: int) -> dict[str, object]:
    first = _seconds(lambda: ours(path))
    ours(path)
    papermills(path)
    pairs = []
    for turn in range(rounds):
        time.sleep(PAUSE_SECONDS)
        if turn % 2:
            mine = _seconds(lambda: ours(path))
            pairs.append((mine, _seconds(lambda: papermills(path))))
        else:
            theirs = _seconds(lambda: papermills(path))
            pairs.append((_seconds(lambda: ours(path)), theirs))
    ratios = [theirs / mine for mine, theirs in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        f"{kind}, the first one, s": first,
        f"{kind}, s": statistics.median(mine for mine, _ in pairs),
        f"{kind}, papermill, s": statistics.median(theirs for _, theirs in pairs),
        f"{kind}, papermill's time / ours": middle,
        f"{kind}, papermill's time / ours, quartiles": f"{low:.1f} to {high:.1f}",
    }


def _many_cells(folder: Path) -> dict[str, object]:
    """What a cell takes among many: with all there is between two of them."""
    from mlflowkit.nbrun.engine import NotebookEngine
    from mlflowkit.ports import CellEvent, NotebookOrder

    path = _write(folder / "cells.ipynb", ("x = 1",) * CELLS)
    order = NotebookOrder(path=path, parameters={}, output=folder / "cells-out.ipynb")

    def each() -> float:
        begun: list[float] = []

        def hear(event: CellEvent) -> None:
            if event.kind == "cell_started":
                begun.append(time.perf_counter())

        NotebookEngine().run(order, hear)
        return (begun[-1] - begun[0]) / (CELLS - 1)

    each()
    return {"a trivial cell, ms": statistics.median(each() for _ in range(5)) * 1000}


def _in_an_engine(path: Path) -> dict[str, object]:
    from benches.runs import engine_home, run_seconds
    from mlflowkit import dag, notebook

    with engine_home():

        @dag(dag_id="bench_notebook")
        def light() -> None:
            notebook(str(path))

        run_seconds(light())
        times = [run_seconds(light()) for _ in range(ROUNDS)]
    return {"a DAG run of a light notebook, s": statistics.median(times)}


def _again(call: Callable[[Path, int], None], path: Path, number: int) -> None:
    """papermill's ports clash now and then: another try counts as part of the work."""
    for tries in range(5):
        try:
            return call(path, number)
        except Exception:
            if tries == 4:
                raise


def _two_at_a_time(who: str, path: Path) -> float:
    """In two processes, each one after another: as two workers would."""
    code = (
        "import sys, time; from pathlib import Path; from benches import notebooks as n\n"
        "call = getattr(n, sys.argv[1]); path = Path(sys.argv[2]); first = int(sys.argv[3])\n"
        "n._again(call, path, first); print(flush=True); input()\n"
        "for i in range(n.MANY // 2): n._again(call, path, first + i)"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, who, str(path), str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for first in (100, 200)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda worker: worker.communicate("\n"), workers))
    assert not any(worker.returncode for worker in workers)
    return time.perf_counter() - begun


def _sustained(path: Path) -> dict[str, object]:
    mine = _two_at_a_time("ours", path)
    theirs = _two_at_a_time("papermills", path)
    return {
        f"{MANY} light, two at a time, s": mine,
        f"{MANY} light, two at a time, papermill, s": theirs,
        f"{MANY} light, two at a time, papermill's time / ours": theirs / mine,
    }


def _memory() -> dict[str, object]:
    """A server of its own, so that nothing else is counted."""
    from tests.nbrun.kernels import OwnServer, say, talking

    server = OwnServer()
    try:
        with ExitStack() as stack:

            def waiting() -> Any:
                lent = server.start("torch")
                client = stack.enter_context(talking(lent))
                say(client, "import torch")
                return lent

            lents = [waiting()]
            one = _pss(server)
            lents += [waiting() for _ in range(19)]
            twenty = _pss(server)
            for lent in lents:
                lent.close()
    finally:
        server.close()
    return {
        "memory of 1 torch notebook, MiB": one / 2**20,
        "memory of 20 torch notebooks, MiB": twenty / 2**20,
        "memory of 20 / of 1": twenty / one,
    }


def _pss(server: Any) -> float:
    time.sleep(1.0)  # ready kernels are being set up: they count, too
    processes = [psutil.Process(server.pid), *server.below()]
    return float(sum(process.memory_full_info().pss for process in processes))
