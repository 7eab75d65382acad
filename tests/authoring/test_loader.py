"""Pipeline files: what is found in them, and what is said when something is wrong."""

from __future__ import annotations

import sys

import pytest

from mlflowkit.authoring.loader import load_dag, load_dags
from mlflowkit.errors import (
    CycleFound,
    DagNotInFile,
    DuplicateDagId,
    NoDagInFile,
    PipelineBroken,
    PipelineMissing,
    RunWhileLoading,
    SeveralDags,
)
from tests.authoring.conftest import Project

HEAD = "from mlflowkit import DAG, dag, task\n"
TWO = HEAD + "with DAG('one'):\n    pass\nwith DAG('two') as second:\n    pass\n"


@pytest.fixture(autouse=True)
def same_path() -> object:
    before = list(sys.path)
    yield None
    sys.path[:] = before


def test_a_file_s_dags_are_found_however_they_were_written(project: Project) -> None:
    text = (
        TWO
        + "@dag\ndef called():\n    pass\ncalled()\n@dag\ndef uncalled(n: int = 1):\n    pass\n"
    )
    path = project.write("pipe.py", text)
    assert [d.dag_id for d in load_dags(path)] == ["one", "two", "called", "uncalled"]
    assert load_dag(f"{path}:two").dag_id == "two"
    assert load_dag(str(path), "one").dag_id == "one"


def test_a_file_is_loaded_anew_each_time_and_finds_modules_beside_it(
    project: Project,
) -> None:
    project.write("beside_it.py", "NAME = 'first'\n")
    path = project.write("pipe.py", HEAD + "import beside_it\nDAG(beside_it.NAME)\n")
    assert load_dag(str(path)).dag_id == "first"
    path.write_text(HEAD + "import beside_it\nDAG('other')\n")
    assert load_dag(str(path)).dag_id == "other"


def test_a_loaded_file_s_tasks_run_in_a_worker_from_its_stored_text(
    project: Project,
) -> None:
    project.write(
        "pipe.py", HEAD + "@task\ndef work():\n    return 7\n@dag\ndef p():\n    work()\n"
    )
    code = (
        "import pathlib\nfrom mlflowkit.authoring.loader import load_dag\n"
        "from mlflowkit.authoring.bundle import make_bundle\n"
        f"print(make_bundle(load_dag('pipe.py'), pathlib.Path({str(project.home)!r})).id)"
    )
    bundle = project.python("-c", code).stdout.strip()
    (project.folder / "pipe.py").unlink()
    assert project.execute(bundle, "work") == 7


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("x = 1\n", NoDagInFile, "defines no DAG. Write one with"),
        (TWO, SeveralDags, "defines several DAGs (one, two). Name one: {path}:one"),
        (HEAD + "DAG('a')\nDAG('a')\n", DuplicateDagId, "two DAGs with the id 'a'"),
        (
            "x = 1\ndef f(:\n",
            PipelineBroken,
            "pipe.py, line 2: invalid syntax (SyntaxError)",
        ),
        (
            "\nimport nothing_like_it\n",
            PipelineBroken,
            "line 2: ModuleNotFoundError: No module",
        ),
        ("def f():\n    return 1 / 0\nf()\n", PipelineBroken, "line 2: ZeroDivisionError"),
        ("raise SystemExit(3)\n", PipelineBroken, "line 1: SystemExit: 3"),
        (
            HEAD + "@dag\ndef p():\n    pass\nd = p()\nd.run()\n",
            RunWhileLoading,
            'was being loaded. Put the call under `if __name__ == "__main__":`',
        ),
        (
            HEAD
            + "@task\ndef f(x=0): return x\nwith DAG('c'):\n    a = f()\n    a >> f(a) >> a\n",
            CycleFound,
            "DAG 'c' has a cycle",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    project: Project, text: str, error: type[Exception], message: str
) -> None:
    path = project.write("pipe.py", text)
    with pytest.raises(error) as caught:
        load_dag(str(path))
    assert message.format(path=path) in str(caught.value)


def test_an_error_shows_the_person_s_frames_only(project: Project) -> None:
    path = project.write("pipe.py", "def f():\n    return 1 / 0\nf()\n")
    with pytest.raises(PipelineBroken) as caught:
        load_dag(str(path))
    shown = [line for line in caught.value.trace.splitlines() if "File" in line]
    assert shown == [
        f'  File "{path}", line 3, in <module>',
        f'  File "{path}", line 2, in f',
    ]


def test_a_missing_file_or_dag_comes_with_a_suggestion(project: Project) -> None:
    path = project.write("pipe.py", TWO)
    with pytest.raises(PipelineMissing, match=r"does not exist.*Did you mean '.*pipe.py'"):
        load_dag(str(project.folder / "pipes.py"))
    with pytest.raises(PipelineMissing, match="is a folder"):
        load_dag(str(project.folder))
    with pytest.raises(DagNotInFile, match=r"has no DAG 'twos'.*Did you mean 'two'"):
        load_dag(f"{path}:twos")


def test_a_worker_that_loads_a_file_that_runs_its_dag_gets_a_clear_error(
    project: Project,
) -> None:
    project.write(
        "pipe.py",
        HEAD + "@task\ndef work():\n    return 7\n@dag\ndef p():\n    work()\nd = p()\n",
    )
    bundle, _ = project.store("from pipe import d\n")
    source = project.home / "bundles" / bundle / "sources"
    for stored in source.glob("*.py"):
        if "def work" in stored.read_text():
            stored.write_text(stored.read_text() + "d.run()\n")
    code = (
        "from mlflowkit.authoring.open_bundle import open_bundle\n"
        f"open_bundle({str(project.home / 'bundles' / bundle)!r}).operator('work')"
    )
    said = project.python("-c", code, check=False).stderr.splitlines()[-1]
    assert said.startswith(
        "mlflowkit.errors.RunWhileLoading: DAG 'p' was run while the bundle of task 'work'"
    )
