"""`mlflowkit export airflow`: the same pipeline in Airflow's words, to the letter."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from mlflowkit.authoring.airflow_export import export_airflow
from tests.cli.terminal import Answer, Terminal

ROOT = Path(__file__).parent.parent.parent

SALES = '''\
"""Sales by region."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mlflowkit import BashOperator, TaskSkipped, chain, dag, task

FACTOR = 3  # a name that tasks use


@task(retries=2, retry_delay=timedelta(minutes=1), isolate=True, execution_timeout=60)
def load(region: str, n: int, ds: str = "") -> list[int]:
    # a comment stays
    if not region:
        raise TaskSkipped("no region")
    return list(range(n * FACTOR))


@task
def double(x: int) -> int:
    return x * 2


@task
def total(values: list[int]) -> int:
    return sum(values)


@dag(
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Athens")),
    dagrun_timeout=3600,
    default_args={"retries": 1},
    tags=["sales"],
)
def sales(region: str = "eu", n: int = 3):
    """Every night."""
    rows = load(region, n)
    done = total(double.expand(x=rows))
    say = BashOperator("say", bash_command="echo {{ ds }} {{ params.region }}")
    chain(done, say)


if __name__ == "__main__":
    sales().run()
'''
SALES_THERE = '''\
# Exported from sales.py by mlflowkit.
# Needs apache-airflow-providers-standard, apache-airflow>=3.
"""Sales by region."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.exceptions import AirflowSkipException as TaskSkipped
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import chain, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable

FACTOR = 3  # a name that tasks use


@task(retries=2, retry_delay=timedelta(minutes=1), execution_timeout=timedelta(seconds=60))
def load(region: str, n: int, ds: str = "") -> list[int]:
    # a comment stays
    if not region:
        raise TaskSkipped("no region")
    return list(range(n * FACTOR))


@task
def double(x: int) -> int:
    return x * 2


@task
def total(values: list[int]) -> int:
    return sum(values)


@dag(
    schedule=CronDataIntervalTimetable("30 2 * * *", timezone="Europe/Athens"),
    start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Athens")),
    dagrun_timeout=timedelta(seconds=3600),
    default_args={"retries": 1},
    tags=["sales"],
)
def sales(region: str = "eu", n: int = 3):
    """Every night."""
    rows = load(region, n)
    done = total(double.expand(x=rows))
    say = BashOperator(task_id="say", bash_command="echo {{ ds }} {{ params.region }}")
    chain(done, say)


sales()
'''
NOTEBOOKS = """\
from mlflowkit import DAG, notebook, task


@task
def rates():
    return [0.1, 0.2]


with DAG("fits", schedule=None):
    first = notebook("nb/fit.ipynb", lr=0.5, retries=1)
    several = notebook.partial("nb/fit.ipynb", task_id="each").expand(lr=[1, 2])
    mapped = notebook.partial("nb/fit.ipynb", task_id="more", n=1).expand(lr=rates())
    first >> [several, mapped]
"""
NOTEBOOKS_THERE = """\
# Exported from fits.py by mlflowkit.
# Needs apache-airflow-providers-papermill, apache-airflow>=3.
from airflow.sdk import DAG, task
from airflow.providers.papermill.operators.papermill import PapermillOperator
from pathlib import Path

_HERE = Path(__file__).parent  # the notebooks lie beside this file
_EXECUTED = "/tmp"  # where executed notebooks go


@task
def rates():
    return [0.1, 0.2]


with DAG("fits", schedule=None):
    first = PapermillOperator(
        task_id="fit",
        input_nb=str(_HERE / "nb/fit.ipynb"),
        output_nb=_EXECUTED + "/fit-{{ run_id }}.ipynb",
        retries=1,
        parameters={"lr": 0.5},
    ).output
    several = PapermillOperator.partial(
        task_id="each",
        input_nb=str(_HERE / "nb/fit.ipynb"),
        output_nb=_EXECUTED + "/fit-{{ run_id }}-{{ ti.map_index }}.ipynb",
    ).expand(parameters=[{"lr": lr} for lr in [1, 2]]).output
    mapped = PapermillOperator.partial(
        task_id="more",
        input_nb=str(_HERE / "nb/fit.ipynb"),
        output_nb=_EXECUTED + "/fit-{{ run_id }}-{{ ti.map_index }}.ipynb",
    ).expand(parameters=rates().map(lambda lr: {"n": 1, "lr": lr})).output
    first >> [several, mapped]
"""


def export(terminal: Terminal, text: str, name: str, *more: str) -> Answer:
    terminal.pipeline(text, name)
    return terminal("export", "airflow", name, *more)


def notebook_file(
    terminal: Terminal, name: str, *sources: str, parameters: str = ""
) -> None:
    cells = [{"cell_type": "code", "source": s, "metadata": {}} for s in sources]
    if parameters:
        tagged = {"tags": ["parameters"]}
        cells.insert(0, {"cell_type": "code", "source": parameters, "metadata": tagged})
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (terminal.folder / name).parent.mkdir(exist_ok=True)
    (terminal.folder / name).write_text(json.dumps(content))


def test_a_pipeline_is_the_same_text_with_airflow_s_names(terminal: Terminal) -> None:
    answer = export(terminal, SALES, "sales.py")
    ast.parse(answer.out)
    assert (answer.status, answer.err, answer.out) == (0, "", SALES_THERE)
    assert terminal("export", "airflow", "sales.py").out == SALES_THERE


def test_it_is_written_where_it_is_asked_to_be(terminal: Terminal) -> None:
    answer = export(terminal, SALES, "sales.py", "-o", "out.py")
    assert (answer.status, answer.out, answer.err) == (0, "", "wrote out.py\n")
    assert (terminal.folder / "out.py").read_text() == SALES_THERE


def test_notebooks_run_by_papermill(terminal: Terminal) -> None:
    notebook_file(terminal, "nb/fit.ipynb", parameters="lr = 1.0\nn = 0")
    answer = export(terminal, NOTEBOOKS, "fits.py")
    ast.parse(answer.out)
    assert (answer.status, answer.err, answer.out) == (0, "", NOTEBOOKS_THERE)


def test_what_has_no_equivalent_is_a_comment_and_a_status(terminal: Terminal) -> None:
    notebook_file(terminal, "fit.ipynb", "score = 1")
    text = (
        "from mlflowkit import dag, notebook, report_progress, task\n"
        "@task\ndef f(x):\n    report_progress(message='a')\n"
        "@dag\ndef p(n: int):\n    f(notebook('fit.ipynb', returns=['score'])['score'])\n"
    )
    answer = export(terminal, text, "p.py")
    problems = [
        "line 1: report_progress of mlflowkit has no equivalent in Airflow",
        "line 7: papermill returns no values: ['score'] of fit.ipynb (let it write files)",
        "line 6: parameter n has no default, which Airflow needs",
    ]
    assert answer.status == 1
    assert answer.err.splitlines() == [f"not exported: {one}" for one in problems]
    ast.parse(answer.out)
    head = answer.out.splitlines()
    assert head[head.index("# Not exported:") + 1 :][:3] == [
        f"#   {one}" for one in problems
    ]
    partly = terminal("export", "airflow", "p.py", "--partial")
    assert (partly.status, partly.out) == (0, answer.out)


@pytest.mark.parametrize(
    ("schedule", "there"),
    [
        ("'@daily'", "CronDataIntervalTimetable('@daily', timezone=\"UTC\")"),
        ("timedelta(hours=6)", "DeltaDataIntervalTimetable(timedelta(hours=6))"),
        ("'@once'", "'@once'"),
        ("None", "None"),
        ("EVERY", 'CronDataIntervalTimetable(EVERY, timezone="UTC")'),
    ],
)
def test_a_schedule_by_time_keeps_its_data_intervals(
    terminal: Terminal, schedule: str, there: str
) -> None:
    text = (
        "from datetime import UTC, datetime, timedelta\nfrom mlflowkit import DAG\n"
        "EVERY = '0 5 * * *'\n"
        f"DAG('a', schedule_interval={schedule}, start_date=datetime(2026, 1, 1, tzinfo=UTC))\n"
    )
    answer = export(terminal, text, "a.py")
    assert answer.status == 0, answer.err
    assert f"DAG('a', schedule={there}, start_date=" in answer.out


def test_one_dag_of_several_is_exported_alone(terminal: Terminal) -> None:
    text = (
        "from mlflowkit import DAG, dag, task\n\n@task\ndef f():\n    return 1\n\n\n"
        "@dag\ndef one():\n    f()\n\n\n@dag\ndef two():\n    f()\n\n\n"
        "with DAG('three'):\n    f()\n\none()\ntwo()\n"
    )
    terminal.pipeline(text, "several.py")
    two = terminal("export", "airflow", "several.py:two")
    assert two.out.split("\n", 2)[2] == (
        "from airflow.sdk import DAG, dag, task\n\n@task\ndef f():\n    return 1\n\n\n\n\n"
        "@dag\ndef two():\n    f()\n\n\n\ntwo()\n"
    )
    every = terminal("export", "airflow", "several.py").out
    assert [w for w in ("one()", "two()", "'three'") if w in every] == [
        "one()",
        "two()",
        "'three'",
    ]


OPERATORS = """\
from mlflowkit import TaskGroup, TriggerRule, dag, task
from mlflowkit.operators import (
    BranchPythonOperator,
    ExternalTaskSensor,
    KubernetesPodOperator,
    LocalFilesystemToS3Operator,
    S3KeySensor,
    SQLExecuteQueryOperator,
)
from mlflowkit.timetables import EventsTimetable


@task.branch
def choose():
    return "more.ask"


@task(trigger_rule=TriggerRule.NONE_FAILED, cache=True)
def end():
    from mlflowkit.hooks.s3 import S3Hook

    S3Hook("aws").load_string("x", "key", "bucket")


@dag(schedule=EventsTimetable([]), timezone="Europe/Athens")
def wide():
    with TaskGroup("more") as more:
        SQLExecuteQueryOperator("ask", sql="SELECT 1", conn_id="db")
        KubernetesPodOperator.partial("pods", image="busybox").expand(cmds=[["a"], ["b"]])
    choose() >> more >> end.override(isolate=True)()


wide()
"""
OPERATORS_THERE = """\
# Exported from wide.py by mlflowkit.
# Needs apache-airflow-providers-amazon, apache-airflow-providers-cncf-kubernetes, \
apache-airflow-providers-common-sql, apache-airflow-providers-standard, apache-airflow>=3.
#
# Not exported:
#   line 18: cache=: Airflow keeps no results by code and inputs
from airflow.sdk import TaskGroup, TriggerRule, dag, task
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.amazon.aws.transfers.local_to_s3 import LocalFilesystemToS3Operator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.timetables.events import EventsTimetable


@task.branch
def choose():
    return "more.ask"


@task(trigger_rule=TriggerRule.NONE_FAILED)
def end():
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    S3Hook("aws").load_string("x", "key", "bucket")


@dag(schedule=EventsTimetable([]))
def wide():
    with TaskGroup("more") as more:
        SQLExecuteQueryOperator(task_id="ask", sql="SELECT 1", conn_id="db")
        KubernetesPodOperator.partial(task_id="pods", image="busybox").expand(cmds=[["a"], ["b"]])
    choose() >> more >> end.override()()


wide()
"""


def test_operators_groups_and_branches_have_airflow_s_import_paths(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(OPERATORS)
    done = export_airflow(tmp_path / "wide.py", [], None)
    ast.parse(done.text)
    assert done.text == OPERATORS_THERE
    assert done.problems == ["line 18: cache=: Airflow keeps no results by code and inputs"]


def test_a_notebook_s_cells_become_a_file(terminal: Terminal) -> None:
    notebook_file(
        terminal,
        "p.ipynb",
        "from mlflowkit import dag, task",
        "@task(cache=True)\ndef f():\n    return 1",
        "@dag\ndef p():\n    f()",
    )
    answer = terminal("export", "airflow", "p.ipynb")
    assert answer.err == (
        "not exported: cell 2, line 1: cache=: Airflow keeps no results by code and inputs\n"
    )
    assert answer.out.endswith("@dag\ndef p():\n    f()\n\n\np()\n")


def test_the_tutorial_pipeline_is_exported_with_what_it_lacks_named(
    terminal: Terminal,
) -> None:
    answer = terminal("export", "airflow", str(ROOT / "pipelines" / "train_and_deploy.py"))
    ast.parse(answer.out)
    assert answer.status == 1
    assert [line.split(": ")[2] for line in answer.err.splitlines()] == [
        "papermill returns no values",
        "papermill returns no values",
    ]
    assert "from mlflowkit import" not in answer.out
