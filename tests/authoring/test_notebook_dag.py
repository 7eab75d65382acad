"""An existing notebook as a DAG: what crosses, what cannot, and a file that does the same."""

from __future__ import annotations

import json
import os
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
from mlflowkit.errors import NoSections, NotebookInvalid, NotForTaskCells, NotInPython
from tests.homes import fresh_home

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
        if tag == "markdown" or (text.startswith("#") and not text.startswith("# the")):
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


def test_a_notebook_in_another_language_is_refused(tmp_path: Path) -> None:
    """`x <- 1` would be Python, too, and mean something else."""
    path = write(tmp_path, ["## One", "x <- 1", "## Two", "print(x)"])
    found = json.loads(path.read_text())
    for metadata in (
        {"kernelspec": {"name": "ir", "language": "R"}},
        {"language_info": {"name": "R"}},
    ):
        path.write_text(json.dumps({**found, "metadata": metadata}))
        with pytest.raises(NotInPython, match="is a notebook in R"):
            notebook_dag(path)
    path.write_text(json.dumps({**found, "metadata": "odd"}))
    assert len(notebook_dag(path).tasks) == 2


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


TAUGHT = [
    "## Model",
    "class Net:\n    def __init__(self): self.w = 0\n    def fit(self): self.w += 1; return self",
    "class Opt:\n    def __init__(self, net): self.net = net\n    def step(self): self.net.w += 1",
    "net = Net()\nopt = Opt(net)\nrows = [3, 1, 2]",
    "def train(model, times):\n    for _ in range(times): model.fit()",
    "def prepare(found): found.sort()",
    "## Train",
    "train(net, 3)\nlast = net.fit()\nprepare(rows)",
    "## Tune",
    "for _ in range(2): opt.step()",
    "## Look",
    "print(net, rows)\nsize = len(rows)",
    "## Save",
    "open('out.txt', 'w').write(repr((net.w, rows, size)))",
]


def test_what_a_section_teaches_the_next_one_gets_taught(tmp_path: Path) -> None:
    """A method, a function of the notebook, an optimizer: none leaves an untaught model."""
    runs: dict[str, object] = {}
    for way in ("notebook", "dag"):
        folder = tmp_path / way
        path = write(folder, TAUGHT)
        if way == "notebook":
            from nbclient import NotebookClient

            book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            NotebookClient(book, resources={"metadata": {"path": str(folder)}}).execute()
        else:
            (folder / "pyproject.toml").touch()
            target = folder / "report.py"
            target.write_text(text_of(notebook_dag(path), target, dag_id="report"))
            with fresh_home(folder) as home:
                env = {**os.environ, "MLFLOWKIT_HOME": str(home)}
                subprocess.run(
                    [sys.executable, "-m", "mlflowkit", "run", str(target)],
                    cwd=folder,
                    env=env,
                    check=True,
                    timeout=240,
                )
        runs[way] = (folder / "out.txt").read_text()
    assert runs["dag"] == runs["notebook"] == "(6, [1, 2, 3], 3)"
    takes = {t.name: t.inputs for t in notebook_dag(path).tasks}
    assert takes == {
        "model": {},
        "train_section": {"net": "model", "rows": "model", "opt": "model"},
        "tune": {"opt": "train_section", "net": "train_section"},
        "look": {"net": "tune", "rows": "train_section"},
        "save": {"net": "tune", "rows": "train_section", "size": "look"},
    }


def test_what_a_section_sets_for_its_process_and_changes_under_another_name_is_said(
    tmp_path: Path,
) -> None:
    parts = [
        "## One",
        "import random\nimport pandas as pd\nrandom.seed(1)\npd.set_option('display.width', 9)",
        "a = [1]\nb = a\npd.DataFrame({'a': a}).add(1)",
        "## Two",
        "b.append(2)",
        "## Three",
        "print(a)",
    ]
    notes = notebook_dag(write(tmp_path, parts)).notes
    assert [note.split(":")[0] for note in notes] == [
        "section 'Two' may change 'a' under another name",
        "section 'One' sets something of its process (cell 2",
        "section 'One' sets something of its process (cell 2",
    ]
    assert ["random.seed(1)" in notes[1], "pd.set_option(" in notes[2]] == [True, True]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## 2. Load the *data*!", "load_the_data"),
        ("## class", "class_section"),
        ("## fit_model and __dunder__", "fit_model_and_dunder"),
        ("## [Load](https://example.com/a) it", "load_it"),
        ("## ![logo](a.png) Load", "load"),
        ("## <a id='x'></a>Load", "load"),
        ("   ## Load ##", "load"),
        ("Load it\n-------", "load_it"),
        ("<h2 align='left'>Load <b>it</b></h2>", "load_it"),
        ("## 数据", "数据"),
        ("## 🚀", "section"),
        ("## print", "print_section"),
        ("words\n\n---\n\n~~~\n```\n## no\n~~~\n## Load", "load"),
    ],
)
def test_headings_are_those_that_a_notebook_shows(
    tmp_path: Path, heading: str, name: str
) -> None:
    parts = [(heading, "markdown"), "a = len('x')", ("## End", "markdown"), "print(a)"]
    path = write(tmp_path, parts)
    found = notebook_dag(path)
    assert [t.name for t in found.tasks] == [name, "end"]
    target = tmp_path / "p.py"
    target.write_text(text_of(found, target, dag_id="report"))
    assert load_dag(str(target)).task_ids == [name, "end"]


def test_imports_with_a_second_choice_are_shared_and_what_is_deleted_stays(
    tmp_path: Path,
) -> None:
    either = "try:\n    import nowhere_to_be_found as js\n    FAST = True\nexcept ImportError:\n    import json as js\n    FAST = False"
    parts = [
        "## One",
        f"import math\n{either}\na = js.dumps([math.floor(max(1, 2))])\ndel math",
        "## Two",
        "%%time\nmax = max(js.loads(a))\nprint(max, FAST)",
    ]
    found = notebook_dag(write(tmp_path, parts))
    assert (found.notes, [t.inputs for t in found.tasks]) == ((), [{}, {"a": "one"}])
    target = tmp_path / "p.py"
    target.write_text(text_of(found, target, dag_id="report"))
    space: dict[str, object] = {"__name__": "p"}
    exec(target.read_text(), space)
    one, two = (space[name].function for name in ("one", "two"))  # type: ignore[attr-defined]
    assert one() == "[2]"
    assert two("[2]") is None


@pytest.mark.parametrize(
    "code",
    [
        "open(name)",
        "pd.read_csv('data/rows.csv')",
        "pd.read_csv(f'rows-{name}.csv')",
        "glob('*.csv')",
        "os.listdir()",
        "Path.cwd()",
        "read()",
    ],
)
def test_a_section_that_names_files_runs_in_the_notebooks_folder(
    tmp_path: Path, code: str
) -> None:
    parts = [
        "## One",
        "import os\nfrom glob import glob\nfrom pathlib import Path\nimport pandas as pd\n"
        "def read():\n    return pd.read_csv('rows.csv')\nname = len('x')",
        "## Two",
        f"found = {code}\nprint(found)",
        "## Three",
        "print(3 * name)",
    ]
    text = text_of(notebook_dag(write(tmp_path, parts)), tmp_path / "p.py", dag_id="report")
    by_task = dict(zip(("one", "two", "three"), text.split("@task")[1:], strict=True))
    assert [n for n, body in by_task.items() if "os.chdir(FOLDER)" in body] == ["two"]


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
