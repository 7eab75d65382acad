"""A DAG starts another one of the same file: nobody has to publish it first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mlflowkit.authoring.loader import load_dag
from tests.engine.conftest import World, home, world

__all__ = ["home", "world"]

FILE = """
from mlflowkit import DAG, dag, task
from mlflowkit.operators import TriggerDagRunOperator

with DAG("parent") as parent:
    TriggerDagRunOperator(
        task_id="start", trigger_dag_id="child", conf={"n": 21},
        wait_for_completion=True, poke_interval=0.1,
    )

@task
def double(n: int) -> int:
    print("doubled:", 2 * n)
    return 2 * n

@dag
def child(n: int = 1):
    double(n)
    TriggerDagRunOperator(task_id="next", trigger_dag_id="grandchild")

@dag
def grandchild():
    double(4)
"""


def pipeline(folder: Path) -> str:
    file = folder / "family.py"
    file.write_text(FILE)
    return f"{file}:parent"


def test_the_child_and_its_child_run_with_the_code_of_the_file(
    world: World, tmp_path: Path
) -> None:
    run = world.run(load_dag(pipeline(tmp_path)))
    assert run.view().as_states() == {"start": "success"}
    from mlflowkit.handles.run import RunHandle

    child = RunHandle("child/1", world.home)
    assert child.view().as_states() == {"double": "success", "next": "success"}
    assert child["double"].result() == 42
    world.until(lambda: RunHandle("grandchild/1", world.home).view().ended)
    assert RunHandle("grandchild/1", world.home)["double"].result() == 8


def test_in_a_test_run_the_child_runs_in_the_same_process(tmp_path: Path) -> None:
    run = load_dag(pipeline(tmp_path)).test()
    assert run.states() == {"start": "success"}
    child = run.started["child/test-1"]
    assert child.result("double") == 42
    assert [one.state for one in child.started.values()] == ["success"]


def test_from_the_command_line_a_run_is_over_when_the_children_are(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlflowkit", "run", pipeline(tmp_path), "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "success"
