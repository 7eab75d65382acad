"""The pytest plugin, in a pytest of its own: fixtures, and pipeline files as tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GOOD = """
from mlflowkit import dag, task

@task
def load() -> int:
    return 1

@dag
def {name}():
    load()
"""
FAILS = "from mlflowkit import dag\nimport mlflowkit_is_not_there\n"
CIRCLE = """
from mlflowkit import DAG, EmptyOperator

dag = DAG("circle")
a, b = (EmptyOperator(task_id=name, dag=dag) for name in "ab")
a >> b >> a
"""
SLOPPY = """
import pandas
from mlflowkit import dag, task

@task
def load() -> int:
    return 1

@dag
def sloppy():
    load()
"""


class Project:
    """A folder with tests and pipelines, and the pytest that is run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = ""

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pytest(self, *arguments: str) -> tuple[int, str]:
        """Its exit status, and what it said."""
        self.write("pytest.ini", f"[pytest]\n{self.ini}")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "mlflowkit.testing_plugin"),
                *("-p", "no:cacheprovider", "-p", "no:kmock", "-q", "-rA"),
                *("--import-mode=importlib", *arguments),
            ],
            cwd=self.folder,
            # What else is installed for pytest has no part in this, and takes long to load.
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


def results(said: str) -> set[str]:
    """`PASSED pipelines/good.py::dags`."""
    words = ("PASSED", "FAILED", "ERROR")
    lines = (line.split(" - ")[0] for line in said.splitlines())
    return {line for line in lines if line.startswith(words)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.write("pipelines/good.py", GOOD.format(name="good"))
    made.write("tests/test_one.py", "def test_one():\n    pass\n")
    return made


# ── pipeline files ──────────────────────────────────────────────────────────


def test_every_pipeline_file_is_a_test_beside_the_others(project: Project) -> None:
    status, said = project.pytest("--mlflowkit-dags", "pipelines")
    assert results(said) == {
        "PASSED pipelines/good.py::dags",
        "PASSED tests/test_one.py::test_one",
    }
    assert status == 0
    assert not (project.folder / ".mlflowkit").exists()


def test_each_kind_of_mistake_fails_its_own_file_and_says_why(project: Project) -> None:
    project.write("pipelines/fails.py", FAILS)
    project.write("pipelines/circle.py", CIRCLE)
    project.write("pipelines/twice.py", GOOD.format(name="good"))
    project.write("pipelines/no_dag.txt", "dag of mlflowkit")
    status, said = project.pytest("--mlflowkit-dags", "pipelines", "pipelines")
    assert results(said) == {
        "PASSED pipelines/good.py::dags",
        "FAILED pipelines/fails.py::dags",
        "FAILED pipelines/circle.py::dags",
        "FAILED pipelines/twice.py::dags",
    }
    assert status == 1
    assert "fails.py:2: ModuleNotFoundError: No module named" in said
    assert "circle" in said
    assert "good.py" in said.split("twice.py::dags")[1]
    assert "testing_plugin.py" not in said


def test_lint_is_one_more_test_of_each_file(project: Project) -> None:
    project.write("pipelines/sloppy.py", SLOPPY)
    status, said = project.pytest("--mlflowkit-dags=pipelines", "--mlflowkit-lint", "tests")
    assert results(said) == {
        "PASSED pipelines/good.py::dags",
        "PASSED pipelines/good.py::lint",
        "PASSED pipelines/sloppy.py::dags",
        "FAILED pipelines/sloppy.py::lint",
        "PASSED tests/test_one.py::test_one",
    }
    assert status == 1
    assert "sloppy.py:2: heavy-import" in said


def test_the_ini_option_counts_unless_single_tests_are_asked_for(project: Project) -> None:
    project.ini = "mlflowkit_dags = pipelines\n"
    both = {"PASSED pipelines/good.py::dags", "PASSED tests/test_one.py::test_one"}
    assert results(project.pytest()[1]) == both
    assert results(project.pytest(".")[1]) == both
    for asked in ("tests", "tests/test_one.py::test_one"):
        found = results(project.pytest(asked)[1])
        assert found == {"PASSED tests/test_one.py::test_one"}


def test_tests_of_files_are_chosen_by_name_like_any_other(project: Project) -> None:
    project.write("pipelines/fails.py", FAILS)
    _, said = project.pytest("--mlflowkit-dags", "pipelines", "-k", "good")
    assert results(said) == {"PASSED pipelines/good.py::dags"}


def test_a_folder_that_is_not_there_is_wrong_use(project: Project) -> None:
    status, said = project.pytest("--mlflowkit-dags", "pipeline")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "is no folder that exists" in said


# ── fixtures ────────────────────────────────────────────────────────────────

FIXTURES = """
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflowkit import DAG, BaseHook, PythonSensor, Variable, dag, task
from mlflowkit.settings import home_path

HOMES = []

@task
def load() -> str:
    return str(BaseHook.get_connection("lake").host) + Variable.get("bucket")

@task
def shout(text: str) -> str:
    return text.upper()

@dag(schedule="@daily", start_date=datetime(2026, 3, 1, tzinfo=UTC))
def made():
    shout(load())

@pytest.fixture
def lake(stub_connections, stub_variables):
    stub_connections(lake="aws://host")
    stub_variables(bucket="pets")

def test_dags_run_with_stubs(dag_runner, lake):
    run = dag_runner.assert_runs(made(), {"load": "success", "shout": "success"})
    assert run.result("shout") == "HOSTPETS"
    assert dag_runner.run_task(made(), "shout", xcoms={"load": "a"}) == "A"

def test_stubs_are_gone(dag_runner):
    assert dag_runner.run(made()).states() == {
        "load": "failed", "shout": "upstream_failed"
    }

@pytest.mark.parametrize("time", [1, 2])
def test_each_test_has_its_own_home(mlflowkit_home, time):
    assert home_path() == mlflowkit_home
    assert Variable.get("seen", default=None) is None
    Variable.set("seen", "yes")

def test_a_month_is_simulated(simulate):
    found = simulate(made(), "2026-03-01", "2026-04-01", outcomes={"load": "failed"})
    assert [run.state for run in found] == ["failed"] * 30

def test_time_stands_still(frozen_time, dag_runner):
    clock = frozen_time("2026-03-01")
    with DAG("waits") as waits:
        PythonSensor(
            task_id="wait", python_callable=lambda: clock.now().day > 3,
            poke_interval=3600 * 12,
        )
    dag_runner.assert_runs(waits, {"wait": "success"})
    assert clock.now() == datetime(2026, 3, 4, tzinfo=UTC)
"""
ENGINE = """
from mlflowkit import dag, task

@task
def load(n: int) -> int:
    return 10 // n

@dag
def made(n: int = 2):
    load(n)

def test_a_dag_runs_in_an_engine_of_its_own(dag_runner):
    good, bad = (dag_runner.submit(made(), {"n": n}) for n in (2, 0))
    assert (good.state, bad.state) == ("success", "failed")
    assert good["load"].result() == 5
    (dag_runner.home.parents[1] / "home.txt").write_text(str(dag_runner.home))
"""


def test_the_fixtures_give_what_they_promise(project: Project) -> None:
    project.write("tests/test_fixtures.py", FIXTURES)
    status, said = project.pytest("tests/test_fixtures.py")
    assert status == 0, said
    assert "6 passed" in said


def test_an_engine_of_a_test_ends_with_its_home(project: Project, tmp_path: Path) -> None:
    project.write("tests/test_engine.py", ENGINE)
    status, said = project.pytest("tests/test_engine.py", f"--basetemp={tmp_path / 'base'}")
    assert status == 0, said
    home = Path((tmp_path / "base" / "home.txt").read_text())
    assert not home.exists()


def test_the_plugin_loads_nothing_of_mlflowkit_before_it_is_used() -> None:
    program = (
        "import sys, mlflowkit.testing_plugin; "
        "print(sorted(m for m in sys.modules if m.startswith('mlflowkit')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['mlflowkit', 'mlflowkit.testing_plugin']"
