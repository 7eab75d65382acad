"""A notebook that was executed and saved, with nothing alive behind it: what stays of a run.

As nbconvert writes it, in a page without scripts; and as a host leaves it that strips styles,
scripts, frames and most attributes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser import lab_cells as cells
from tests.browser.pages import as_html, cleaned, without_scripts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
RUN = """
from mlflowkit.errors import RunFailed
try:
    d.run(gate="nowhere")
except RunFailed:
    print("it has waited")
"""
SHOWN = (RUN, "mlflowkit.run('train/1')", "mlflowkit.runs('train')", "d", "d.form()")
#: What the page says of the run, the list, the DAG and the form, whatever is left of its looks.
SAID = (
    "it has waited",
    "the gate is shut",
    "train/1",
    "✕ failed",
    "✓ success",
    "Run train",
    "Parameter",
)


@pytest.fixture(scope="module")
def executed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Executed by nbclient and saved: no front end, and no kernel any more."""
    from nbclient import NotebookClient

    path = tmp_path_factory.mktemp("saved") / "saved.ipynb"
    made = nbformat.v4.new_notebook()
    texts = (cells.STEPS + cells.GATED, *SHOWN)
    made.cells = [nbformat.v4.new_code_cell(text) for text in texts]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(made, timeout=240, kernel_name="python3", resources=resources).execute()
    nbformat.write(made, path)
    return path


def test_nbconvert_writes_a_page_that_needs_no_scripts(
    executed: Path, browser: Any, shots: Path
) -> None:
    with without_scripts(browser, executed) as page:
        rows = page.locator(".mlflowkit-still table").first.locator("tbody tr")
        said = [text.split("\n")[0].split("\t") for text in rows.all_inner_texts()]
        assert [[part.strip() for part in row[:2]] for row in said] == [
            ["load", "✓ success"],
            ["gated", "✕ failed"],
        ]
        picture = page.locator(".mlflowkit-still img").first
        assert picture.evaluate("e => e.complete && e.naturalWidth > 200")
        assert (
            picture.get_attribute("alt") == "Graph of train: 2 tasks · run train/1: failed"
        )
        text = page.locator("body").inner_text()
        assert [one for one in SAID if one not in text] == []
        page.screenshot(path=shots / "nbconvert-executed.png", full_page=True)


def test_a_host_that_strips_styles_and_scripts_still_shows_tables_and_the_picture(
    executed: Path, browser: Any, shots: Path
) -> None:
    page = browser.new_page()
    page.set_content(cleaned(as_html(executed)))
    text = page.locator("body").inner_text()
    assert [one for one in SAID if one not in text] == []
    assert "failedtrain" not in text, "loose words of a picture"
    assert "{" not in page.locator("table").first.inner_text()
    rows = page.locator("table", has_text="What it says").first.locator("tbody tr")
    assert [row.split()[:3] for row in rows.all_inner_texts()] == [
        ["load", "✓", "success"],
        ["gated", "✕", "failed"],
    ]
    picture = page.locator("img[alt^='Graph of train']").first
    assert picture.evaluate("e => e.complete && e.naturalWidth > 200")
    assert page.locator("[style], [class], style, script, svg").count() == 0
    page.screenshot(path=shots / "github-like.png", full_page=True)
    page.close()
