"""The same files by `mlflowkit run --airflow` in real processes: workers load them anew."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflowkit.demo.s3_server import S3Server
from tests.cli.terminal import Terminal
from tests.compat.running import DAGS
from tests.kubernetes_server import FakeKubernetes, kubeconfig, serving, succeeds
from tests.s3 import s3_server  # noqa: F401 - a fixture

OK, FAILED, SKIPPED = "success", "failed", "skipped"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


def _once(*names: str, state: str = OK) -> dict[str, str]:
    return {f"{name}[-1]": state for name in names}


def test_a_classic_pipeline_runs_in_workers(terminal: Terminal) -> None:
    answer = terminal("run", "--airflow", str(DAGS / "etl_classic_2.py"), "--json")
    assert answer.json() == {
        "dag_id": "etl_classic",
        "run_id": "etl_classic/1",
        "state": OK,
        "tasks": _once("start", "extract", "transform", "load", "report"),
    }, answer.err


def test_one_dag_of_a_file_made_in_a_loop_is_chosen_by_name(terminal: Terminal) -> None:
    where = f"{DAGS / 'loop_2.py'}:customer_3"
    answer = terminal("run", "--airflow", where, "--json")
    tasks = _once("hello", "step_0", "step_1", "step_2")
    assert (answer.status, answer.json()["tasks"]) == (0, tasks), answer.err


def test_modules_of_the_dags_folder_and_variables_travel_to_workers(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_MISSING_ONE", "no longer")
    file = DAGS / "helpers_project" / "dags" / "team_a" / "local_imports_2.py"
    answer = terminal("run", "--airflow", str(file), "--json")
    tasks = {**_once("cleaned"), **_once("empty", state=SKIPPED)}
    assert (answer.status, answer.json()["tasks"]) == (0, tasks), answer.err


def test_retries_are_counted_as_in_airflow(terminal: Terminal) -> None:
    answer = terminal("run", "--airflow", str(DAGS / "retries_2.py"), "--json")
    tasks = {**_once("third_time_lucky", "sum_up"), **_once("never", state=FAILED)}
    # What decides about the run is the last task alone, and that one succeeded.
    assert (answer.status, answer.json()["state"], answer.json()["tasks"]) == (0, OK, tasks)


def test_a_task_starts_a_run_of_another_dag_of_its_file(terminal: Terminal) -> None:
    answer = terminal("run", "--airflow", f"{DAGS / 'trigger_2.py'}:parent", "--json")
    assert (answer.status, answer.json()["tasks"]) == (0, _once("trigger", "after"))
    told = terminal("runs", "list", "child", "--json").json()
    assert [one["state"] for one in told] == [OK]


def test_a_timetable_and_moments_of_a_file_work_in_workers(terminal: Terminal) -> None:
    answer = terminal("run", "--airflow", str(DAGS / "timetable_3.py"), "--json")
    assert (answer.status, answer.json()["tasks"]) == (0, _once("run_this", "length"))
    answer = terminal("run", "--airflow", str(DAGS / "pendulum_2.py"), "--json")
    assert (answer.status, answer.json()["tasks"]) == (0, _once("days")), answer.err


def test_mapped_tasks_and_pulls_by_index_work_in_workers(terminal: Terminal) -> None:
    answer = terminal("run", "--airflow", str(DAGS / "mapping_2.py"), "--json")
    found = answer.json()["tasks"]
    assert answer.status == 0, answer.err
    assert [found[f"shout[{i}]"] for i in range(3)] == [OK, SKIPPED, OK]
    assert (found["pick[-1]"], found["none_at_all[-1]"]) == (OK, SKIPPED)


def test_a_retry_loads_the_file_as_one_for_airflow_again(terminal: Terminal) -> None:
    terminal.pipeline(
        "from datetime import datetime\n"
        "from pathlib import Path\n"
        "from airflow.decorators import dag, task\n"
        "@dag(schedule=None, start_date=datetime(2025, 1, 1))\n"
        "def again():\n"
        "    @task\n"
        "    def look():\n"
        f"        assert Path({str(terminal.folder / 'flag')!r}).exists()\n"
        "    look()\n"
        "again()\n"
    )
    assert terminal("run", "--airflow", "p.py", "--json").status == 1
    (terminal.folder / "flag").touch()
    answer = terminal("runs", "retry", "again/1", "--json")
    assert (answer.status, answer.json()["tasks"]) == (0, _once("look")), answer.err


def test_the_article_s_pipeline_reads_and_writes_s3_and_runs_a_pod(
    terminal: Terminal,
    s3_server: S3Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    s3_server.create_bucket("mybucket")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3_server.connection_uri)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("MODEL_FILE", str(tmp_path / "trained_model.pt"))
    fake = FakeKubernetes(succeeds("serving"))
    with serving(fake) as url:
        monkeypatch.setenv("KUBE_FILE", str(kubeconfig(tmp_path, url)))
        answer = terminal("run", "--airflow", str(DAGS / "article_2.py"), "--json")
    names = ("read_images", "preprocess", "fit_model", "upload_model", "copy_model")
    assert answer.json()["tasks"] == _once(*names, "deploy_model"), answer.err
    assert answer.status == 0
    (pod,) = fake.created
    assert pod["spec"]["containers"][0]["command"] == ["python", "deploy.py"]


def test_what_is_missing_is_wrong_use_and_says_so(terminal: Terminal) -> None:
    terminal.pipeline(
        "from airflow import DAG\nfrom airflow.providers.snowflake.hooks.x import Y\n"
    )
    answer = terminal("run", "--airflow", "p.py", "--json")
    where = terminal.folder / "p.py"
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith(
        f"mlflowkit: {where}, line 2: airflow.providers.snowflake is not here: "
    )


def test_the_other_commands_know_such_files_too(terminal: Terminal) -> None:
    file = str(DAGS / "loop_2.py")
    listed = terminal("dags", "list", "--airflow", file, "--json").json()
    assert [one["dag_id"] for one in listed] == ["customer_1", "customer_2", "customer_3"]
    shown = terminal("dags", "show", "--airflow", f"{file}:customer_1").out
    assert "hello" in shown
    answer = terminal("test", "--airflow", f"{file}:customer_1", "--json")
    assert answer.json()["tasks"] == _once("hello", "step_0")


def test_a_folder_of_files_for_airflow_and_of_ours_is_listed(terminal: Terminal) -> None:
    folder = terminal.folder / "dags"
    folder.mkdir()
    for name in ("groups_2.py", "bash_3.py"):
        shutil.copy(DAGS / name, folder)
    (folder / "ours.py").write_text(
        "from mlflowkit import DAG\nwith DAG('ours'):\n    pass\n"
    )
    (folder / "broken.py").write_text(
        "from airflow import DAG\nfrom airflow.providers.snowflake import x\n"
    )
    answer = terminal("dags", "list", "--airflow", str(folder), "--json").json()
    assert sorted(one["dag_id"] for one in answer["dags"]) == ["bash", "groups", "ours"]
    (error,) = answer["errors"]
    assert (error["code"], error["line"]) == ("airflow_feature_missing", 2)
    plain = terminal("dags", "list", str(folder), "--json").json()
    assert [one["dag_id"] for one in plain["dags"]] == ["ours"]


def test_a_dag_of_cells_that_import_airflow_runs_in_workers(terminal: Terminal) -> None:
    (terminal.folder / "cells.py").write_text(
        "from mlflowkit.compat.airflow import load_ipython_extension\n"
        "load_ipython_extension(None)\n"
        "import airflow\n"
        "from airflow.models import BaseOperator\n"
        "from airflow.sdk import DAG, task\n"
        "class Doubles(BaseOperator):\n"
        "    template_fields = ('n',)\n"
        "    def __init__(self, n, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.n = n\n"
        "    def execute(self, context):\n"
        "        from airflow.utils.helpers import exactly_one\n"
        "        assert exactly_one(True, False)\n"
        "        return int(self.n) * 2\n"
        "with DAG('cells', schedule='@daily') as d:\n"
        "    @task\n"
        "    def skips(n):\n"
        "        raise airflow.exceptions.AirflowSkipException(str(n))\n"
        "    skips(Doubles(task_id='doubles', n='{{ 1 + 2 }}').output)\n"
        "if __name__ == '__main__':\n"
        "    run = d.run(wait=True)\n"
        "    print(run['doubles'].result(), d.compat)\n"
    )
    done = subprocess.run(
        [sys.executable, "cells.py"],
        cwd=terminal.folder,
        env=terminal.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "6 {'airflow': 3}", done.stderr
    shown = terminal("runs", "show", "cells/1", "--json").json()
    assert shown["tasks"] == {**_once("doubles"), **_once("skips", state=SKIPPED)}
