"""An existing notebook as a DAG: what crosses, what cannot, and a file that does the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from mlflowkit.authoring.loader import load_dag
from mlflowkit.authoring.notebook_dag import notebook_dag
from mlflowkit.authoring.notebook_dag_text import text_of
from mlflowkit.errors import NoSections, NotebookInvalid, NotForTaskCells

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SECTIONS = [
    "# Report\nwords",
    "import json\nimport math\n%matplotlib inline\nLIMIT = 3  # most\ndef double(x):\n    '''Twice.\n\n    x'''\n    return 2 * x",
    ("n = 4\nname: str = 'Ann'", "parameters"),
    "## 1. Load the data",
    "# the rows\nrows = [double(i) for i in range(n)]\nopen('data.json', 'w').write(json.dumps(rows))\nrows",
    "## Clean",
    "rows.append(LIMIT)\ntotal = sum(rows)\nodd = (r for r in rows)",
    "## Total",
    "total += 1\nagain = json.load(open('data.json'))\nresult = {'t': total, 'r': rows, 'a': again, 'n': name}",
    "## Save",
    "open('out.json', 'w').write(json.dumps(result))",
]


def write(folder: Path, parts: Sequence[Sequence[str]], name: str = "report") -> Path:
    cells = []
    for part in parts:
        text, tag = part if isinstance(part, tuple) else (part, "")
        if text.startswith("#") and not text.startswith("# the"):
            cells.append(v4.new_markdown_cell(text))  # type: ignore[no-untyped-call]
        else:
            tags = {"tags": [tag]} if tag else {}
            cells.append(v4.new_code_cell(text, metadata=tags))  # type: ignore[no-untyped-call]
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)  # type: ignore[no-untyped-call]
    return path


def test_each_section_becomes_a_task_and_the_report_says_what_crosses(
    tmp_path: Path,
) -> None:
    found = notebook_dag(write(tmp_path, SECTIONS))
    assert [(t.name, t.inputs, t.params, t.outputs) for t in found.tasks] == [
        ("load_the_data", {}, ["n"], ["rows"]),
        ("clean", {"rows": "load_the_data"}, [], ["total", "rows"]),
        ("total_section", {"total": "clean", "rows": "clean"}, ["name"], ["result"]),
        ("save", {"result": "total_section"}, [], []),
    ]
    assert [(p.name, p.annotation, p.default) for p in found.parameters] == [
        ("n", "int", "4"),
        ("name", "str", "'Ann'"),
    ]
    assert found.notes == ()


def test_what_cannot_travel_is_named_with_its_cell(tmp_path: Path) -> None:
    parts = [
        "## One",
        "odd = (r for r in 'ab')\nfile = open('x')\nk = len('x')",
        "## Two",
        "list(odd), file.read(), k",
    ]
    found = notebook_dag(write(tmp_path, parts))
    assert {c.name: (bool(c.problem), c.where) for c in found.crossings} == {
        "odd": (True, "cell 2: odd = (r for r in 'ab')"),
        "file": (True, "cell 2: file = open('x')"),
        "k": (False, ""),
    }


def test_the_written_file_does_what_the_notebook_does(tmp_path: Path) -> None:
    """Both are run: the notebook top to bottom, the DAG by its tasks, each in its own folder."""
    runs: dict[str, object] = {}
    for way in ("notebook", "dag"):
        folder = tmp_path / way
        path = write(folder, SECTIONS)
        if way == "notebook":
            from nbclient import NotebookClient

            book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            NotebookClient(book, resources={"metadata": {"path": str(folder)}}).execute()
        else:
            target = folder / "pipelines" / "report.py"
            target.parent.mkdir()
            target.write_text(text_of(notebook_dag(path), target, dag_id="report"))
            (folder / "pyproject.toml").touch()
            code = f"from mlflowkit.authoring.loader import load_dag; load_dag({str(target)!r}).test()"
            subprocess.run(
                [sys.executable, "-c", code], cwd=folder, check=True, timeout=120
            )
        runs[way] = json.loads((folder / "out.json").read_text())
    assert (
        runs["dag"]
        == runs["notebook"]
        == {
            "t": 16,
            "r": [0, 2, 4, 6, 3],
            "a": [0, 2, 4, 6],
            "n": "Ann",
        }
    )


def test_sections_wait_for_each_other_unless_told_not_to(tmp_path: Path) -> None:
    parts = ["## One", "a = len('x')", "## Two", "b = len('y')", "## Three", "print(a)"]
    found = notebook_dag(write(tmp_path, parts))
    arrows = {}
    for parallel in (False, True):
        target = tmp_path / f"p{parallel}.py"
        target.write_text(text_of(found, target, dag_id="report", parallel=parallel))
        dag = load_dag(str(target))
        arrows[parallel] = {t.task_id: set(t.upstream()) for t in dag.tasks}
    assert arrows == {
        False: {"one": set(), "two": {"one"}, "three": {"one", "two"}},
        True: {"one": set(), "two": set(), "three": {"one"}},
    }


def test_a_notebook_without_headings_is_told_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(NoSections, match="put a Markdown cell with `## Title`"):
        notebook_dag(write(tmp_path, ["a = 1", "b = 2"]))


def test_what_no_task_can_have_is_refused_with_its_cell(tmp_path: Path) -> None:
    with pytest.raises(NotForTaskCells, match=r"task 'two \(cell 4\)', line 1: '!ls'"):
        notebook_dag(write(tmp_path, ["## One", "a = 1", "## Two", "!ls"]))


def test_what_a_section_assigns_on_some_ways_alone_comes_from_before_on_the_others(
    tmp_path: Path,
) -> None:
    parts = [
        ("n = 1", "parameters"),
        "## One",
        "best = len('x')",
        "## Two",
        "for value in range(3):\n    best = n = value",
        "## Three",
        "print(best, n)",
    ]
    found = notebook_dag(write(tmp_path, parts))
    assert [(t.name, t.inputs, t.params, t.outputs) for t in found.tasks] == [
        ("one", {}, [], ["best"]),
        ("two", {"best": "one"}, ["n"], ["best", "n"]),
        ("three", {"best": "two", "n": "two"}, [], []),
    ]


def test_two_imports_under_one_name_are_an_error_that_shows_both(tmp_path: Path) -> None:
    parts = [
        "## One",
        "from math import log\nlog(1)",
        "## Two",
        "from cmath import log\nlog(1)",
    ]
    with pytest.raises(
        NotForTaskCells, match=r"(?s)'from cmath.*cell 2 \('from math import"
    ):
        notebook_dag(write(tmp_path, parts))
    fine = ["## One", "import xml.dom\nxml.dom", "## Two", "import xml.sax\nxml.sax"]
    assert notebook_dag(write(tmp_path, fine)).imports == (
        "import xml.dom",
        "import xml.sax",
    )


def test_texts_that_look_like_magics_and_odd_ends_of_lines_stay_as_they_are(
    tmp_path: Path,
) -> None:
    odd = "a = '''\n%matplotlib inline\nreally?\n'''\r\nb = 'x\u2028y\x0cz'\n\x0c\nc = b"
    empty = "if c:\n    %matplotlib inline\nprint(a, b, c)"
    path = write(tmp_path, ["## One", odd, '## \\x """ "Two"', empty], 'o"""d\\x')
    target = tmp_path / "odd.py"
    target.write_text(text_of(notebook_dag(path), target, dag_id="odd"))
    space: dict[str, object] = {}
    exec(target.read_text(), space)
    assert (space["a"], space["b"]) == ("\n%matplotlib inline\nreally?\n", "x\u2028y\x0cz")


def test_a_damaged_cell_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    for cell in (
        {"cell_type": "code", "source": None},
        3,
        {"source": [1]},
        {"metadata": 1},
    ):
        path.write_text(json.dumps({"cells": [cell]}))
        with pytest.raises(NotebookInvalid, match="one of its cells has no source"):
            notebook_dag(path)


def test_a_section_that_awaits_waits_and_a_deleted_variable_is_gone(tmp_path: Path) -> None:
    parts = [
        "## One",
        "async def twice(x):\n    return 2 * x\nx = await twice(4)\ntext = '''a\n  b'''",
        "## Two",
        "x = x + await twice(x)\nprint(x, text)\ndel text",
        "## Three",
        "print(x, text)",
    ]
    found = notebook_dag(write(tmp_path, parts))
    assert [(t.inputs, t.outputs) for t in found.tasks] == [
        ({}, ["x", "text"]),
        ({"x": "one", "text": "one"}, ["x"]),
        ({"x": "two"}, []),
    ]
    assert "reads 'text', which nothing before it defines" in found.notes[0]
    target = tmp_path / "waits.py"
    target.write_text(text_of(found, target, dag_id="waits"))
    space: dict[str, object] = {"__name__": "waits"}
    exec(target.read_text(), space)
    one, two = (space[name].function for name in ("one", "two"))  # type: ignore[attr-defined]
    assert one() == {"x": 8, "text": "a\n  b"}
    assert two(8, "") == 24
