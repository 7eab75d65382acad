# mypy: allow-untyped-calls
"""`mlflowkit notebook inspect|run|strip|export`, in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.cli.terminal import Terminal
from tests.nbrun.conftest import code, save, text
from tests.nbrun.leaks import leaks

TOKEN = "-".join(["tok", "in", "a", "file", "88"])


@pytest.fixture
def fit(terminal: Terminal) -> Path:
    return save(
        terminal.folder / "fit.ipynb",
        text("# What came out"),
        code("n: int = 1  # how many\nname: str | None = None\ntoken = ''", "parameters"),
        code("import sys\nprint('noise', file=sys.stderr)\nvisible_name = n + 1"),
        code("print('result', n, name, len(token))\nprint(token)"),
        code("score: float = 0.5", "outputs"),
    )


def test_inspect_says_what_a_notebook_takes_and_gives(
    terminal: Terminal, fit: Path
) -> None:
    assert terminal("notebook", "inspect", "fit.ipynb").out.splitlines() == [
        "notebook fit.ipynb (python)",
        "  takes:",
        "    n: int = 1  # how many",
        "    name: str | None = None",
        "    token = ''",
        "  gives:",
        "    score: float  (after the last cell)",
    ]
    found = terminal("notebook", "inspect", "fit.ipynb", "--json").json()
    assert found["outputs"] == [{"name": "score", "annotation": "float", "how": "outputs"}]
    assert [one["name"] for one in found["parameters"]] == ["n", "name", "token"]
    wrong = terminal("notebook", "inspect", "fti.ipynb")
    assert (wrong.status, wrong.out) == (2, "")
    assert "there is no notebook 'fti.ipynb'" in wrong.err
    assert "Did you mean 'fit.ipynb'?" in wrong.err


def test_a_run_with_a_secret_leaves_a_report_without_code_and_without_the_secret(
    terminal: Terminal, fit: Path
) -> None:
    terminal("variables", "set", "api", TOKEN)
    done = terminal(
        *("notebook", "run", "fit.ipynb", "-p", "n=2", "-p", "name=123"),
        *("--secret", "token=var:api", "--report"),
    )
    assert done.status == 0, done.err
    run = terminal.home / "runs" / "fit" / "1"
    assert done.out.splitlines()[-2:] == [
        f"executed notebook: {run / 'fit.ipynb'}",
        f"report: {run / 'fit.html'}",
    ]
    page = (run / "fit.html").read_text()
    assert f"result 2 123 {len(TOKEN)}" in page and "What came out" in page
    assert "visible_name" not in page and "noise" not in page
    whole = terminal("notebook", "export", str(run / "fit.ipynb"), "-o", "whole.html")
    assert whole.out == "whole.html\n"
    assert "visible_name" in (terminal.folder / "whole.html").read_text()
    assert leaks(terminal.folder, TOKEN) == []
    folded = terminal(
        "notebook", "export", str(run / "fit.ipynb"), "--report", "--to", "ipynb"
    )
    made = nbformat.read(Path(folded.out.strip()), as_version=4)
    hidden = [c.metadata.jupyter.source_hidden for c in made.cells if c.cell_type == "code"]
    assert hidden == [True] * 5
    same = terminal("notebook", "export", "fit.ipynb", "-o", "fit.ipynb")
    assert same.status == 2 and "it is the notebook itself" in same.err
    assert terminal("notebook", "export", "fit.ipynb", "--to", "pdf").status == 2


def filtered(data: bytes, *options: str) -> tuple[int, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "mlflowkit", "notebook", "strip", "-", *options],
        input=data,
        capture_output=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def test_strip_works_on_files_and_as_a_filter_of_git(terminal: Terminal, fit: Path) -> None:
    notebook = nbformat.read(fit, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="old")]
    notebook.cells[2].execution_count = 3
    nbformat.write(notebook, fit)
    full = fit.read_bytes()
    told = terminal("notebook", "strip", "fit.ipynb", "--check")
    assert (told.status, told.out) == (1, "would strip fit.ipynb\n")
    assert fit.read_bytes() == full
    assert terminal("notebook", "strip", "fit.ipynb").out == "stripped fit.ipynb\n"
    again = terminal("notebook", "strip", "fit.ipynb", "--check")
    assert (again.status, again.out) == (0, "")
    assert filtered(full) == (0, fit.read_bytes())
    assert filtered(fit.read_bytes(), "--check") == (0, b"")
    assert filtered(full, "--check") == (1, b"")
    assert json.loads(filtered(full, "--keep-outputs")[1])["cells"][2]["outputs"] != []
    (terminal.folder / "bad.ipynb").write_text("{")
    before = full
    fit.write_bytes(full)
    both = terminal("notebook", "strip", "fit.ipynb", "bad.ipynb")
    assert both.status == 2 and "bad.ipynb" in both.err
    assert fit.read_bytes() == before  # nothing is half done


def test_what_is_made_of_a_notebook_is_not_written_over_one(
    terminal: Terminal, fit: Path
) -> None:
    before = fit.read_bytes()
    (terminal.folder / "link.ipynb").hardlink_to(fit)
    page = terminal("notebook", "export", "fit.ipynb", "-o", "link.ipynb")
    assert (page.status, "it is the notebook itself" in page.err) == (2, True)
    file = terminal("notebook", "to-dag", "fit.ipynb", "-o", "fit.ipynb", "--force")
    assert (file.status, "is named as a notebook" in file.err) == (2, True)
    assert fit.read_bytes() == before
