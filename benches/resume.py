"""Going on from the failed cell, in figures: what checkpoints cost, and how soon one is there.

`python -m benches resume` prints them. Cells burn CPU; arrays are new
in every cell that makes one, so nothing is stored for free.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from benches.measured import at_most
from mlflowkit.errors import CellFailed
from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.ports import CellEvent, NotebookOrder

#: What checkpoints may cost, in per cent, and seconds to the cell that failed.
COST, SOON = 5, 2
#: 200 MB in ten arrays.
ARRAY = "a{0} = np.random.default_rng({0}).standard_normal(2_500_000)"
BURN = """
import time
_until = time.perf_counter() + {0}
while time.perf_counter() < _until:
    _s = sum(range(10_000))
"""


@dataclass
class Place:
    """Where one notebook runs, over its attempts."""

    folder: Path

    def run(
        self, cells: Sequence[str], *, mode: str, resume: bool = False
    ) -> list[CellEvent]:
        """One attempt. Returns what it told."""
        path = self.folder / "bench.ipynb"
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        events: list[CellEvent] = []
        order = NotebookOrder(
            path=path,
            parameters={},
            output=self.folder / "out.ipynb",
            state_dir=self.folder / "state",
            checkpoint=mode,
            resume=resume,
            kernel_name="python3",
        )
        with suppress(CellFailed):
            NotebookEngine().run(order, events.append)
        return events


def cells_of(seconds: float) -> list[str]:
    """Ten cells, each with an array of 20 MB and so many seconds of work."""
    first = "import numpy as np"
    return ["\n".join([first, ARRAY.format(at), BURN.format(seconds)]) for at in range(10)]


def cost(seconds: float) -> tuple[float, float]:
    """Seconds of a notebook without and with checkpoints, the better of two runs each."""
    best: dict[str, float] = {}
    for mode in ("never", "auto", "never", "auto"):
        with tempfile.TemporaryDirectory() as folder:
            place, begun = Place(Path(folder)), perf_counter()
            place.run(cells_of(seconds), mode=mode)
            best[mode] = min(best.get(mode, 1e9), perf_counter() - begun)
    return best["never"], best["auto"]


def to_failed_cell(seconds: float, *, killed: bool) -> tuple[float, int]:
    """Seconds from the start of a second attempt to the cell that failed, the ninth of ten;
    and how many cells ran until then."""
    cells = cells_of(seconds)
    die = "import os, time; time.sleep(1); os.kill(os.getpid(), 9)"
    fail = die if killed else "raise ValueError('no')"
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.run([*cells[:8], fail, *cells[9:]], mode="auto")
        begun = perf_counter()
        mended = [*cells[:8], "import time; print(time.perf_counter())", "a0.sum()"]
        place.run(mended, mode="auto", resume=True)
        out = nbformat.read(place.folder / "out.ipynb", as_version=4)  # type: ignore[no-untyped-call]
        ran = sum(cell.metadata.mlflowkit["status"] != "restored" for cell in out.cells[:8])
        return float(out.cells[8].outputs[0].text) - begun, ran


def run(seconds: float = 2.0, first: float = 7.5) -> dict[str, float | str]:
    """What checkpoints cost, and how soon a retry is at the failed cell.

    Args:
        seconds: Work of a cell, for the cost.
        first: Work of each of the first eight cells, for the retry.
    """
    without, with_ = cost(seconds)
    found: dict[str, float | str] = {
        f"10 cells × {seconds:g} s, 200 MB, without checkpoints, s": without,
        f"10 cells × {seconds:g} s, 200 MB, with checkpoints, s": with_,
        "cost of checkpoints": at_most((with_ - without) / without * 100, COST, "%"),
    }
    for killed, how in ((False, "raised"), (True, "killed its kernel")):
        took, ran = to_failed_cell(first, killed=killed)
        found[f"cell 9 of 10, after {8 * first:g} s, {how}"] = at_most(took, SOON, " s")
        found[f"cell 9 of 10, {how}: earlier cells run again"] = float(ran)
    return found
