"""`mlflowkit runs retry --resume cell`: the notebook goes on from the cell that failed."""

from __future__ import annotations

import json

from tests.cli.terminal import Terminal, wait_until
from tests.nbrun.conftest import code, save

PIPELINE = """
from mlflowkit import dag, notebook

@dag
def training():
    notebook("fit.ipynb", returns=["score"], checkpoint="always")
"""
COSTLY = "rows = list(range(1000))\nopen('loads', 'a').write('x')\nprint('loaded')"


def test_a_retry_by_hand_goes_on_from_the_failed_cell_or_begins_anew_as_it_is_told(
    terminal: Terminal,
) -> None:
    terminal.pipeline(PIPELINE)
    path = terminal.folder / "fit.ipynb"
    cells = [code(COSTLY), code("total = sum(rows)")]
    save(path, *cells, code("score = totl / 10"))
    failed = terminal("run", "p.py")
    assert failed.status == 1 and "name 'totl' is not defined" in failed.out
    refused = terminal("runs", "retry", "training/1", "--resume", "cells")
    assert (refused.status, "is cell" in refused.err) == (2, True)

    save(path, *cells, code("score = total / 10"))
    again = terminal("runs", "retry", "training/1", "--resume", "cell", "--json")
    assert (again.status, again.json()["tasks"]) == (0, {"fit[-1]": "success"})
    executed = json.loads((terminal.home / "runs/training/1/fit.ipynb").read_text())
    statuses = [c["metadata"]["mlflowkit"]["status"] for c in executed["cells"]]
    assert statuses == ["restored", "restored", "completed"]
    assert executed["cells"][0]["outputs"][0]["text"] == ["loaded\n"]
    counts = {"restore": 2, "replay": 0, "run": 1}
    assert executed["metadata"]["mlflowkit"]["resumed"] == counts
    assert "resume: 2 cells restored, 0 replayed, 1 to run" in (
        terminal("runs", "logs", "training/1").out
    )
    assert (terminal.folder / "loads").read_text() == "x"
    anew = terminal("runs", "clear", "training/1", "fit", "--yes")
    assert anew.status == 0
    assert (terminal.folder / "loads").read_text() == "xx"


def test_a_notebook_whose_engine_was_killed_can_still_be_stopped(
    terminal: Terminal,
) -> None:
    """It ends at once, and does not stay `stopping` for ever."""
    save(
        terminal.folder / "slow.ipynb",
        code("print('begun')"),
        code("import time\nopen('asleep', 'w').close()\ntime.sleep(600)"),
        code("print('never')"),
    )
    terminal.pipeline(
        "from mlflowkit import dag, notebook\n"
        "@dag\ndef slow():\n    notebook('slow.ipynb', task_id='wait')\n"
    )
    process = terminal.start("run", "p.py")
    wait_until((terminal.folder / "asleep").exists, "the cell waits")
    process.kill()
    process.communicate()
    assert "interrupted" in terminal("runs", "list").out
    cancelled = terminal("runs", "cancel", "slow/1", "--json")
    assert cancelled.json()["tasks"]["wait[-1]"] in ("failed", "skipped")
    assert [one["state"] for one in terminal("runs", "list", "--json").json()] == ["failed"]
    wait_until(lambda: terminal.left_running() == [], "its kernel has ended")
