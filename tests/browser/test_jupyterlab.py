"""Runs in JupyterLab and Notebook 7: watched, cancelled, retried, found again, by a person with
a browser. All stories share one server, and all but that of Notebook 7 one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.demo.digits import upload_folder
from mlflowkit.demo.s3_server import S3Server
from mlflowkit.handles.run import RunHandle
from mlflowkit.handles.run_list import RunList
from tests.browser import dags, lab
from tests.browser import lab_cells as cells
from tests.browser.lab import DEADLINE_S, Desk, Lab, Notebook
from tests.browser.pages import without_scripts
from tests.homes import wait_until
from tests.s3 import bucket, s3, s3_server
from tests.services import missing

__all__ = ["bucket", "s3", "s3_server"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Open = Callable[..., Notebook]
PIPELINES = Path(__file__).parents[2] / "pipelines"
HEAD = ".mkv-head .mkv-badge[data-state=%s]"
SUBSHELLS = "@jupyterlab/apputils-extension:kernels-settings"


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("jupyterlab") if not os.environ.get("CI") else None
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        missing("jupyterlab")
    with lab.serving(tmp_path_factory.mktemp("lab"), home) as found:
        yield found


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """What the pages share: the cache, above all."""
    found = browser.new_context(viewport={"width": 1280, "height": 900})
    found.set_default_timeout(DEADLINE_S * 1000)
    yield found
    found.set_default_timeout(10_000)
    found.close()


@pytest.fixture(scope="module")
def desk(context: Any, server: Lab) -> Desk:
    return Desk(context, server)


@pytest.fixture
def opened(desk: Desk, server: Lab) -> Open:
    """`opened("a.ipynb", cells…)`: a notebook, alone on the desk."""

    def open_notebook(name: str, *cells: str, **how: Any) -> Notebook:
        server.write(name, *cells)
        return desk.open(name, **how)

    return open_notebook


def box(where: Any, task_id: str) -> Any:
    return where.locator(f'.mkv-box[data-id="{task_id}"]')


def last(home: Path, dag_id: str) -> RunHandle:
    found = RunList(home, dag_id).last()
    assert found is not None
    return found


def ended(home: Path, dag_id: str) -> str:
    run = last(home, dag_id)
    wait_until(lambda: run.view().ended, DEADLINE_S, 0.05)
    return run.state


def cancel(cell: Any) -> None:
    cell.get_by_role("button", name="Cancel run").click()
    cell.get_by_role("alertdialog").get_by_role("button", name="Cancel run").click()


def pictures_say(cell: Any, what: str) -> None:
    """Wait until the picture below a live view is brought up to date."""
    still = cell.locator(".mlflowkit-still").last
    wait_until(lambda: what in (still.text_content() or ""), DEADLINE_S, 0.1)


def test_the_demo_pipeline_fails_in_a_notebook_is_retried_and_stays_as_a_picture(
    home: Path, opened: Open, s3_server: S3Server, bucket: str, browser: Any, shots: Path
) -> None:
    from tests.ml.digits import digits

    images, made = home.parent / "digits", home.parent / "made.pt"
    weights = made.with_name("first.pt")
    digits(images, only=(3, 7), per_class=12)
    upload_folder(images, f"{bucket}/digits")
    known = {"connection": s3_server.connection_uri, "pipelines": str(PIPELINES)}
    run = cells.DEMO_RUN.format(bucket=bucket, weights=str(weights))
    make = cells.WEIGHTS.format(weights=str(made))
    note = opened("demo.ipynb", cells.DEMO.format(**known), run, make, "run.wait()")
    note.ran(0)
    cell = note.ran(1)
    note.run(2)
    note.page.wait_for_function(
        """() => /cell \\d+ of 8/.test(
            document.querySelector('[data-id="fine_tune"] .mkv-sub')?.textContent)"""
    )
    assert cell.locator(".mkv").count() == 1, "shown once, also in an assignment"
    assert cell.locator(".mlflowkit-still:visible").count() == 0
    note.page.screenshot(path=shots / "lab-running.png")
    cell.locator(HEAD % "failed").wait_for()
    box(cell, "fine_tune").click()
    cell.get_by_text("Cell 5 failed").wait_for()
    cell.locator(".mkv-side").get_by_text("WeightsNotFound").first.wait_for()
    note.page.screenshot(path=shots / "lab-failed.png")
    pictures_say(cell, "WeightsNotFound")
    note.wait(2)
    made.rename(weights)
    cell.get_by_role("button", name="Retry failed").click()
    cell.locator(HEAD % "running").wait_for()
    note.ran(3)
    cell.locator(HEAD % "success").wait_for()
    assert ended(home, "train_and_deploy") == "success"

    pictures_say(cell, "✓ success")
    note.save()
    with without_scripts(browser, note.path) as page:
        rows = page.locator(".mlflowkit-still").first.locator("tbody tr")
        assert [row.split()[:3] for row in rows.all_inner_texts()] == [
            [name, "✓", "success"]
            for name in (
                "read_images",
                "preprocess",
                "fine_tune",
                "upload_model",
                "deploy_model",
            )
        ]
        assert page.locator(".mlflowkit-still img:visible").count() >= 1
        page.screenshot(path=shots / "nbconvert.png")


def test_a_mapped_task_of_5000_is_counts_and_pages_and_no_large_message(
    opened: Open, shots: Path
) -> None:
    sizes: list[int] = []

    def watch(page: Any) -> None:
        weigh = lambda data: sizes.append(len(data))  # noqa: E731
        page.on("websocket", lambda socket: socket.on("framereceived", weigh))

    text = (cells.STEPS + cells.MANY, "run = d.run()")
    note = opened("many.ipynb", *text, watch=watch)
    note.ran(0)
    cell = note.ran(1)
    note.page.wait_for_function(
        """() => /[1-9][0-9]*.5,?000/.test(
            document.querySelector('[data-id="square"]')?.textContent)"""
    )
    box(cell, "square").click()
    cell.get_by_role("tab", name="Instances").click()
    cell.locator(".mkv-content").get_by_text("that were started").wait_for()
    note.page.screenshot(path=shots / "lab-many.png")
    cancel(cell)
    cell.locator(HEAD % "failed").wait_for()
    assert sizes
    assert max(sizes) < 250_000
    assert sorted(sizes)[-2] < 100_000, "but for the viewer itself, once"


def test_dark_narrow_and_nothing_that_was_written_runs(
    desk: Desk, opened: Open, shots: Path
) -> None:
    text = ("run = d.run()", "run", "mlflowkit.runs()", "d.form()", "d")
    note = opened("dark.ipynb", cells.STEPS + cells.poisoned(dags.payload("lab")), *text)
    page = note.page
    desk.theme("JupyterLab Dark")
    note.ran(0)
    cell = note.ran(1)
    cell.locator(HEAD % "failed").wait_for()
    dark = "e => getComputedStyle(e).backgroundColor"
    wait_until(
        lambda: cell.locator(".mkv").evaluate(dark) == "rgb(33, 33, 33)", DEADLINE_S, 0.1
    )
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
    wait_until(lambda: cell.locator(".mkv").evaluate(wide) <= 1, DEADLINE_S, 0.1)
    page.set_viewport_size({"width": 1280, "height": 900})
    desk.theme("JupyterLab Light")


def test_a_run_is_found_again_in_other_cells_after_a_reload_and_without_its_kernel(
    server: Lab, opened: Open, shots: Path
) -> None:
    gate = server.folder / "gate"
    text = (cells.STEPS + cells.GATED, f"run = d.run(gate={str(gate)!r})")
    note = opened("train.ipynb", *text, "run", "mlflowkit.runs()")
    note.ran(0)
    first, second = note.ran(1), note.ran(2)
    for cell in (first, second):
        cell.locator(HEAD % "failed").wait_for()
    gate.touch()
    second.get_by_role("button", name="Retry failed").click()
    for cell in (first, second):
        cell.locator(HEAD % "success").wait_for()
    listed = note.ran(3)
    listed.get_by_role("button", name="train/1", exact=True).click()
    box(listed, "gated").wait_for()
    note.page.screenshot(path=shots / "lab-list.png")
    for cell in (first, second):
        pictures_say(cell, "✓ success")
    note.save()
    note.page.reload()
    note.ready()
    note.cell(1).locator(HEAD % "success").wait_for()
    assert box(note.cell(1), "gated").count() == 1

    server.restart_kernels()
    note.page.reload()
    note.ready()
    for at in (1, 2):
        still = note.cell(at).locator(".mlflowkit-still:visible")
        still.get_by_text("✓ success").first.wait_for()
        still.locator("img").wait_for()
        assert "model not found" not in note.cell(at).inner_text()
    note.page.screenshot(path=shots / "lab-restarted.png")


def test_cancel_is_heard_while_the_kernel_sleeps(home: Path, opened: Open) -> None:
    text = (cells.STEPS + cells.SLEEPY, "run = d.run()\ntime.sleep(600)")
    note = opened("sleepy.ipynb", *text, anew=True)
    note.ran(0)
    cell = note.run(1)
    cell.locator('.mkv-box.mkv-s-running[data-id="slow"]').wait_for()
    cancel(cell)
    cell.locator(HEAD % "failed").wait_for()
    assert note.number(1) == "[*]:"
    assert ended(home, "sleepy") == "failed"
    assert last(home, "sleepy").view().reason == "cancelled"


def test_cancel_is_heard_by_cells_that_wait_where_clicks_come_to_the_main_shell(
    home: Path, server: Lab, opened: Open
) -> None:
    server.choose(SUBSHELLS, commsOverSubshells="disabled")
    waits = ("run.wait()", 'run["slow"].result()')
    text = (*(cells.WAITING.format(wait=one) for one in waits), "6 * 7")
    note = opened("waits.ipynb", cells.STEPS + cells.SLEEPY, *text, anew=True)
    note.ran(0)
    for at in (1, 2):
        cell = note.run(at)
        cell.locator('.mkv-box.mkv-s-running[data-id="slow"]').wait_for()
        if at == 2:
            note.run(3)  # waits for its turn
        cancel(cell)
        cell.get_by_text("it says RunFailed").wait_for()
        cell.locator(HEAD % "failed").wait_for()
        assert ended(home, "sleepy") == "failed"
    answer = note.cell(3).locator(".jp-OutputArea-output")
    answer.wait_for()
    assert answer.inner_text() == "42"
    server.choose(SUBSHELLS, commsOverSubshells="perCommTarget")


def test_a_form_says_what_does_not_fit_beside_the_field_and_runs_what_does(
    home: Path, server: Lab, opened: Open, shots: Path
) -> None:
    note = opened("form.ipynb", cells.STEPS + cells.FORM, "d.form()", anew=True)
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

    pictures_say(cell, "✓ success")
    assert cell.locator(".mlflowkit-still:visible").count() == 0
    note.save()
    server.restart_kernels()
    note.page.reload()
    note.ready()
    still = note.cell(1).locator(".mlflowkit-still:visible")
    still.get_by_text('["x", "y"]').wait_for()
    still.get_by_text("✓ success").wait_for()
    assert "model not found" not in note.cell(1).inner_text()
    note.page.screenshot(path=shots / "lab-form-later.png")


def test_notebook_7_shows_the_same_hears_cancel_while_busy_and_keeps_a_picture(
    home: Path, server: Lab, context: Any, shots: Path
) -> None:
    try:
        import notebook  # noqa: F401
    except ImportError:
        missing("notebook")
    busy = "run = d.run()\ntime.sleep(600)"
    server.write("seven.ipynb", cells.STEPS + cells.SLEEPY, busy)
    page = context.new_page()
    page.goto(server.notebook_url("seven.ipynb"))
    note = Notebook(page, server, "seven.ipynb")
    note.ready()
    note.ran(0)
    cell = note.run(1)
    cell.locator('.mkv-box.mkv-s-running[data-id="slow"]').wait_for()
    cancel(cell)
    cell.locator(HEAD % "failed").wait_for()
    assert note.number(1) == "[*]:"
    assert ended(home, "sleepy") == "failed"
    pictures_say(cell, "cancelled")
    page.screenshot(path=shots / "notebook7.png")
    note.save()
    server.restart_kernels()
    page.reload()
    note.ready()
    still = note.cell(1).locator(".mlflowkit-still:visible")
    still.get_by_text("cancelled").first.wait_for()
    still.locator("img").wait_for()
    page.screenshot(path=shots / "notebook7-restarted.png")
    page.close()
