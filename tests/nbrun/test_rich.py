"""What notebooks do besides printing: plots, widgets, magics, threads, async, floods."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psutil
import pytest

from tests.nbrun.conftest import Ran, code, execute, save

PLOT = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);"
WIDGETS = """
import ipywidgets as widgets
out = widgets.Output()
with out:
    print("inside the widget")
slider = widgets.IntSlider(value=7)
display(out, slider)
"""
THREAD = """
import threading, time
go = threading.Event()
def late():
    go.wait(120)
    print("from the thread", flush=True)
thread = threading.Thread(target=late)
thread.start()
"""
REDRAW = "import sys\nfor n in range(5): print(f'\\r{n} of 5', end='', file=sys.stderr)"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    path = save(
        tmp_path_factory.mktemp("rich") / "rich.ipynb",
        code(PLOT),
        code(WIDGETS),
        code(THREAD),
        code("go.set(); thread.join(); print('joined')"),
        code("import asyncio\nawait asyncio.sleep(0)\nx = 3\nx"),
        code("!echo from the shell"),
        code("%%bash\necho from bash"),
        code(REDRAW),
        code("from IPython.display import JSON, HTML\nHTML('<b>hi</b>')"),
    )
    return execute(path)


def test_a_plot_is_an_image(ran: Ran) -> None:
    assert ran.error is None
    assert "image/png" in ran.notebook.cells[0].outputs[-1].data


def test_widgets_keep_their_state(ran: Ran) -> None:
    kept = ran.notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"][
        "state"
    ]
    states = [each["state"] for each in kept.values()]
    assert [
        state["value"] for state in states if state.get("_model_name") == "IntSliderModel"
    ] == [7]
    [output] = [state for state in states if state.get("_model_name") == "OutputModel"]
    assert output["outputs"][0]["text"] == "inside the widget\n"
    assert ran.printed(1) == ""


def test_what_a_thread_prints_later_is_not_lost(ran: Ran) -> None:
    printed = ran.printed(2) + ran.printed(3)
    assert "from the thread\n" in printed
    assert "joined\n" in printed


def test_async_cells_shell_lines_and_cell_magics_run(ran: Ran) -> None:
    assert ran.notebook.cells[4].outputs[0].data["text/plain"] == "3"
    assert ran.printed(5).strip() == "from the shell"
    assert ran.printed(6) == "from bash\n"


def test_a_progress_bar_leaves_one_line(ran: Ran) -> None:
    assert ran.printed(7) == "4 of 5"


def test_rich_results_keep_all_their_forms(ran: Ran) -> None:
    [result] = ran.notebook.cells[8].outputs
    assert set(result.data) == {"text/html", "text/plain"}


def test_an_endless_flood_of_output_is_bounded_in_memory_and_in_the_notebook(
    run: Any,
) -> None:
    before = psutil.Process().memory_info().rss
    ran = run(code("while True: print('x' * 1000)"), cell_timeout=timedelta(seconds=2))
    grown = psutil.Process().memory_info().rss - before
    assert ran.statuses() == ["timeout"]
    assert len(ran.printed(0)) < 11 * 1024**2
    assert grown < 200 * 1024**2
