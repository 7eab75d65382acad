"""A notebook that runs well: what it gives, what it shows, what is written of it."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from tests.nbrun.conftest import Ran, code, execute, save, text

WHEN = datetime(2026, 3, 29, 3, 30, tzinfo=ZoneInfo("Europe/Athens"))
SHAPES = """
from dataclasses import dataclass

@dataclass
class Box:
    width: int
    sides: tuple
"""
PARAMETERS = """
epochs = 1
when = None
tags = None
pair = None
frame = None
box = None
folder = None
score = None
"""
TYPES = "print([type(v).__name__ for v in (epochs, when, tags, pair, frame, box, folder, score)])"
MAKE = """
import os, sys, mlflowkit
from shapes import Box
frame2 = frame.assign(b=[3, 4])
box2 = Box(box.width + 1, box.sides)
(out := __import__("pathlib").Path("made")).mkdir(exist_ok=True)
(out / "a.txt").write_text((folder / "in.txt").read_text() + "!")
mlflowkit.push("pair", (*pair, np.float64(0.5)))
"""
WHERE = "print(os.getcwd(), sys.executable, 'MLFLOWKIT_API_TOKEN' in os.environ, sep='|')"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One notebook with everything in it, run once for this module."""
    folder = tmp_path_factory.mktemp("note books ü")
    (folder / "shapes.py").write_text(SHAPES)
    data = folder / "data"
    data.mkdir()
    (data / "in.txt").write_text("hello")
    path = save(
        folder / "all.ipynb",
        text("# Everything"),
        code(PARAMETERS, "parameters"),
        code(TYPES),
        code("import numpy as np\n" + MAKE),
        code(WHERE),
        code(
            "from mlflowkit import report_progress\nreport_progress(epoch=np.int64(1), loss=0.5)"
        ),
        code("1 / 0", "raises-exception"),
        code("raise SystemError", "skip-run"),
        code("   "),
        code("h = display('old', display_id=True)\nh.update('new')\nprint('x' * 900)"),
        code("names = sorted(tags)\nif True:\n    count = len(names)", "outputs"),
    )
    sys.path.insert(0, str(folder))
    os.environ["MLFLOWKIT_API_TOKEN"] = "hunter2"
    try:
        from shapes import Box  # type: ignore[import-not-found]  # made above

        parameters = {
            "epochs": 3,
            "when": WHEN,
            "tags": {"a", "b"},
            "pair": (1, "two"),
            "frame": pd.DataFrame({"a": [1, 2]}),
            "box": Box(1, (2, 3)),
            "folder": data,
            "score": np.float64(0.25),
        }
        yield execute(
            path, parameters=parameters, returns=("frame2", "box2", "out", "when")
        )
    finally:
        sys.path.remove(str(folder))
        del os.environ["MLFLOWKIT_API_TOKEN"]


def test_it_ran_to_its_end(ran: Ran) -> None:
    assert ran.error is None


def test_objects_reach_the_notebook_with_their_types(ran: Ran) -> None:
    names = [
        "int",
        "datetime",
        "set",
        "tuple",
        "DataFrame",
        "Box",
        "PosixPath",
        "float64",
    ]
    assert ran.printed(3) == f"{names}\n"


def test_values_come_back_with_their_types(ran: Ran) -> None:
    from shapes import Box

    values = dict(ran.values)
    frame, out = values.pop("frame2"), values.pop("out")
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    assert isinstance(out, Path)
    assert (out / "a.txt").read_text() == "hello!"
    assert values == {
        "box2": Box(2, (2, 3)),
        "when": WHEN,
        "pair": (1, "two", 0.5),
        "names": ["a", "b"],
        "count": 2,
    }
    assert type(values["pair"][2]) is np.float64  # type: ignore[index]  # it is a tuple


def test_json_is_injected_as_code_and_objects_by_name(ran: Ran) -> None:
    cell = ran.notebook.cells[2]
    assert cell.metadata.tags == ["injected-parameters"]
    assert "epochs = 3\n" in cell.source
    assert "when = mlflowkit.input('when')" in cell.source
    assert ran.notebook.metadata.papermill.parameters["epochs"] == 3
    assert ran.notebook.metadata.papermill.parameters["frame"] == "<DataFrame>"


def test_it_ran_in_its_own_folder_by_this_interpreter_without_our_tokens(
    ran: Ran,
) -> None:
    cwd, python, token = ran.printed(5).strip().split("|")
    assert Path(cwd).name.startswith("note books ü")
    assert (python, token) == (sys.executable, "False")


def test_each_cell_says_what_happened_to_it(ran: Ran) -> None:
    done, skipped = "completed", "skipped"
    expected = [done] * 7 + [skipped, skipped, done, done]
    assert ran.statuses() == expected
    assert ran.notebook.metadata.mlflowkit.status == "completed"
    papermill = ran.papermill_statuses()
    assert papermill == [done] * 8 + ["pending", "pending", done, done]
    assert ran.notebook.metadata.papermill.exception is None


def test_what_happens_is_told_while_it_happens(ran: Ran) -> None:
    events = ran.events
    started = [(e.kind, e.cell) for e in events if e.kind in ("cell_started", "cell_ended")]
    cells = [1, 2, 3, 4, 5, 6, 7, 10, 11]
    assert started == [
        (kind, cell) for cell in cells for kind in ("cell_started", "cell_ended")
    ]
    assert (events[0].kind, events[0].facts["cells"]) == ("notebook_started", 9)
    assert (events[-1].kind, events[-1].facts["status"]) == (
        "notebook_ended",
        "completed",
    )
    sources = [e.facts["source"] for e in events if e.kind == "cell_started"]
    assert sources[2].startswith("print([type(v)")
    assert all(e.facts["seconds"] > 0 for e in events if e.kind == "cell_ended")


def test_progress_is_told_and_stands_in_no_notebook(ran: Ran) -> None:
    [told] = [event for event in ran.events if event.kind == "progress"]
    assert (told.cell, told.facts) == (6, {"epoch": 1, "loss": 0.5})
    assert ran.notebook.cells[6].outputs == []


def test_an_allowed_error_stays_in_the_notebook(ran: Ran) -> None:
    [output] = ran.notebook.cells[7].outputs
    assert output.ename == "ZeroDivisionError"


def test_displays_update_and_long_texts_are_shortened_in_events_only(ran: Ran) -> None:
    shown, printed = ran.notebook.cells[10].outputs
    assert (shown.data["text/plain"], printed.text) == ("'new'", "x" * 900 + "\n")
    texts = [
        e.facts["text"] for e in ran.events if e.kind == "cell_output" and e.cell == 10
    ]
    assert max(map(len, texts)) <= 501


def test_the_source_is_never_written_to_and_counts_are_those_of_the_kernel(
    ran: Ran,
) -> None:
    counts = [cell.get("execution_count") for cell in ran.notebook.cells]
    assert counts == [None, 1, 2, 3, 4, 5, 6, 7, None, None, 8, 9]


def test_two_notebooks_at_once_and_one_inside_a_running_loop(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb", code("n = 0", "parameters"), code("m = n * 2"))

    def one(n: int) -> Ran:
        output = tmp_path / f"out-{n}.ipynb"
        return execute(path, output=output, parameters={"n": n}, returns=("m",))

    async def in_loop() -> Ran:
        return one(3)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(one, n) for n in (1, 2)]
        third = asyncio.run(in_loop())
    assert [ran.result().values for ran in others] == [{"m": 2}, {"m": 4}]
    assert third.values == {"m": 6}


def test_a_notebook_without_cells_runs(run: Any) -> None:
    ran = run()
    assert (ran.error, ran.values, ran.statuses()) == (None, {}, [])


def test_leaving_with_zero_ends_a_notebook_early_and_well(run: Any) -> None:
    ran = run(code("x = 1"), code("import sys; sys.exit(0)"), code("x = 2"), returns=("x",))
    assert ran.values == {"x": 1}
    assert ran.statuses() == ["completed", "completed", "not run"]


def test_state_of_a_task_instance_and_artifacts_have_their_places(
    tmp_path: Path,
) -> None:
    from mlflowkit.nbrun.engine import NotebookEngine

    path = save(
        tmp_path / "n.ipynb",
        code("import mlflowkit, numpy as np\nd = str(mlflowkit.task_state_dir())"),
        code("big = np.zeros(100_000)"),
    )
    engine = NotebookEngine(artifacts=tmp_path / "store")
    ran = execute(path, engine, returns=("d", "big"), state_dir=tmp_path / "state")
    assert ran.values["d"] == str(tmp_path / "state")
    assert any((tmp_path / "store").rglob("*"))
    assert ran.error is None
    assert ran.events[-1].facts["seconds"] < timedelta(minutes=1).total_seconds()


def test_output_over_the_limit_is_cut_in_the_notebook_too(tmp_path: Path) -> None:
    from mlflowkit.nbrun.engine import NotebookEngine

    path = save(tmp_path / "n.ipynb", code("for _ in range(2000): print('y' * 99)"))
    ran = execute(path, NotebookEngine(output_limit=50_000))
    assert 50_000 < len(ran.printed(0)) < 50_200
    assert "[mlflowkit: 0.1 MB more were cut" in ran.printed(0)
