"""A notebook that ends before its last cell: by itself, in peace; or because its time is over."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.errors import BadOption, CellFailed, TaskSkipped
from mlflowkit.nbrun.engine import prepare
from mlflowkit.nbrun.execution import Execution
from mlflowkit.nbrun.hooks import Answer, NoHooks, Restored
from mlflowkit.nbrun.leaving import NotebookLeft, exit_notebook
from mlflowkit.nbrun.stop import Stop
from mlflowkit.ports import CellEvent, NotebookOrder
from tests.nbrun.conftest import Ran, code, save

LEAVE = """
import mlflowkit
print("looking")
try:
    mlflowkit.exit_notebook({"rows": (1, 2)})
except Exception:
    print("it is no error to be swallowed")
"""
STUBBORN = """
import time
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("not me", flush=True)
"""


def test_exit_notebook_ends_it_well_and_hands_its_value_on(run: Callable[..., Ran]) -> None:
    ran = run(code("x = 1"), code(LEAVE), code("x = 2"), returns=("x", "y"))
    assert ran.error is None
    assert ran.values == {"exit_value": {"rows": (1, 2)}, "x": 1}
    assert ran.statuses() == ["completed", "completed", "not run"]
    assert ran.papermill_statuses() == ["completed", "completed", "pending"]
    assert [out.output_type for out in ran.notebook.cells[1].outputs] == ["stream"]
    assert ran.printed(1) == "looking\n"
    left = {"cell": 1, "state": "success"}
    assert ran.notebook.metadata.mlflowkit["left"] == left
    assert ran.notebook.metadata.papermill.exception is None
    assert ran.kinds()[-2:] == [("cell_ended", 1), ("notebook_ended", -1)]


def test_a_notebook_that_skips_itself_says_why(run: Callable[..., Ran]) -> None:
    skip = "import mlflowkit\nmlflowkit.exit_notebook('no new rows', state='skipped')"
    ran = run(code(skip), code("x = 2"), returns=("x",))
    assert isinstance(ran.error, TaskSkipped)
    assert str(ran.error) == "notebook nb.ipynb skipped itself in cell 1: no new rows"
    assert ran.statuses() == ["completed", "not run"]
    assert ran.notebook.metadata.mlflowkit["status"] == "skipped"


def test_it_leaves_from_an_async_cell_and_from_deep_inside_a_function(
    run: Callable[..., Ran],
) -> None:
    deep = "async def find():\n    mlflowkit.exit_notebook()\nawait find()"
    ran = run(code("import mlflowkit\n" + deep), code("1"))
    assert (ran.error, ran.values) == (None, {})
    assert ran.statuses() == ["completed", "not run"]


def test_outside_of_a_task_it_stops_run_all_and_a_wrong_state_is_an_error() -> None:
    with pytest.raises(NotebookLeft, match="the notebook ends here: skipped"):
        exit_notebook("why", "skipped")
    with pytest.raises(BadOption, match='must be "success" or "skipped"'):
        exit_notebook(state="done")  # type: ignore[arg-type]  # what is wrong


def test_a_notebook_that_takes_too_long_is_interrupted_and_says_so(
    run: Callable[..., Ran],
) -> None:
    slow = "import time\nprint('waiting')\ntime.sleep(60)"
    limits = {"timeout": timedelta(seconds=3), "cell_timeout": timedelta(seconds=50)}
    ran = run(code("x = 1"), code(slow), code("x = 2"), **limits)
    assert (ran.error.status, ran.error.ename) == ("timeout", "NotebookTimeout")
    assert ran.error.evalue == "the notebook took more than its 3 s"
    assert "Give it more time with execution_timeout=" in str(ran.error)
    assert ran.error.line == 3
    assert ran.error.stream == "waiting\n"
    assert ran.statuses() == ["completed", "timeout", "not run"]
    assert ran.notebook.metadata.mlflowkit.status == "timeout"


def test_a_cell_that_will_not_be_interrupted_is_killed_after_its_time(
    run: Callable[..., Ran],
) -> None:
    ran = run(code(STUBBORN), code("1"), cell_timeout=timedelta(seconds=1))
    assert (ran.error.status, ran.error.ename) == ("timeout", "CellTimeout")
    assert ran.printed(0) == "not me\n"
    assert ran.statuses() == ["timeout", "not run"]


def test_who_stops_it_at_the_end_of_its_time_means_its_time(tmp_path: Path) -> None:
    """The engine's own alarm rings a moment before the notebook's."""
    import asyncio

    path = save(tmp_path / "n.ipynb", code("import time; time.sleep(60)"))
    order = NotebookOrder(
        path=path,
        parameters={},
        output=tmp_path / "o.ipynb",
        timeout=timedelta(seconds=5),
    )
    stop = Stop()

    def listen(event: CellEvent) -> None:
        if event.kind == "cell_started":
            threading.Timer(4.2, stop.ask).start()

    with pytest.raises(CellFailed) as raised:
        asyncio.run(Execution(prepare(order), listen, stop).run())
    assert (raised.value.status, raised.value.ename) == ("timeout", "NotebookTimeout")


class Some(NoHooks):
    """Says something of each cell."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.after: list[tuple[int, str]] = []
        self.ready = ""

    async def kernel_ready(self, kernel: Any) -> None:
        self.ready = (await kernel.run_silently("y = 5")).how

    async def before_cell(self, index: int, cell: Any) -> Answer:
        return self.answers[index]

    async def after_cell(self, index: int, cell: Any, ending: Any, seconds: float) -> None:
        self.after.append((index, ending.how))


def test_hooks_may_skip_restore_and_replay_cells(tmp_path: Path) -> None:
    import asyncio
    from dataclasses import replace

    import nbformat

    cells = [code("1/0"), code("print(y)"), code("raise SystemError"), code("1/0")]
    order = NotebookOrder(
        path=save(tmp_path / "n.ipynb", *cells), parameters={}, output=tmp_path / "o.ipynb"
    )
    was = {"output_type": "stream", "name": "stdout", "text": "from before\n"}
    hooks = Some(Restored([was], 7), "replay", "skip", "run")
    events: list[CellEvent] = []
    plan = replace(prepare(order), hooks=hooks)
    with pytest.raises(CellFailed):
        asyncio.run(Execution(plan, events.append, Stop()).run())
    found = nbformat.read(order.output, as_version=4)  # type: ignore[no-untyped-call]
    facts = [dict(cell.metadata.mlflowkit) for cell in found.cells]
    seconds = [fact.pop("seconds", None) for fact in facts]
    assert facts == [
        {"status": "restored"},
        {"status": "completed", "replayed": True},
        {"status": "skipped"},
        {"status": "failed"},
    ]
    assert [bool(each) for each in seconds] == [False, True, False, True]
    assert (found.cells[0].outputs[0].text, found.cells[0].execution_count) == (
        "from before\n",
        7,
    )
    assert found.cells[1].outputs[0].text == "5\n"
    assert (hooks.ready, hooks.after) == ("ok", [(1, "ok"), (3, "error")])
    ended = [(e.cell, e.facts["status"]) for e in events if e.kind == "cell_ended"]
    assert ended == [(0, "restored"), (1, "ok"), (3, "error")]


def test_the_error_marks_the_line_that_failed_in_a_long_cell(
    run: Callable[..., Ran],
) -> None:
    lines = ["", "def deep(x):", "    return 1 / x", *(f"a{n} = {n}" for n in range(20))]
    ran = run(code("\n".join([*lines, "print('so far')", "7", "deep(0)", "b = 1"])))
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(ran.error))
    assert ran.error.line == 26
    assert message.startswith(
        "cell 1 of nb.ipynb failed: ZeroDivisionError: division by zero"
    )
    assert "\n    …\n    a12 = 12\n" in message
    assert "    print('so far')\n    7\n--> deep(0)\n    b = 1\n\n" in message
    assert "it had printed:\nso far\n\n" in message
