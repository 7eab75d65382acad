# mypy: allow-untyped-calls
"""What a notebook takes and gives keeps its type, whatever way it goes in or out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import nbformat
import numpy as np
import pandas as pd
import pytest

from mlflowkit import DAG, dag, notebook, task
from mlflowkit.errors import ReturnMissing, XComNotThere
from mlflowkit.handles.run import RunHandle
from mlflowkit.nbrun import kept
from mlflowkit.nbrun.journal import JournaledRecord, journal_path, now
from tests.engine.conftest import World, home, world  # noqa: F401  # fixtures
from tests.nbrun.conftest import Ran, code, execute, save

SHAPES = """
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

class Colour(Enum):
    RED = "red"

class Level(IntEnum):
    LOW = 1

class Size(NamedTuple):
    width: int
    height: float

@dataclass(frozen=True)
class Config:
    name: str
    sizes: tuple[Size, ...] = ()
    parent: "Config | None" = None
"""


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module beside the notebook."""
    (tmp_path / "shapes_here.py").write_text(SHAPES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("shapes_here")
    sys.modules.pop("shapes_here")


def samples(shapes: Any) -> dict[str, Any]:
    size = shapes.Size(3, 0.5)
    config = shapes.Config("a", (size,), shapes.Config("b"))
    return {
        "nothing": None,
        "truth": True,
        "large": 2**200,
        "whole_float": 1.0,
        "infinite": float("inf"),
        "imaginary": 1 + 2j,
        "text": "ünï \\ ' \" \n {{ ds }} $HOME",
        "raw": b"\x00\xff",
        "day": date(2026, 2, 28),
        "moment": datetime(2026, 2, 28, 1, 2, 3, 4, tzinfo=UTC),
        "elsewhere": datetime(2026, 2, 28, tzinfo=timezone(timedelta(hours=-7))),
        "naive": datetime(2026, 2, 28, 1, 2),  # noqa: DTZ001
        "hour": time(1, 2, 3),
        "span": timedelta(days=1, microseconds=3),
        "exact": Decimal("0.10"),
        "ratio": Fraction(1, 3),
        "name": UUID(int=7),
        "pair": (1, ("a", [2])),
        "empty_pair": (),
        "unique": {1, "a", (2, 3)},
        "frozen": frozenset({1.5}),
        "steps": range(2, 9, 3),
        "numbered": {1: "a", (2, "b"): {"c": {3}}},
        "colour": shapes.Colour.RED,
        "level": shapes.Level.LOW,
        "size": size,
        "config": config,
        "mixed": [config, {"day": date(2026, 1, 1)}, (np.int8(3),)],
        "f32": np.float32(0.1),
        "i64": np.int64(-3),
        "yes": np.bool_(True),
        "when": np.datetime64("2026-02-28"),
        "grid": np.arange(6, dtype=np.int16).reshape(2, 3),
        "texts": np.array(["a", "bc"]),
        "frame": pd.DataFrame({"a": [1, 2], "t": pd.to_datetime(["2026-01-01", None])}),
        "column": pd.Series([1.5, None], name="c"),
        "stamp": pd.Timestamp("2026-02-28", tz="Europe/Athens"),
        "type_of": dict,
    }


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, pd.DataFrame | pd.Series):
        return bool(one.equals(other))
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, datetime):
        return bool(one == other and one.utcoffset() == other.utcoffset())
    return bool(one == other)


def test_every_type_goes_in_and_comes_out_as_it_was_by_every_way_out(
    tmp_path: Path, shapes: Any
) -> None:
    given = samples(shapes)
    names = list(given)
    nb = save(
        tmp_path / "all.ipynb",
        code("\n".join(f"{name} = None" for name in names), "parameters"),
        code(
            "import mlflowkit\n"
            f"mlflowkit.push('seen', [type({names[0]}).__name__"
            + "".join(f", type({name}).__name__" for name in names[1:])
            + "])"
        ),
        code("\n".join(f"mlflowkit.push('pushed_{name}', {name})" for name in names)),
        code("\n".join(f"tagged_{name} = {name}" for name in names), "outputs"),
    )
    ran = execute(nb, parameters=given, returns=tuple(names))
    assert ran.error is None
    assert ran.values["seen"] == [type(value).__name__ for value in given.values()]
    wrong = [
        (way, name, ran.values[f"{way}{name}"])
        for way in ("", "pushed_", "tagged_")
        for name, value in given.items()
        if not same(value, ran.values[f"{way}{name}"])
    ]
    assert wrong == []
    source = ran.notebook.cells[1].source
    assert "whole_float = 1.0" in source and "day = mlflowkit.input('day')" in source


def test_a_file_and_a_folder_go_in_and_come_out_with_what_is_in_them(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.txt").write_text("in a")
    ran = run(
        code("place = None", "parameters"),
        code(
            "from pathlib import Path\n"
            "read = (place / 'a.txt').read_text()\n"
            "made = Path('made.txt'); made.write_text('made here')"
        ),
        parameters={"place": folder},
        returns=("read", "made", "place"),
    )
    assert ran.error is None
    assert ran.values["read"] == "in a"
    made, place = ran.values["made"], ran.values["place"]
    assert isinstance(made, Path) and made.read_text() == "made here"
    assert isinstance(place, Path) and (place / "a.txt").read_text() == "in a"


def test_the_values_of_a_mapped_task_arrive_as_a_list(
    world: World,  # noqa: F811
    tmp_path: Path,
) -> None:
    nb = save(
        tmp_path / "sums.ipynb",
        code("parts: list[int] = []", "parameters"),
        code("total, kind = sum(parts), type(parts).__name__"),
    )

    @task
    def double(n: int) -> int:
        return 2 * n

    @dag
    def d() -> None:
        notebook(nb, parts=double.expand(n=[1, 2, 3]), returns=["total", "kind"])

    run = world.run(d())
    assert (run["sums"].result("total"), run["sums"].result("kind")) == (12, "list")


# ── what a failed attempt pushed ──


@pytest.fixture
def failing(tmp_path: Path) -> DAG:
    """A notebook that fails in its first attempt, and a function that always does."""
    nb = save(
        tmp_path / "fit.ipynb",
        code(
            "import mlflowkit, pathlib\n"
            "flag = pathlib.Path('flag'); second = flag.exists(); flag.touch()\n"
            "mlflowkit.push('loss', (0.5, second))"
        ),
        code("mlflowkit.push('frame', __import__('pandas').DataFrame({'a': [second]}))"),
        code("if not second:\n    raise ValueError('not yet')\nmlflowkit.push('score', 1)"),
    )

    @task(retries=0)
    def breaks(ti: Any = None) -> None:
        ti.xcom_push("seen", {1, 2})
        raise ValueError("always")

    @task(trigger_rule="all_done")
    def looks(_after: object, ti: Any = None) -> object:
        return ti.xcom_pull("breaks", "seen", default="nothing")

    @dag
    def d() -> None:
        notebook(nb, retries=1, retry_delay=0)
        looks(breaks())

    return d()


def test_what_a_failed_attempt_pushed_stays_readable_for_people_and_for_no_task(
    world: World,  # noqa: F811
    failing: DAG,
) -> None:
    run: RunHandle = world.run(failing)
    fit = run["fit"]
    assert [one.outcome for one in fit.attempts()] == ["failed", "succeeded"]
    first = fit.pushed(1)
    assert (first["loss"], list(first["frame"]["a"])) == ((0.5, False), [False])
    assert "score" not in first
    last = fit.pushed()
    assert (last["loss"], last["score"]) == ((0.5, True), 1)
    assert last.keys() == {"loss", "frame", "score"}  # what it returned is no push
    assert run["breaks"].pushed() == {"seen": {1, 2}}
    assert run["looks"].result() == "nothing"
    assert run["looks"].pushed() == {}
    with pytest.raises(XComNotThere):
        run["breaks"].result("seen")
    with pytest.raises(ValueError, match="task 'fit' has no attempt 3 that has ended"):
        fit.pushed(3)


def test_what_a_killed_worker_left_is_kept_before_the_next_attempt_begins(
    tmp_path: Path,
) -> None:
    output, logs = tmp_path / "fit.ipynb", tmp_path / "logs"
    logs.mkdir()
    cells = [nbformat.v4.new_code_cell(text) for text in ("print(1)", "2")]
    record = JournaledRecord(nbformat.v4.new_notebook(cells=cells), output, 1000)
    record.begin(now())
    record.cell_started(0, now())
    record.stream(0, "stdout", "1\n" * 200)
    record.close()  # its worker is killed here
    for number in (1, 2):
        (logs / f"fit.{number}.log").touch()
    kept.keep_cut_off(output, logs / "fit.1.log")  # the first attempt has none before it
    assert journal_path(output).exists()
    kept.keep_cut_off(output, logs / "fit.4.log")  # the third never came to its log
    found = nbformat.read(logs / "fit.2.ipynb", as_version=4)
    assert [c.metadata.mlflowkit["status"] for c in found.cells] == [
        "interrupted",
        "not run",
    ]
    assert not journal_path(output).exists()
    kept.keep(output, logs / "fit.4.log")
    assert not (logs / "fit.4.ipynb").exists()  # it left nothing
    output.write_text("{}")
    kept.keep(output, logs / "fit[3].4.log")
    assert (logs / "fit[3].4.ipynb").samefile(output)


def test_what_was_pushed_is_there_though_a_return_is_missing(
    run: Callable[..., Ran],
) -> None:
    ran = run(code("import mlflowkit\nmlflowkit.push('a', {1})"), returns=("nope",))
    assert isinstance(ran.error, ReturnMissing)
    assert vars(ran.error)["values"] == {"a": {1}}


def test_each_attempt_keeps_its_executed_notebook(world: World, failing: DAG) -> None:  # noqa: F811
    run = world.run(failing)
    latest, first = run["fit"].notebook(), run["fit"].notebook(attempt=1)
    assert latest.path == run.path / "fit.ipynb"
    assert first.path == run.path / "logs" / "fit.1.ipynb"
    assert first.status == "failed" and latest.status == "completed"
    assert (run.path / "logs" / "fit.2.ipynb").samefile(latest.path)
    with pytest.raises(FileNotFoundError, match="attempt 7"):
        run["fit"].notebook(attempt=7)
