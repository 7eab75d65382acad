# mypy: allow-untyped-calls
"""A notebook is seen while it runs: what it does, what it costs, whether it is stuck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.cli.journals import Progress
from mlflowkit.core.notebook_progress import NotebookProgress
from mlflowkit.nbrun import telling
from mlflowkit.nbrun.progress import cells_since
from mlflowkit.ports import CellEvent
from mlflowkit.tailing import Tail
from tests.nbrun.conftest import Ran, code, execute, save, text

BAR = """
import sys, time
for step in range(60):
    print(f"\\r{step + 1} of 60", end="", file=sys.stderr, flush=True)
    time.sleep(0.01)
"""
BUSY = """
import time
until = time.process_time() + 1.2
while time.process_time() < until:
    sum(range(1000))
"""
BELOW = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', " + repr(BUSY) + "])"
WIDGET = """
import ipywidgets
bar = ipywidgets.IntProgress(max=40, description="fit")
display(bar)
for step in range(41):
    bar.value = step
    time.sleep(0.01)
"""
REPORTS = "import mlflowkit\nfor n in range(3000): mlflowkit.report_progress(done=n)"
UPDATES = """
shown = display("state 0", display_id=True)
for state in range(200):
    shown.update(f"state {state}")
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook whose signs of life come often enough for a test."""
    patch = pytest.MonkeyPatch()
    patch.setattr(telling, "PULSE_SECONDS", 0.3)
    cells = [
        text("# Title"),
        code("# first words\nbig = bytearray(30_000_000)\nprint('one\\ntwo')"),
        code(BAR),
        code("time.sleep(1.2)"),
        code(BUSY),
        code(BELOW),
        code(UPDATES),
        code(REPORTS),
        code(WIDGET),
    ]
    yield execute(save(tmp_path_factory.mktemp("live") / "live.ipynb", *cells))
    patch.undo()


def of(ran: Ran, kind: str, cell: int) -> list[dict[str, Any]]:
    return [dict(e.facts) for e in ran.events if (e.kind, e.cell) == (kind, cell)]


def test_each_cell_tells_what_it_cost(ran: Ran) -> None:
    assert ran.error is None
    ends = {cell: of(ran, "cell_ended", cell)[0] for cell in range(1, 9)}
    assert [end["status"] for end in ends.values()] == ["ok"] * 8
    assert all(end["peak"] >= end["rss"] > 30_000_000 for end in ends.values())
    assert ends[4]["seconds"] >= 1.2
    assert ends[4]["cpu"] > 0.5
    assert ends[3]["cpu"] < 0.5
    assert ends[5]["cpu"] > 0.5, "a child that was waited for counts"
    assert of(ran, "cell_started", 1)[0]["source"] == "big = bytearray(30_000_000)"
    assert ends[1]["last"] == "two"


def test_a_cell_that_sleeps_can_be_told_from_one_that_works(ran: Ran) -> None:
    asleep, busy, below = (of(ran, "cell_running", cell)[-1] for cell in (3, 4, 5))
    assert asleep["idle"] > 0.5
    assert asleep["quiet"] > 0.5
    assert busy["idle"] < 0.5
    assert busy["quiet"] > 0.5
    assert below["idle"] < 0.5, "its child works, so it does"


def test_a_progress_bar_is_told_as_it_redraws_but_only_a_few_times_a_second(
    ran: Ran,
) -> None:
    told = of(ran, "cell_output", 2)
    seconds = of(ran, "cell_ended", 2)[0]["seconds"]
    assert 2 <= len(told) <= seconds / telling.GAP_SECONDS + 2
    assert telling.last_line(told[-1]["text"]) == "60 of 60"
    assert ran.printed(2) == "60 of 60"


def test_a_bar_that_is_a_widget_is_told_as_well(ran: Ran) -> None:
    told = [output["text"] for output in of(ran, "cell_output", 8)]
    assert told[-1] == "fit 40 of 40"
    seconds = of(ran, "cell_ended", 8)[0]["seconds"]
    assert 2 <= len(told) <= seconds / telling.GAP_SECONDS + 2


def test_a_last_line_that_came_in_pieces_is_whole() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    teller = telling.Teller(lambda kind, _cell, facts: told.append((kind, dict(facts))), 1)
    teller.begin(0, "bar()")
    for piece, name in (("\r59 of 60", "stderr"), ("\r60 of 6", "stderr"), ("0", "stderr")):
        teller.output(0, "stream", piece, name=name)
    teller.end(0, "completed", 1.0)
    assert told[-1][1]["last"] == "60 of 60"


def test_of_displays_that_are_drawn_again_the_last_one_is_told(ran: Ran) -> None:
    told = of(ran, "cell_output", 6)
    assert len(told) < 20
    assert told[-1] == {"output_type": "update_display_data", "text": "'state 199'"}


def test_of_a_flood_of_reports_the_first_and_the_last_are_told(ran: Ran) -> None:
    told = [report["done"] for report in of(ran, "progress", 7)]
    assert told[:500] == list(range(500))
    assert 500 < len(told) < 700
    assert told[-1] == 2999


# ── the journal of the attempt, as faces read it ──


def as_lines(events: list[CellEvent]) -> list[str]:
    """As `worker.attempt.Attempt.cell_event` writes them."""
    return [json.dumps({"kind": e.kind, "cell": e.cell, **e.facts}) + "\n" for e in events]


def merged(pictures: list[dict[str, Any]]) -> dict[str, Any]:
    """What a page does with one answer after another."""
    whole: dict[str, Any] = {"cells": {}}
    for picture in pictures:
        if picture["reset"]:
            whole = {"cells": {}}
        for cell in picture["cells"]:
            whole["cells"].setdefault(cell["index"], {}).update(cell)
        whole |= {k: v for k, v in picture.items() if k not in ("cells", "reset", "more")}
    return whole


def test_a_journal_read_in_pieces_gives_the_same_picture_as_read_at_once(
    ran: Ran, tmp_path: Path
) -> None:
    journal, pictures, cursor = tmp_path / "fit.1.jsonl", list[dict[str, Any]](), 0
    assert cells_since(journal)["cells"] == []
    with journal.open("a") as file:
        for line in as_lines(ran.events):
            for half in (line[:20], line[20:]):  # a torn line waits for its end
                file.write(half)
                file.flush()
                pictures.append(cells_since(journal, cursor))
                cursor = pictures[-1]["cursor"]
    at_once = cells_since(journal)
    assert merged(pictures) == merged([at_once])
    assert at_once["cursor"] == journal.stat().st_size
    assert (at_once["total"], at_once["status"], at_once["current"]) == (8, "completed", -1)
    assert [cell["index"] for cell in at_once["cells"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert at_once["cells"][1]["last"] == "60 of 60"
    small = merged([cells_since(journal, 0, most=900)])
    assert small["cursor"] < at_once["cursor"], "it reads no more than it was asked to"


def test_a_terminal_says_cell_time_source_and_last_output(ran: Ran, tmp_path: Path) -> None:
    upto = next(
        n for n, e in enumerate(ran.events) if (e.kind, e.cell) == ("cell_ended", 2)
    )
    journal = tmp_path / "fit.1.jsonl"
    lines = [json.loads(line) for line in as_lines(ran.events[:upto])]
    for line in lines:
        if line["kind"] == "cell_started" and line["cell"] == 2:
            line["at"] -= 100
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    progress = Progress(Tail(journal), Tail(tmp_path / "none"))
    progress.read()
    where, source, last = progress.line.replace(": ", " | ", 1).split(" | ")
    assert where.startswith("cell 2 of 8, 1 min ")
    assert (source, last.endswith(" of 60")) == ("import sys, time", True)


def test_two_thousand_cells_are_read_again_for_the_price_of_the_new_ones(
    tmp_path: Path,
) -> None:
    events = [CellEvent(kind="notebook_started", facts={"cells": 2000})]
    for cell in range(2000):
        events.append(CellEvent(kind="cell_started", cell=cell, facts={"source": "x"}))
        events.append(CellEvent(kind="cell_ended", cell=cell, facts={"status": "ok"}))
    lines = as_lines(events)
    journal = tmp_path / "fit.1.jsonl"
    journal.write_text("".join(lines[:-2]))
    before = cells_since(journal)
    assert len(before["cells"]) == 1999
    journal.write_text("".join(lines))
    after = cells_since(journal, before["cursor"])
    assert [cell["index"] for cell in after["cells"]] == [1999]
    assert "total" not in after


def test_a_retry_in_the_same_journal_begins_anew() -> None:
    progress = NotebookProgress()
    for note in (
        {"kind": "notebook_started", "cells": 3, "kernel": "Python 3"},
        {"kind": "cell_started", "cell": 0, "source": "a"},
        {"kind": "cell_ended", "cell": 0, "status": "error"},
        {"kind": "notebook_ended", "status": "failed"},
        {"kind": "notebook_started", "cells": 3, "kernel": "Python 3"},
        {"kind": "cell_started", "cell": 2, "source": "b"},
    ):
        progress.take(note)
    assert progress.line() == "cell 1 of 3: b"
    assert list(progress.cells) == [2]
