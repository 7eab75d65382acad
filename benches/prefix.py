"""A sweep over a notebook whose first cells take a second: each instance runs them, or one does.

`python -m benches.prefix [--instances N]` prints three lines. One after another, so that the
figures do not depend on how many cores there are.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.ports import NotebookOrder, Shared

CELLS = (
    "import time\n_until = time.perf_counter() + 1\n"
    "while time.perf_counter() < _until:\n    data = sum(range(10_000))",
    "score = lr * data",
)


def sweep(folder: Path, instances: int, *, shared: bool) -> float:
    """Seconds for all instances."""
    path = folder / "bench.ipynb"
    parameters = new_code_cell("lr = 0.0", metadata={"tags": ["parameters"]})  # type: ignore[no-untyped-call]
    cells = [parameters, *map(new_code_cell, CELLS)]
    nbformat.write(new_notebook(cells=cells), path)  # type: ignore[no-untyped-call]
    begun = perf_counter()
    for at in range(instances):
        given = Shared(mapped=("lr",), run=str(folder), instance=f"instance {at}")
        order = NotebookOrder(
            path=path,
            parameters={"lr": float(at)},
            returns=("score",),
            output=folder / f"out-{at}.ipynb",
            kernel_name="python3",
            shared=given if shared else None,
        )
        NotebookEngine().run(order, lambda _: None)
    return perf_counter() - begun


def run(instances: int = 20) -> dict[str, float]:
    """What `python -m benches` prints."""
    with tempfile.TemporaryDirectory() as folder:
        sweep(Path(folder), 1, shared=False)  # the kernel server is warm in both
        alone = sweep(Path(folder), instances, shared=False)
        shared = sweep(Path(folder), instances, shared=True)
    return {
        f"{instances} instances, each runs the first cells, s": alone,
        f"{instances} instances that share them, s": shared,
        "ratio": alone / shared,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=20)
    for label, value in run(parser.parse_args().instances).items():
        print(f"{label:56} {value:.2f}")


if __name__ == "__main__":
    main()
