# mypy: allow-untyped-calls
"""The pages about notebooks are true: their cells and commands are run, in their order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from tests.cli.terminal import Terminal
from tests.homes import fresh_home
from tests.real_kernel import Kernel

DOCS = Path(__file__).parents[2] / "docs"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
Parts = list[str | tuple[str, str]]
FIT: Parts = [
    ("rows: list = [1, 2, 3]\nlr: float = 0.1  # learning rate", "parameters"),
    ("model = sum(rows)\nscore = model * lr\nprint(score)", "outputs"),
]
REPORT: Parts = [
    "## Load",
    ("region: str = 'EU'", "parameters"),
    ("rows = [3, 1]", ""),
    "## Sort",
    ("rows.sort()\nprint(region, rows)", ""),
]


def write(path: Path, parts: Parts) -> None:
    cells = [
        v4.new_markdown_cell(part)
        if isinstance(part, str)
        else v4.new_code_cell(part[0], metadata={"tags": [part[1]] if part[1] else []})
        for part in parts
    ]
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)


def blocks(page: str, heading: str, language: str = "") -> list[str]:
    """The code blocks of a language below a heading of a page."""
    text = (DOCS / page).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no such code below {heading!r}"
    return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Terminal]:
    with fresh_home(tmp_path) as home:
        terminal = Terminal(tmp_path)
        assert terminal.home == home
        write(tmp_path / "fit.ipynb", FIT)
        write(tmp_path / "report.ipynb", REPORT)
        yield terminal


PAGES = {
    "notebooks.md": ["In Jupyter"],
    "how-to/jupyter.md": ["A notebook that exists", "By a schedule, with Jupyter closed"],
}


def test_the_commands_of_the_pages_do_what_they_say(project: Terminal) -> None:
    made = project.folder / "pipelines" / "report.py"
    made.parent.mkdir()
    for page, headings in PAGES.items():
        made.unlink(missing_ok=True)
        lines = "".join(b for h in headings for b in blocks(page, h, "console"))
        commands = lines.splitlines()
        assert len(commands) >= 3
        for line in commands:
            words = shlex.split(line.removeprefix("$ mlflowkit "))
            if words[-1] == "*.ipynb":
                words[-1:] = sorted(p.name for p in project.folder.glob("*.ipynb"))
            done = project(*words)
            assert done.status == 0, (line, done.err)
        assert made.is_file()
    assert "report" in project("dags", "list").out


def test_the_cells_of_the_page_about_jupyter_make_a_dag_that_runs(kernel: Kernel) -> None:
    kernel.cell("def shifted(i): return i + 1")
    for cell in blocks("how-to/jupyter.md", "Cells as tasks"):
        kernel.cell(cell.rstrip())
    said = (DOCS / "how-to" / "jupyter.md").read_text()
    for line in (
        *("d = %dag", "%dag list", "%dag show", "%dag check", "r = %dag run -p n=20"),
        *("s = %dag publish", "%dag rename retrained", "%dag drop fit"),
    ):
        words = line.removeprefix("d = ").removeprefix("r = ").removeprefix("s = ")
        known = " ".join(words.split()[:2])
        assert f"`{known}" in said, f"the page does not have {known}"
        kernel.cell(line)
    assert kernel.cell("print(r.wait(120)['fit'].result('score'))") == "10.5"
    assert kernel.cell("print(s.known().dag_id, d.dag_id, d.task_ids)") == (
        "train retrained ['load']"
    )
    kernel.cell("s.delete()")
