# mypy: allow-untyped-calls
"""Notebooks: our engine against papermill's own, one after another and two at a time.

Both are warm (the second notebook of a kind in a live process), and take turns, so that a
loaded machine slows both; each ratio is the median of its turns, with the quartiles and the
target. Two cores, and a kernel server of the bench's own. Each notebook has five cells. Also:
what a trivial cell takes among 200, a DAG run of one light notebook, from its creation to its
final state, in a live engine, and 50 notebooks at once. The last figure is the memory of 20
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benches.measured import at_least, at_most, own_server

ROUNDS = 9
#: Light ones, two at a time; and in how many turns.
MANY, TURNS = 30, 3
AT_ONCE = 50
CELLS = 200
CORES = 2
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
#: Cells, turns, and how many times faster than papermill they are to be.
KINDS = {"light": (LIGHT, 15, 15), "pandas": (PANDAS, ROUNDS, 20), "torch": (TORCH, 5, 20)}
SUSTAINED, MEMORY = 6, 2.5


def run() -> Iterator[tuple[str, object]]:
    """Seconds (medians), the ratios to papermill's, and the load of the machine; each is
    given as soon as it is known."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, own_server(folder):
        os.sched_setaffinity(0, sorted(cores)[:CORES])
        for kind, (cells, rounds, target) in KINDS.items():
            path = _write(Path(folder) / f"{kind}.ipynb", cells)
            yield from _taking_turns(kind, path, rounds, target).items()
        light = Path(folder) / "light.ipynb"
        for part in (_sustained, _many_cells, _in_an_engine, _all_at_once):
            yield from part(light).items()
        yield from _memory().items()
    os.sched_setaffinity(0, cores)
    yield "load", os.getloadavg()[0]


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


def _taking_turns(kind: str, path: Path, rounds: int, target: float) -> dict[str, object]:
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
    return {
        f"{kind}, the first one, s": first,
        f"{kind}, s": statistics.median(mine for mine, _ in pairs),
        f"{kind}, papermill, s": statistics.median(theirs for _, theirs in pairs),
        f"{kind}, papermill's / ours": at_least([b / a for a, b in pairs], target),
    }


def _many_cells(light: Path) -> dict[str, object]:
    """What a cell takes among many: with all there is between two of them."""
    from mlflowkit.nbrun.engine import NotebookEngine
    from mlflowkit.ports import CellEvent, NotebookOrder

    folder = light.parent
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


#: A worker: after each line that it reads, so many notebooks, one after another.
WORKER = """
import logging, sys
from pathlib import Path
from benches import notebooks as n
logging.getLogger("papermill").setLevel(logging.ERROR)
call, path, first = getattr(n, sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
n._again(call, path, first)
print(flush=True)
for line in sys.stdin:
    for at in range(int(line)):
        n._again(call, path, first + at)
    print(flush=True)
"""


class _Pair:
    """Two processes that each run one notebook after another, as two workers would."""

    def __init__(self, who: str, path: Path) -> None:
        self._workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, who, str(path), first],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for first in ("100", "200")
        ]
        self._wait()

    def _wait(self) -> None:
        for worker in self._workers:
            assert worker.stdout is not None
            assert worker.stdout.readline(), "a worker failed"

    def run(self, many: int) -> float:
        """Seconds for so many notebooks each."""
        begun = time.perf_counter()
        for worker in self._workers:
            assert worker.stdin is not None
            print(many, file=worker.stdin, flush=True)
        self._wait()
        return time.perf_counter() - begun

    def close(self) -> None:
        for worker in self._workers:
            worker.communicate()


def _sustained(path: Path) -> dict[str, object]:
    mine, theirs = _Pair("ours", path), _Pair("papermills", path)
    many = MANY // 2 // TURNS
    turns = [(mine.run(many), theirs.run(many)) for _ in range(TURNS)]
    mine.close()
    theirs.close()
    what = f"{MANY} light, two at a time"
    return {
        f"{what}, s": sum(a for a, _ in turns),
        f"{what}, papermill, s": sum(b for _, b in turns),
        f"{what}, papermill's / ours": at_least([b / a for a, b in turns], SUSTAINED),
    }


def _all_at_once(path: Path) -> dict[str, object]:
    """They clash on nothing: one that fails ends the bench."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seconds = _seconds(
            lambda: list(pool.map(lambda at: ours(path, at), range(AT_ONCE)))
        )
    return {f"{AT_ONCE} light ones at once, s": seconds}


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
        "memory of 20 / of 1": at_most(twenty / one, MEMORY),
    }


def _pss(server: Any) -> float:
    time.sleep(1.0)  # ready kernels are being set up: they count, too
    processes = [psutil.Process(server.pid), *server.below()]
    return float(sum(process.memory_full_info().pss for process in processes))
