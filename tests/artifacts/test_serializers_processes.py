"""Values of `__main__` between real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from mlflowkit.artifacts.files import FileArtifacts

CLASSES = """
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

class Colour(Enum):
    RED = 1
    BLUE = "b"

class Pair(NamedTuple):
    left: int
    right: int = 2

@dataclass
class Point:
    x: int
    colour: Colour = Colour.RED
    tags: list = field(default_factory=list)

    def double(self):
        names = {"a", "b", "c"}
        return Point(self.x * 2, self.colour, sorted(names))

@dataclass(frozen=True, slots=True)
class Slim:
    x: int

class Base:
    kind = "base"

class Plain(Base):
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Plain and other.x == self.x

    @staticmethod
    def help(): return 1

    @property
    def triple(self): return self.x * 3
"""

WRITE = """
import json, msgspec, sys
from pathlib import Path
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import dump, load
from mlflowkit.core.values import StoredValue
store = FileArtifacts(Path(sys.argv[1]))
handover = Path(sys.argv[2])
"""

VALUE = """
value = {"p": [Point(1).double(), Point(2)], "c": Colour.BLUE, "n": Pair(5), "s": Slim(3),
         "o": Plain(4), "by key": {Colour.RED: 1}}
"""

PUT = "handover.write_bytes(msgspec.json.encode(dump(value, store)))\n"
GET = "back = load(msgspec.json.decode(handover.read_bytes(), type=StoredValue), store)\n"

LIVE = """
print(back == value, type(back["p"][0]) is Point, back["c"] is Colour.BLUE,
      type(back["n"]) is Pair, type(back["s"]) is Slim, type(back["o"]) is Plain)
"""


def run(tmp_path: Path, name: str, code: str) -> str:
    """Run a script as `__main__` of a process of its own; what it prints."""
    script = tmp_path / name
    script.write_text(code)
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            str(tmp_path / "artifacts"),
            str(tmp_path / "handover"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_class_of_main_comes_back_as_the_live_class_of_the_same_source(
    tmp_path: Path,
) -> None:
    run(tmp_path, "first.py", WRITE + CLASSES + VALUE + PUT)
    second = "# another file, other lines\n\n" + CLASSES + WRITE + VALUE + GET + LIVE
    assert run(tmp_path, "second.py", second) == "True True True True True True\n"


def test_a_worker_without_the_classes_reads_uses_and_returns_them(
    tmp_path: Path,
) -> None:
    run(tmp_path, "kernel.py", WRITE + CLASSES + VALUE + PUT)
    worker = (
        WRITE
        + GET
        + (
            "print(back['p'][1].double().x, back['o'].triple, "
            "back['s'].x, back['c'].name)\n"
            "value = {**back, 'p': [back['p'][0], type(back['p'][0])(2)]}\n"
        )
    )
    assert run(tmp_path, "worker.py", worker + PUT) == "4 12 3 BLUE\n"
    kernel = WRITE + CLASSES + VALUE + GET + LIVE
    assert run(tmp_path, "kernel_again.py", kernel) == "True True True True True True\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.x * 2", "self.x * 3"),
        ("    x: int\n    colour", "    x: float\n    colour"),
        ('RED = 1\n    BLUE = "b"', 'RED = 7\n    BLUE = "b"'),
    ],
)
def test_a_class_whose_source_differs_is_made_beside_the_live_one(
    tmp_path: Path, old: str, new: str
) -> None:
    run(tmp_path, "first.py", WRITE + CLASSES + "value = Point(5)\n" + PUT)
    assert old in CLASSES
    changed = WRITE + CLASSES.replace(old, new) + GET
    shown = "print(back.x, back.double().x, type(back).__name__, isinstance(back, Point))\n"
    assert run(tmp_path, "second.py", changed + shown) == "5 10 Point False\n"


def test_a_base_class_that_differs_counts(tmp_path: Path) -> None:
    run(tmp_path, "first.py", WRITE + CLASSES + "value = Plain(5)\n" + PUT)
    changed = WRITE + CLASSES.replace('kind = "base"', 'kind = "other"') + GET
    shown = "print(back.kind, isinstance(back, Plain))\n"
    assert run(tmp_path, "second.py", changed + shown) == "base False\n"


def test_a_thousand_points_carry_their_class_once(tmp_path: Path) -> None:
    many = "value = [Point(n) for n in range(1000)]\n"
    run(tmp_path, "first.py", WRITE + CLASSES + many + PUT)
    store = FileArtifacts(tmp_path / "artifacts")
    sizes = [store.path(digest).stat().st_size for digest in store]
    assert len(sizes) <= 3
    assert max(sizes) < 400_000
    assert run(
        tmp_path, "second.py", WRITE + CLASSES + many + GET + "print(back == value)\n"
    ) == ("True\n")


def test_a_path_in_a_dataclass_of_main_takes_its_file_along(tmp_path: Path) -> None:
    upload = "from pathlib import Path\n@dataclass\nclass Upload:\n    file: Path\n"
    (tmp_path / "a.txt").write_text("a")
    value = f"value = Upload(Path({str(tmp_path / 'a.txt')!r}))\n"
    run(tmp_path, "first.py", WRITE + CLASSES + upload + value + PUT)
    (tmp_path / "a.txt").unlink()
    assert (
        run(tmp_path, "second.py", WRITE + GET + "print(back.file.read_text())\n") == "a\n"
    )


def test_typed_values_are_read_by_another_process(tmp_path: Path) -> None:
    value = (
        "import numpy as np, pandas as pd, torch\n"
        "value = {'a': np.arange(50_000), "
        "'f': pd.DataFrame({'x': [1.5]}), 't': torch.ones(3)}\n"
    )
    run(tmp_path, "first.py", WRITE + value + PUT)
    shown = "print(back['a'].sum(), back['f'].x[0], back['t'].sum().item())\n"
    assert run(tmp_path, "second.py", WRITE + GET + shown) == "1249975000 1.5 3.0\n"


# ── a notebook ──


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A real kernel: a function that runs a cell and returns what it printed."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run_cell(code: str) -> str:
        printed: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            printed.append(message["content"].get("text", ""))

        reply = client.execute_interactive(code, output_hook=hear, timeout=120)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    yield run_cell
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_notebook_gets_its_own_class_back_from_a_worker_also_after_the_cell_ran_again(
    tmp_path: Path, kernel: Callable[[str], str]
) -> None:
    folders = ["", str(tmp_path / "artifacts"), str(tmp_path / "handover")]
    places = f"sys.argv = {folders!r}\n"
    kernel("import sys\n" + places + WRITE)
    kernel(CLASSES)
    kernel("value = [Point(1), Colour.BLUE, Plain(3)]\n" + PUT)
    run(tmp_path, "worker.py", WRITE + GET + "value = back\n" + PUT)
    shown = "print(back == [Point(1), Colour.BLUE, Plain(3)], type(back[0]) is Point)"
    assert kernel(GET + shown) == "True True\n"
    kernel(CLASSES)
    assert kernel(GET + shown) == "True True\n"
    kernel(CLASSES.replace("self.x * 2", "self.x * 3"))
    assert kernel(GET + "print(type(back[0]) is Point, back[0].double().x)") == "False 2\n"
