"""Whatever a person or a task writes is shown as it was written, and none of it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.handles.run import RunHandle
from mlflowkit.home_store import database
from mlflowkit.store.runs import spec_of
from mlflowkit.view import RunFeed
from mlflowkit.view.static import static_html
from tests.browser import dags
from tests.browser.poison import PoisonedFeed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PLACES = ["window.broken", "document.querySelectorAll('.mkv script').length"]
#: What was put before, seen in a page that it could have run in.
WANTED = {"label", "reason", "text", "doc", "description", "tooltip", "notes", "line"}


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> RunHandle:
    folder = tmp_path_factory.mktemp("poison")
    dags.write_notebook(folder / "fit.ipynb", folder / "gate")
    handle = dags.pipeline(folder / "fit.ipynb").run(wait=False)
    with pytest.raises(Exception, match="fit"):
        handle.wait(timeout=120)
    return handle


def nothing_ran(page: Any) -> None:
    assert [page.evaluate(what) for what in PLACES] == [None, 0]
    foreign = """() => [...document.querySelectorAll('.mkv *')].filter(e =>
        [...e.attributes].some(a => a.name.startsWith('on')) || e.getAttribute('src') == 'x')
        .length"""
    assert page.evaluate(foreign) == 0


def visit_all(page: Any) -> None:
    """Every part of the page, with everything in it opened."""
    for task_id in ("load", "shape.square", "shape.total", "fit", "table"):
        page.locator(f'.mkv-box[data-id="{task_id}"]').focus()
        page.keyboard.press("Enter")
        for tab in page.locator(".mkv-side [role=tab]").all():
            tab.click()
            page.wait_for_function(
                "() => document.querySelector('.mkv-content').textContent.trim() != '…'"
            )
            for summary in page.locator(".mkv-content summary").all():
                summary.click()
            page.wait_for_load_state("networkidle")
            nothing_ran(page)
    for tab in ("Gantt", "Table"):
        page.get_by_role("tab", name=tab).first.click()
        page.wait_for_load_state("networkidle")
        nothing_ran(page)


def test_no_text_of_a_real_run_runs(run: RunHandle, look: Callable[..., Any]) -> None:
    page = look(run)
    visit_all(page)
    page.get_by_role("tab", name="Graph").first.click()
    page.locator('.mkv-box[data-id="fit"]').focus()
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Notebook").click()
    frame = page.frame_locator("iframe.mkv-html").first
    frame.locator("#rich").wait_for()
    inside = page.frames[-1]
    assert inside.evaluate("window.broken") == "html", "its scripts run in there"
    assert inside.evaluate("window.origin") == "null", "and have no origin"
    reach = "() => { try { return parent.document.title } catch { return 'nothing' } }"
    assert inside.evaluate(reach) == "nothing"
    fetched = "() => fetch('/').then(() => 'reached', () => 'nothing')"
    assert inside.evaluate(fetched) == "nothing"
    nothing_ran(page)


def test_no_text_of_any_field_runs(
    home: Path, run: RunHandle, look: Callable[..., Any]
) -> None:
    feed = PoisonedFeed(RunFeed(home, run.run_id))
    page = look(feed)
    visit_all(page)
    page.get_by_role(
        "button", name="Retry failed"
    ).click()  # what it would do, and a question
    page.locator(".mkv-ask").get_by_text("<img src=x").wait_for()
    nothing_ran(page)
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Graph").first.click()
    page.locator('.mkv-box[data-id="fit"]').focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Open failed notebook").click()
    page.locator(".mkv-ways code").get_by_text("<img src=x").wait_for()
    assert page.locator(".mkv-ways a").count() == 0
    nothing_ran(page)
    assert feed.fields >= {"ask", "line", "command", "url", "said"}
    assert feed.fields >= WANTED - {"notes", "tooltip", "doc"}
    assert "<img src=x" in page.locator(".mkv").text_content()


def test_the_static_picture_has_no_script_and_escapes_everything(
    home: Path, run: RunHandle, browser: Any
) -> None:
    with database(home).reading() as tx:
        spec = spec_of(tx, run.run_id)
    assert spec is not None
    page = browser.new_page()
    page.set_content(static_html(spec, run.view()))
    assert page.evaluate("window.broken") is None
    assert page.locator("script").count() == 0
    assert page.locator("img").count() == page.locator("img.mk-picture").count() == 1
    text = page.locator("body").text_content()
    assert "upstream failed" in text
    assert "no gate <img src=x" in text
    page.close()
