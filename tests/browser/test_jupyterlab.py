"""Runs in JupyterLab: watched, cancelled, retried, found again, by a person with a browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.run_handle import RunHandle, RunList
from tests.browser import dags, lab
from tests.browser.lab import Lab, Notebook
from tests.homes import wait_until
from tests.services import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
Open = Callable[..., Notebook]
STEPS = """
import time, mlflowkit
from mlflowkit import dag, notebook, task

@task
def load(n):
    print("loaded", n)
    return list(range(n))

@task
def slow(x):
    time.sleep(120)
"""
TRAIN = """
@task
def report(score):
    return {"score": score}

@dag
def train(n: int = 6):
    fitted = notebook("fit.ipynb", task_id="fit", rate=0.1)
    load(n) >> fitted >> report("good")

d = train()
"""
SLEEPY = """
@dag
def sleepy():
    slow(load(3))

d = sleepy()
"""
HEAD = ".mkv-head .mkv-badge[data-state=%s]"


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("jupyterlab") if not os.environ.get("CI") else None
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        missing("jupyterlab")
    with lab.serving(tmp_path_factory.mktemp("lab"), home) as found:
        yield found


@pytest.fixture
def opened(browser: Any, server: Lab) -> Iterator[Open]:
    """`opened("a.ipynb", cells…)`: a notebook in a page. What the page complains of is kept."""
    contexts: list[Any] = []

    def open_page(name: str, *cells: str, **how: Any) -> Notebook:
        if cells:
            server.write(name, *cells)
        how = {"viewport": {"width": 1280, "height": 900}, **how}
        context = browser.new_context(**how)
        context.set_default_timeout(15_000)
        contexts.append(context)
        return Notebook(context.new_page(), server, name)

    yield open_page
    for context in contexts:
        context.close()


def box(where: Any, task_id: str) -> Any:
    return where.locator(f'.mkv-box[data-id="{task_id}"]')


def last(home: Path, dag_id: str) -> RunHandle:
    found = RunList(home, dag_id).last()
    assert found is not None
    return found


def ended(home: Path, dag_id: str) -> str:
    run = last(home, dag_id)
    wait_until(lambda: run.view().ended, 30)
    return run.state


def test_a_run_is_watched_fails_is_retried_and_found_again(
    home: Path, server: Lab, opened: Open, shots: Path
) -> None:
    gate = server.folder / "gate"
    dags.write_notebook(server.folder / "files" / "fit.ipynb", gate)
    note = opened("train.ipynb", STEPS + TRAIN, "run = d.run()", "run", "mlflowkit.runs()")
    page = note.page
    note.ran(0)
    first = note.ran(1)
    page.wait_for_function(
        """() => document.querySelector('[data-id="fit"] .mkv-sub')?.textContent
            .match(/cell \\d of 5/)"""
    )
    page.screenshot(path=shots / "lab-running.png")
    first.locator(HEAD % "failed").wait_for()
    assert first.locator(".mkv").count() == 1, "shown once, also in an assignment"
    assert first.locator(".mlflowkit-still:visible").count() == 0
    box(first, "fit").click()
    first.get_by_text("Cell 6 failed").wait_for()
    page.screenshot(path=shots / "lab-failed.png")
    second = note.ran(2)
    second.locator(HEAD % "failed").wait_for()
    gate.touch()
    second.get_by_role("button", name="Retry failed").click()
    for cell in (first, second):
        cell.locator(HEAD % "success").wait_for()
    listed = note.ran(3)
    listed.get_by_role("button", name="train/1", exact=True).click()
    box(listed, "report").wait_for()
    page.screenshot(path=shots / "lab-list.png")
    assert ended(home, "train") == "success"

    pictures = page.locator(".mlflowkit-still")
    wait_until(lambda: all("✕" not in t for t in pictures.all_text_contents()), 10, 0.1)
    note.save()
    page.reload()
    note.ready()
    again = note.cell(1)
    again.locator(HEAD % "success").wait_for()
    assert box(again, "fit").count() == 1

    server.restart_kernels()
    page.reload()
    note.ready()
    still = note.cell(1).locator(".mlflowkit-still:visible")
    still.get_by_text("✓ success").first.wait_for()
    assert "model not found" not in note.cell(1).inner_text()
    page.screenshot(path=shots / "lab-restarted.png")


def test_cancel_is_heard_while_the_kernel_sleeps(home: Path, opened: Open) -> None:
    note = opened("sleepy.ipynb", STEPS + SLEEPY, "run = d.run()\ntime.sleep(60)")
    note.ran(0)
    cell = note.run(1)
    box(cell, "slow").wait_for()
    cell.locator('.mkv-box.mkv-s-running[data-id="slow"]').wait_for()
    cancel(cell)
    cell.locator(HEAD % "failed").wait_for()
    assert cell.locator(".jp-InputPrompt").inner_text() == "[*]:"
    assert ended(home, "sleepy") == "failed"
    assert last(home, "sleepy").view().reason == "cancelled"


def test_cancel_is_heard_by_a_cell_that_waits_where_clicks_come_to_the_main_shell(
    home: Path, server: Lab, opened: Open
) -> None:
    kernels = "@jupyterlab/apputils-extension:kernels-settings"
    server.choose(kernels, commsOverSubshells="disabled")
    note = opened("waits.ipynb", STEPS + SLEEPY, "run = d.run()\nrun.wait()", "6 * 7")
    note.ran(0)
    cell = note.run(1)
    box(cell, "slow").wait_for()
    note.run(2)
    cell.locator('.mkv-box.mkv-s-running[data-id="slow"]').wait_for()
    cancel(cell)
    cell.get_by_text("RunFailed").first.wait_for()
    cell.locator(HEAD % "failed").wait_for()
    assert ended(home, "sleepy") == "failed"
    assert note.ran(2).locator(".jp-OutputArea-output").inner_text() == "42"
    server.choose(kernels, commsOverSubshells="perCommTarget")


FORM = """
from typing import Literal

@task
def tell(n, rate, tags, kind):
    return [n, rate, tags, kind]

@dag
def formed(
    n: int = mlflowkit.Param(3, minimum=1, description="How many, at least one"),
    rate: float = 0.1,
    tags: list[str] = ["a"],
    kind: Literal["small", "large"] = "small",
    loud: bool = False,
):
    tell(n, rate, tags, kind)

d = formed()
"""


def test_a_form_says_what_does_not_fit_beside_the_field_and_runs_what_does(
    home: Path, opened: Open, shots: Path
) -> None:
    note = opened("form.ipynb", STEPS + FORM, "d.form()")
    note.ran(0)
    cell = note.ran(1)
    rows = cell.locator(".widget-hbox")
    number = rows.filter(has_text="How many").locator("input")
    number.fill("0")
    number.press("Tab")
    cell.locator(".mlflowkit-problem").get_by_text("minimum").wait_for()
    tags = rows.filter(has_text="tags").locator("textarea")
    tags.fill('["a", ')
    tags.press("Tab")
    cell.locator(".mlflowkit-problem").get_by_text("this is not JSON").wait_for()
    cell.get_by_role("button", name="Run").click()
    cell.get_by_text("Some values do not fit").wait_for()
    note.page.screenshot(path=shots / "lab-form.png")
    number.fill("5")
    number.press("Tab")
    tags.fill('["x", "y"]')
    tags.press("Tab")
    rows.filter(has_text="kind").locator("select").select_option("large")
    cell.get_by_role("button", name="Run").click()
    cell.locator(HEAD % "success").wait_for()
    assert last(home, "formed")["tell"].result() == [5, 0.1, ["x", "y"], "large"]


MANY = """
@task
def square(x):
    return x * x

@dag
def many():
    square.expand(x=list(range(5000)))

d = many()
"""


def test_a_mapped_task_of_5000_is_counts_and_pages_and_no_large_message(
    home: Path, opened: Open, shots: Path
) -> None:
    sizes: list[int] = []
    note = opened("many.ipynb", STEPS + MANY, "run = d.run()")
    note.page.on(
        "websocket",
        lambda ws: ws.on("framereceived", lambda data: sizes.append(len(data))),
    )
    note.page.reload()
    note.ready()
    note.ran(0)
    cell = note.ran(1)
    note.page.wait_for_function(
        """() => document.querySelector('[data-id="square"]')?.textContent
            .match(/[1-9][0-9]*.5,?000/)"""
    )
    box(cell, "square").click()
    cell.get_by_role("tab", name="Instances").click()
    cell.locator(".mkv-content").get_by_text("that were started").wait_for()
    note.page.screenshot(path=shots / "lab-many.png")
    note.page.screenshot(path=shots / "lab-many.png")
    cancel(cell)
    cell.locator(HEAD % "failed").wait_for()
    assert sizes
    assert max(sizes) < 250_000
    assert sorted(sizes)[-2] < 100_000, "but for the viewer itself, once"


def test_dark_narrow_and_nothing_that_was_written_runs(
    server: Lab, opened: Open, shots: Path
) -> None:
    themes = "@jupyterlab/apputils-extension:themes"
    server.choose(themes, theme="JupyterLab Dark")
    bad = dags.payload("lab")
    poisoned = f"""
BAD = {bad!r}

@task
def fails(text):
    print(text)
    mlflowkit.push("key", text)
    raise ValueError(text)

@dag(description=BAD)
def poisoned(note: str = mlflowkit.Param(BAD, description=BAD, title=BAD)):
    fails(note)

d = poisoned()
"""
    cells = ("run = d.run()", "run", "mlflowkit.runs()", "d.form()", "d")
    note = opened("dark.ipynb", STEPS + poisoned, *cells)
    page = note.page
    note.ran(0)
    cell = note.ran(1)
    cell.locator(HEAD % "failed").wait_for()
    dark = "e => getComputedStyle(e).backgroundColor"
    assert cell.locator(".mkv").evaluate(dark) in ("rgb(33, 33, 33)",)
    box(cell, "fails").click()
    for tab in cell.locator(".mkv-side [role=tab]").all():
        tab.click()
        page.wait_for_function(
            "() => document.querySelector('.mkv-content').textContent.trim() != '…'"
        )
    for at in range(2, 6):
        note.ran(at)
    note.cell(4).get_by_role("button", name="Run").wait_for()
    assert "<img src=x" in page.locator(".jp-Notebook").inner_text()
    assert page.evaluate("window.broken") is None
    assert page.locator(".jp-Notebook img[src=x]").count() == 0
    assert page.locator(".mkv:not(.mkv-runs):not([data-dark])").count() == 0
    cell.scroll_into_view_if_needed()
    page.screenshot(path=shots / "lab-dark.png")

    page.set_viewport_size({"width": 400, "height": 800})
    page.keyboard.press("Control+b")
    cell.scroll_into_view_if_needed()
    page.screenshot(path=shots / "lab-narrow.png")
    wide = "e => e.scrollWidth - e.clientWidth"
    assert cell.locator(".mkv").evaluate(wide) <= 1
    server.choose(themes, theme="JupyterLab Light")


def cancel(cell: Any) -> None:
    cell.get_by_role("button", name="Cancel run").click()
    cell.get_by_role("alertdialog").get_by_role("button", name="Cancel run").click()
