"""Folders of pipelines: what is found, what is kept, and what one bad file costs."""

from __future__ import annotations

import json
import os
import py_compile
from datetime import timedelta
from pathlib import Path

import pytest

from mlflowkit.authoring.folder import FolderReport, load_folder
from mlflowkit.authoring.folder_cache import ErrorEntry
from mlflowkit.authoring.folder_files import candidates
from mlflowkit.authoring.loader import load_dags
from mlflowkit.errors import (
    BadIgnoreFile,
    DagCellMagic,
    NotebookInvalid,
    PipelineBroken,
    PipelineMissing,
    RunWhileLoading,
)
from tests.authoring.conftest import Project

HEAD = "from mlflowkit import DAG, dag, task\n"
ONE = HEAD + "@task\ndef work():\n    return 7\n@dag\ndef one():\n    work()\n"


def load(project: Project, *, seconds: float = 120, refresh: bool = False) -> FolderReport:
    return load_folder(
        project.folder / "pipelines",
        project.home,
        timeout=timedelta(seconds=seconds),
        processes=2,
        refresh=refresh,
    )


def found(report: FolderReport) -> dict[str, list[str]]:
    """Files with the ids of their DAGs."""
    return {
        str(Path(entry.path).relative_to(report.folder)): [d.dag_id for d in entry.dags]
        for entry in report.files
    }


def told(error: ErrorEntry) -> tuple[str, int | None, str]:
    return Path(error.where or error.file).name, error.line, error.code


def cell(source: str, *tags: str, kind: str = "code") -> dict[str, object]:
    made = {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}}
    return {**made, "outputs": [], "execution_count": None} if kind == "code" else made


def write_notebook(project: Project, name: str, *cells: dict[str, object]) -> Path:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    content = {"cells": list(cells), "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}
    return project.write(name, json.dumps(content))


# ── what is found ──


def test_several_dags_made_in_a_loop_in_one_file_are_all_found(project: Project) -> None:
    project.write(
        "pipelines/loop.py",
        HEAD
        + "@task\ndef work(n):\n    return n\n"
        + "for region in ('eu', 'us', 'asia'):\n"
        + "    with DAG(f'sales_{region}'):\n        work(region)\n",
    )
    report = load(project)
    assert found(report) == {"loop.py": ["sales_eu", "sales_us", "sales_asia"]}
    assert [d.spec().dag_id for d in report.dags] == ["sales_eu", "sales_us", "sales_asia"]
    assert report.errors == []


def test_what_is_found_is_what_an_engine_takes_and_its_code_runs(project: Project) -> None:
    project.write("pipelines/shared.py", "def seven():\n    return 7\n")
    project.write(
        "pipelines/deep/one.py",
        "from shared import seven\n" + ONE.replace("return 7", "return seven()"),
    )
    (dag,) = load(project).dags
    assert dag.bundle.startswith(f"{project.home}/bundles/")
    assert list(dag.spec().tasks) == ["work"]
    assert dag.spec().tasks["work"].fingerprint != ""  # type: ignore[index]
    assert dag.sys_path == (
        str(project.folder / "pipelines" / "deep"),
        str(project.folder / "pipelines"),
    )
    assert project.execute(Path(dag.bundle).name, "work") == 7


def test_files_that_do_not_speak_of_dags_are_never_run(project: Project) -> None:
    project.write("pipelines/helpers.py", "raise SystemExit('I was run')\n")
    project.write("pipelines/no_dag_in_it.py", "import mlflowkit  # about a dag\n")
    project.write("pipelines/.hidden/one.py", ONE)
    project.write("pipelines/one.py", ONE)
    assert found(load(project)) == {"no_dag_in_it.py": [], "one.py": ["one"]}


def test_ignore_files_have_the_patterns_of_gitignore_in_their_folder_and_below(
    project: Project,
) -> None:
    for name in ("a.py", "draft_a.py", "old/b.py", "sub/draft_b.py", "sub/keep.py"):
        project.write(f"pipelines/{name}", ONE)
    project.write("pipelines/.mlflowkitignore", "# drafts\ndraft_*\nold/\n")
    project.write("pipelines/sub/.mlflowkitignore", "!draft_b.py\n/keep.py\n")
    project.write("pipelines/.airflowignore", "a.py\n")
    folder = project.folder / "pipelines"
    names = [os.path.relpath(c.path, folder) for c in candidates(folder)]
    assert names == ["a.py", "sub/draft_b.py"]
    names = [os.path.relpath(c.path, folder) for c in candidates(folder, airflow=True)]
    assert names == ["sub/draft_b.py"]


def test_a_bad_ignore_file_or_a_missing_folder_is_an_error(project: Project) -> None:
    with pytest.raises(PipelineMissing, match="is no folder that exists"):
        load(project)
    project.write("pipelines/.mlflowkitignore", "a\\\n")
    with pytest.raises(BadIgnoreFile, match="Patterns are those of .gitignore"):
        load(project)


# ── errors ──


def test_one_bad_file_costs_only_itself_whatever_it_does(project: Project) -> None:
    project.write("pipelines/a_syntax.py", HEAD + "def f(:\n")
    project.write("pipelines/b_raises.py", HEAD + "def f():\n    return 1 / 0\nf()\n")
    project.write("pipelines/c_exits.py", HEAD + "import sys\nsys.exit(3)\n")
    project.write("pipelines/d_dies.py", HEAD + "import os\nos._exit(4)\n")
    project.write("pipelines/e_crashes.py", HEAD + "import ctypes\nctypes.string_at(0)\n")
    project.write("pipelines/f_hangs.py", HEAD + "def f():\n    while True: pass\nf()\n")
    project.write("pipelines/g_option.py", HEAD + "\nDAG('x', shedule='@daily')\n")
    project.write("pipelines/h_asks.py", HEAD + "input('what? ')\n")
    project.write(
        "pipelines/i_captures.py",
        HEAD
        + "import threading\nlock = threading.Lock()\n"
        + "with DAG('locked'):\n    task(lambda x: x).override(task_id='t')(lock)\n"
        + "with DAG('free'):\n    pass\n",
    )
    project.write("pipelines/z_good.py", ONE)
    report = load(project, seconds=2)
    assert found(report) == {
        **{f"{n}.py": [] for n in ("a_syntax", "b_raises", "c_exits", "d_dies")},
        **{f"{n}.py": [] for n in ("e_crashes", "f_hangs", "g_option", "h_asks")},
        "i_captures.py": ["free"],
        "z_good.py": ["one"],
    }
    errors = [told(error) for error in report.errors]
    assert errors[:3] == [
        ("a_syntax.py", 2, "pipeline_broken"),
        ("b_raises.py", 3, "pipeline_broken"),
        ("c_exits.py", 3, "pipeline_broken"),
    ]
    assert errors[3] == ("d_dies.py", None, "pipeline_crashed")
    assert errors[4][0::2] in (
        ("e_crashes.py", "pipeline_crashed"),
        ("__init__.py", "pipeline_crashed"),
    )
    assert errors[5:] == [
        ("f_hangs.py", 3, "pipeline_too_slow"),
        ("g_option.py", 3, "unknown_option"),
        ("h_asks.py", 2, "pipeline_broken"),
        ("i_captures.py", 4, "cannot_travel"),
    ]
    assert report.errors[1].error == "ZeroDivisionError: division by zero"
    assert report.errors[3].error == "ended the process that loaded it (exit status 4)"
    assert "SIGSEGV" in report.errors[4].error
    assert "was not loaded within 2 s" in report.errors[5].error
    assert report.errors[8].dag_id == "locked"


def test_a_thread_that_a_file_leaves_behind_costs_no_other_file(project: Project) -> None:
    project.write(
        "pipelines/a.py",
        HEAD + "import os, threading\nthreading.Timer(0.3, os._exit, [5]).start()\n",
    )
    waits = "import threading\nthreading.Event().wait(0.6)\n"
    project.write("pipelines/b.py", ONE + waits)
    report = load_folder(project.folder / "pipelines", project.home, processes=1)
    assert (found(report), report.errors) == ({"a.py": [], "b.py": ["one"]}, [])


def test_of_two_files_with_the_same_dag_the_first_counts_and_both_are_named(
    project: Project,
) -> None:
    first = project.write("pipelines/a.py", ONE)
    second = project.write("pipelines/b.py", ONE + "with DAG('two'):\n    pass\n")
    for _ in range(2):  # loaded, and from the cache
        report = load(project)
        assert found(report) == {"a.py": ["one"], "b.py": ["two"]}
        (error,) = report.errors
        assert (error.file, error.code, error.dag_id) == (
            str(second),
            "dag_id_twice",
            "one",
        )
        assert f"DAG 'one' is also defined in {first}, which counts." in error.error


def test_files_of_the_same_name_do_not_see_each_other_s_modules(project: Project) -> None:
    for folder in ("eu", "us"):
        project.write(f"pipelines/{folder}/where.py", f"REGION = {folder!r}\n")
        project.write(
            f"pipelines/{folder}/p.py",
            HEAD + "import os\nfrom where import REGION\nDAG(REGION)\n"
            "assert 'LEFT' not in os.environ\nos.environ['LEFT'] = '1'\nos.chdir('/')\n",
        )
    report = load_folder(project.folder / "pipelines", project.home, processes=1)
    assert found(report) == {"eu/p.py": ["eu"], "us/p.py": ["us"]}


# ── what is not loaded again ──


def test_only_what_changed_is_loaded_again(project: Project) -> None:
    for n in range(5):
        project.write(f"pipelines/p{n}.py", ONE.replace("def one", f"def dag_{n}"))
    first = load(project)
    assert first.unchanged == 0
    assert load(project).unchanged == 5
    project.write("pipelines/p3.py", ONE.replace("def one", "def renamed"))
    changed = load(project)
    assert changed.unchanged == 4
    assert found(changed)["p3.py"] == ["renamed"]
    (project.folder / "pipelines" / "p0.py").unlink()
    gone = load(project)
    assert (gone.unchanged, "p0.py" in found(gone)) == (4, False)
    assert load(project, refresh=True).unchanged == 0


def test_a_changed_module_is_never_stale_even_within_a_second_and_a_size(
    project: Project,
) -> None:
    project.write("pipelines/names.py", "from deeper import NAME\n")
    project.write("pipelines/deeper.py", "NAME = 'a'\n")
    project.write("pipelines/p.py", HEAD + "from names import NAME\nDAG(NAME)\n")
    project.write("pipelines/other.py", ONE)
    for name in "abcd":
        deeper = project.write("pipelines/deeper.py", f"NAME = '{name}'\n")
        os.utime(deeper, (1e9, 1e9))  # what Python's compiled files go by, besides the size
        assert found(load(project)) == {"other.py": ["one"], "p.py": [name]}
        py_compile.compile(str(deeper))
    assert load(project).unchanged >= 1


def test_a_module_that_only_a_task_imports_counts_too(project: Project) -> None:
    project.write("pipelines/later.py", "VALUE = 1\n")
    project.write(
        "pipelines/p.py",
        ONE.replace("    return 7", "    from later import VALUE\n    return VALUE"),
    )
    before = load(project).dags[0].bundle
    project.write("pipelines/later.py", "VALUE = 2\n")
    after = load(project).dags[0].bundle
    assert before != after
    assert project.execute(Path(after).name, "work") == 2


def test_a_changed_notebook_of_a_task_counts_too(project: Project) -> None:
    write_notebook(project, "pipelines/fit.ipynb", cell("x = 1"))
    text = (
        "from mlflowkit import DAG, notebook\nwith DAG('n'):\n    notebook('fit.ipynb')\n"
    )
    project.write("pipelines/p.py", text)
    before = load(project).dags[0].bundle
    write_notebook(project, "pipelines/fit.ipynb", cell("x = 2"))
    assert load(project).dags[0].bundle != before


def test_a_changed_template_file_counts_too(project: Project) -> None:
    project.write("pipelines/say.sh", "echo one\n")
    text = (
        "from mlflowkit import DAG, BashOperator\n"
        "with DAG('b'):\n    BashOperator('say', bash_command='say.sh')\n"
    )
    project.write("pipelines/p.py", text)
    before = load(project).dags[0].bundle
    assert load(project).unchanged == 1
    project.write("pipelines/say.sh", "echo two\n")
    assert load(project).dags[0].bundle != before


def test_what_does_not_fit_is_an_error_of_the_file_not_of_a_run(project: Project) -> None:
    write_notebook(project, "pipelines/fit.ipynb", cell("lr = 1", "parameters"))
    project.write(
        "pipelines/p.py",
        "from mlflowkit import DAG, notebook\n"
        "with DAG('n'):\n    notebook('fit.ipynb', rl=2)\n",
    )
    (error,) = load(project).errors
    assert (error.code, error.line) == ("unknown_parameter", 3)  # the one that draws it


def test_a_new_module_that_python_would_find_first_counts_too(project: Project) -> None:
    project.write("pipelines/region.py", "NAME = 'far'\n")
    project.write("pipelines/sub/p.py", HEAD + "import region\nDAG(region.NAME)\n")
    assert found(load(project)) == {"sub/p.py": ["far"]}
    project.write("pipelines/sub/region.py", "NAME = 'near'\n")
    assert found(load(project)) == {"sub/p.py": ["near"]}


def test_an_error_is_looked_at_again_each_time_and_a_hang_when_its_file_changes(
    project: Project,
) -> None:
    project.write("pipelines/a.py", HEAD + "import not_there_yet\nDAG('a')\n")
    hanging = project.write("pipelines/b.py", HEAD + "while True: pass\n")
    # Enough for the file before it, also on a busy machine.
    assert [e.code for e in load(project, seconds=3).errors] == [
        "pipeline_broken",
        "pipeline_too_slow",
    ]
    project.write("not_there_yet.py", "")
    project.write("pipelines/not_there_yet.py", "")
    again = load(project)
    assert found(again) == {"a.py": ["a"], "b.py": []}
    assert again.unchanged == 1
    hanging.write_text(HEAD + "DAG('b')\n")
    assert found(load(project)) == {"a.py": ["a"], "b.py": ["b"]}


def test_a_bundle_that_was_removed_is_made_again(project: Project) -> None:
    project.write("pipelines/one.py", ONE)
    bundle = Path(load(project).dags[0].bundle)
    for path in sorted(bundle.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    bundle.rmdir()
    assert Path(load(project).dags[0].bundle).is_dir()


def test_a_cache_that_is_damaged_is_no_cache(project: Project) -> None:
    project.write("pipelines/one.py", ONE)
    load(project)
    (kept,) = (project.home / "cache" / "dags").glob("*.json")
    assert [*json.loads(kept.read_text())] == ["stamp", "files"]
    kept.write_text("{")
    assert found(load(project)) == {"one.py": ["one"]}


# ── notebooks ──


def test_a_notebook_defines_dags_up_to_the_cell_tagged_stop(project: Project) -> None:
    write_notebook(
        project,
        "pipelines/train.ipynb",
        cell("# A pipeline", kind="markdown"),
        cell("%matplotlib inline", "skip"),
        cell(HEAD + "def helper(x):\n    return x * 2\n"),
        cell(
            "@task\ndef work(n):\n    return helper(n)\n@dag\ndef train(n: int = 21):\n    work(n)"
        ),
        cell("train().run()", "stop"),
        cell("raise RuntimeError('not run')"),
    )
    (dag,) = load(project).dags
    assert (dag.dag_id, list(dag.spec().tasks)) == ("train", ["work"])
    assert dag.spec().origin == str(project.folder / "pipelines" / "train.ipynb")
    project.folder.joinpath("pipelines", "train.ipynb").unlink()
    assert project.execute(Path(dag.bundle).name, "work", n=21) == 42


def test_where_cells_are_tagged_dag_only_those_are_run(project: Project) -> None:
    path = write_notebook(
        project,
        "train.ipynb",
        cell("!pip install nothing\nraise RuntimeError"),
        cell(HEAD + "with DAG('tagged'):\n    pass", "dag"),
        cell("x = 1 / 0"),
    )
    assert [d.dag_id for d in load_dags(path)] == ["tagged"]


def test_a_notebook_s_dag_finds_notebooks_beside_it(project: Project) -> None:
    beside = write_notebook(project, "deep/fit.ipynb", cell("x = 1"))
    path = write_notebook(
        project,
        "deep/train.ipynb",
        cell(
            "from mlflowkit import DAG, notebook\nwith DAG('n'):\n    notebook('fit.ipynb')"
        ),
    )
    (dag,) = load_dags(path)
    assert dag.get_task("fit").path == str(beside)  # type: ignore[attr-defined]


def test_a_notebook_that_is_a_task_is_not_run_when_its_folder_is_loaded(
    project: Project,
) -> None:
    write_notebook(
        project,
        "pipelines/fit.ipynb",
        cell("import mlflowkit\nraise RuntimeError('a dag')"),
    )
    assert found(load(project)) == {}


@pytest.mark.parametrize(
    "line", ["%matplotlib inline", "!ls", "files = !ls", "work?", "%%time\nx = 1"]
)
def test_a_cell_with_a_magic_is_named(project: Project, line: str) -> None:
    path = write_notebook(
        project, "p.ipynb", cell(HEAD), cell(f"a = 1\n{line}" if "%%" not in line else line)
    )
    with pytest.raises(DagCellMagic) as caught:
        load_dags(path)
    assert (caught.value.cell, caught.value.text) == (2, line.splitlines()[0])
    assert f"{path}, cell 2, line " in str(caught.value)


def test_an_error_in_a_notebook_names_the_cell_and_the_line(project: Project) -> None:
    broken = write_notebook(project, "a.ipynb", cell(HEAD), cell("x = 1\ny = x / 0"))
    with pytest.raises(PipelineBroken) as caught:
        load_dags(broken)
    assert (caught.value.path, caught.value.line) == (f"{broken}, cell 2", 2)
    assert "y = x / 0" in caught.value.trace
    wrong = write_notebook(project, "b.ipynb", cell("def f(:"))
    with pytest.raises(PipelineBroken, match=r"b.ipynb, cell 1, line 1: invalid syntax"):
        load_dags(wrong)
    no_notebook = project.write("c.ipynb", "{}")
    with pytest.raises(NotebookInvalid, match="is not a notebook that can be run: it"):
        load_dags(no_notebook)


def test_a_run_in_a_notebook_s_cell_says_to_tag_it_stop(project: Project) -> None:
    path = write_notebook(
        project, "p.ipynb", cell(HEAD + "with DAG('d') as d:\n    pass"), cell("d.run()")
    )
    with pytest.raises(RunWhileLoading) as caught:
        load_dags(path)
    assert "cell 2: tag the cell `stop`" in caught.value.__notes__[0]


def test_a_cycle_is_an_error_of_its_file_and_a_home_is_no_place_for_pipelines(
    project: Project,
) -> None:
    write = "from mlflowkit import DAG, BashOperator\nwith DAG('c'):\n"
    a, b = (f"    {n} = BashOperator(task_id='{n}', bash_command='x')\n" for n in "ab")
    project.write("pipelines/round.py", write + a + b + "    a >> b >> a\n")
    project.write("pipelines/kept/store.db", "")
    project.write("pipelines/kept/bundles/1/sources/copy.py", ONE)
    found = load(project)
    (error,) = found.errors
    assert (error.code, error.file) == (
        "cycle",
        str(project.folder / "pipelines" / "round.py"),
    )
    assert (error.where, error.line) == ("", 2)
    assert [file.path for file in found.files] == [
        str(project.folder / "pipelines" / "round.py")
    ]


# ── as a program ──


def test_the_loader_as_a_program_writes_a_line_of_json_for_each_file(
    project: Project,
) -> None:
    project.write("pipelines/bad.py", HEAD + "1 / 0\n")
    project.write("pipelines/one.py", "print('hello')\n" + ONE)
    command = ("-m", "mlflowkit.load_folder", "pipelines", "--home", str(project.home))
    *files, last = map(json.loads, project.python(*command).stdout.splitlines())
    assert [(Path(f["path"]).name, len(f["dags"]), len(f["errors"])) for f in files] == [
        ("bad.py", 0, 1),
        ("one.py", 1, 0),
    ]
    assert files[1]["dags"][0]["spec"]["dag_id"] == "one"
    assert last == {
        "folder": str(project.folder / "pipelines"),
        "home": str(project.home),
        "files": 2,
        "unchanged": 0,
    }
    missing = project.python("-m", "mlflowkit.load_folder", "no", check=False)
    assert (missing.returncode, missing.stdout) == (2, "")
