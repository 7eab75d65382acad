from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

#: `fit` fails until a file named `flag` lies beside the pipeline.
TRAIN = """
from pathlib import Path
from mlflowkit import dag, task

HERE = str(Path(__file__).parent)

@task
def load(n: int) -> list[int]:
    with open(HERE + "/loads", "a") as file:
        file.write("x")
    print("loading", n)
    return list(range(n))

@task
def fit(rows: list[int]) -> int:
    print("fitting")
    if not Path(HERE, "flag").exists():
        raise ValueError("there is no flag")
    return sum(rows)

@task
def tell(total: int) -> str:
    print("the sum is", total)
    return f"sum {total}"

@dag
def train(n: int = 3):
    tell(fit(load(n)))
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def train(terminal: Terminal) -> Terminal:
    """A terminal with the pipeline `train` in `p.py`."""
    terminal.pipeline(TRAIN)
    return terminal
