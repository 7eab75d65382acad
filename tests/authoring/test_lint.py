"""Lint rules: each finds what it is for, and leaves alone what only looks like it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlflowkit.authoring.lint import lint
from mlflowkit.authoring.lint_dags import about_dag, asset_circles
from mlflowkit.authoring.lint_rules import RULES
from mlflowkit.core.spec import DagId, DagSpec, TaskId, TaskSpec
from mlflowkit.errors import PipelineMissing, UnknownRule
from tests.authoring.conftest import Project

ROOT = Path(__file__).parent.parent.parent
HEAD = "from datetime import datetime, UTC\nfrom mlflowkit import DAG, dag, task\n"
DAILY = '@dag(schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC))\n'
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def found(project: Project, text: str) -> list[tuple[str, int]]:
    """The rules that find something in a file, with the line below HEAD."""
    path = project.write("p.py", HEAD + text)
    return [(one.rule, max(one.line - 2, 0)) for one in lint(path, project.home)]


def in_a_task(body: str, *, parameters: str = "", dag: str = DAILY) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"@task\ndef work({parameters}):\n{lines}{dag}def p():\n    work()\n"


BAD = {
    "heavy-import": [
        ("import json\nimport pandas as pd\ndag(lambda: None)\n", 2),
        ("try:\n    from torch import nn\nexcept ImportError:\n    nn = None\n", 2),
        ("@dag\ndef p():\n    import numpy.linalg\n", 3),
        ("def rows():\n    import polars\nrows()\n", 2),
    ],
    "top-level-io": [
        ("import requests\nREGIONS = requests.get('http://127.0.0.1:1').json()\n", 2),
        ("import subprocess\nsubprocess.run(['true'])\n", 2),
        ("from time import sleep\n@dag\ndef p():\n    sleep(0.01)\n", 4),
        (
            "import sqlite3\ndef rows():\n    return sqlite3.connect(':memory:')\nX = rows()\n",
            3,
        ),
        ("from nothing import S3Hook\nhook = S3Hook('a')\nKEYS = hook.list_keys()\n", 3),
        ("import boto3\nKEYS = boto3.client('s3').list_buckets()\n", 2),
    ],
    "top-level-variable": [
        ("from mlflowkit import Variable\nX = Variable.get('region')\n", 2),
        ("from airflow.hooks.base import BaseHook\nX = BaseHook.get_connection('a')\n", 2),
    ],
    "top-level-loop": [
        ("total = 0\nfor n in range(1_000_000):\n    total += n\n", 2),
        ("squares = [n * n for n in range(0, 300_000)]\n", 1),
    ],
    "dynamic-start-date": [
        ("with DAG('a', start_date=datetime.now(UTC)):\n    pass\n", 1),
        ("START = datetime.now(UTC)\n@dag(start_date=START)\ndef p():\n    pass\n", 2),
        (
            "import datetime as dt\nargs = {'start_date': dt.datetime.now(UTC)"
            " - dt.timedelta(days=1)}\nDAG('a', default_args=args)\n",
            2,
        ),
    ],
    "no-start-date": [
        ("@dag(schedule='@daily')\ndef p():\n    pass\n", 1),
        ("\nwith DAG('a', schedule='0 5 * * *'):\n    pass\n", 2),
        ("from datetime import timedelta\nDAG('a', schedule=timedelta(hours=6))\n", 2),
    ],
    "endless-catchup": [
        (
            "DAG('a', schedule='@hourly', catchup=True,"
            " start_date=datetime(2020, 1, 1, tzinfo=UTC))\n",
            1,
        ),
        (
            "\nDAG('a', schedule='0 6 * * *', catchup=True,"
            " start_date=datetime(2015, 1, 1, tzinfo=UTC))\n",
            2,
        ),
    ],
    "fixed-output": [
        (in_a_task("open('/data/out.txt', 'w').write('x')"), 3),
        (in_a_task("import numpy as np\nnp.save('/data/out.npy', [1])"), 4),
        ("OUT = 'out.csv'\n" + in_a_task("frame.to_csv(OUT)", parameters="frame=None"), 4),
        (in_a_task("from pathlib import Path\nPath('out.txt').write_text('x')"), 4),
    ],
    "retries-not-idempotent": [
        ("@task(idempotent=False, retries=2)\ndef pay():\n    pass\n", 1),
        ("N = 3\n@task(retries=N, idempotent=False)\ndef pay():\n    pass\n", 2),
    ],
    "secret-in-code": [
        ("URL = 'postgresql://app:hunter22@db.example.com/prod'\n", 1),
        ("connect = dict\ndb = connect(\n    password='s3cr3t-Val')\n", 3),
        ("KEY = 'AKIAIOSFODNN7EXAMPLE'\n", 1),
        ("options = {'aws_secret_access_key': 'wJalrXUtnFEMIK7MDENG'}\n", 1),
    ],
    "unused-param": [
        ("@dag\ndef p(n: int = 1, m: int = 2):\n    task(lambda x: x)(n)\n", 2),
        ("@dag\ndef p(*, unused: str = 'a'):\n    pass\n", 2),
    ],
    "deprecated-name": [
        (DAILY.replace("schedule=", "schedule_interval=") + "def p():\n    pass\n", 1),
        ("QUERY = 'SELECT {{ execution_date }}'\n", 1),
        ("@task\ndef f(prev_execution_date=None):\n    pass\n", 2),
        ("from airflow.operators.dummy import DummyOperator\nx = DummyOperator('a')\n", 2),
    ],
    "too-many-tasks": [
        (
            "@task\ndef f():\n    pass\n@dag\ndef p():\n    for n in range(201):\n        f()\n",
            4,
        ),
        (
            "\nwith DAG('a'):\n    a = task(lambda x: x).override(task_id='t')\n"
            "    last = 0\n    for _ in range(250):\n        last = a(last)\n",
            2,
        ),
    ],
    "long-task": [
        ("@task\ndef f():\n" + "    x = 1\n" * 160, 2),
        ("@task(retries=1)\ndef f():\n" + "    print('a')\n" * 150, 2),
    ],
    "lone-task": [
        (
            "@task\ndef f(x=0):\n    return x\n@dag\ndef p():\n    f(f())\n    f()\n",
            4,
        ),
        (
            "@task\ndef f():\n    return 0\nwith DAG('p'):\n    f() >> f()\n    f()\n",
            4,
        ),
    ],
    "not-loaded": [("\n1 / 0\n", 2), ("DAG('a', shedule=None)\n", 1)],
    "slow-load": [
        ("import threading\nthreading.Event().wait(1.2)\n", 0),
        ("from threading import Event\nif Event().wait(1.2):\n    pass\n", 0),
    ],
}

GOOD = {
    "heavy-import": [
        in_a_task("import pandas\nreturn 1"),
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n",
        "if __name__ == '__main__':\n    import numpy\n",
        "def later():\n    import numpy\n",
    ],
    "top-level-io": [
        in_a_task("import requests\nreturn requests.get('http://x')"),
        "def rows():\n    import sqlite3\n    return sqlite3.connect('x')\n",
        "import os\nHOME = os.environ.get('HOME')\nLIST = dict(a=1).get('a')\n",
        "if __name__ == '__main__':\n    import time\n    time.sleep(1)\n",
        "later = lambda: __import__('time').sleep(9)\n",
    ],
    "top-level-variable": [
        in_a_task("from mlflowkit import Variable\nreturn Variable.get('region')"),
        "class Variable:\n    get = dict\nVariable.get(a=1)\n",
    ],
    "top-level-loop": [
        "for n in range(1000):\n    pass\n",
        in_a_task("return [n for n in range(10_000_000)]"),
    ],
    "dynamic-start-date": [
        in_a_task("return datetime.now(UTC)"),
        "NOW = datetime.now(UTC)\n" + DAILY + "def p():\n    pass\n",
    ],
    "no-start-date": [
        "@dag\ndef p():\n    pass\n",
        DAILY + "def p():\n    pass\n",
        "DAG('a', schedule=None)\n",
        "from mlflowkit.authoring.assets import Asset\nDAG('a', schedule=[Asset('s3://b/x')])\n",
        "DAG('a', schedule='@daily', default_args={'start_date': datetime(2026, 1, 1)})\n",
    ],
    "endless-catchup": [
        "DAG('a', schedule='@hourly', start_date=datetime(2020, 1, 1, tzinfo=UTC))\n",
        "DAG('a', schedule='@yearly', catchup=True,"
        " start_date=datetime(2000, 1, 1, tzinfo=UTC))\n",
    ],
    "fixed-output": [
        in_a_task("open(f'/data/{ds}.txt', 'w')", parameters="ds=None"),
        in_a_task("open('/data/in.txt').read()"),
        in_a_task("open('/data/out.txt', 'w')", dag="@dag\n"),
        in_a_task("open('/data/out.txt', 'w')", parameters="**context"),
        in_a_task("frame.to_csv(target)", parameters="frame=None, target=''"),
        in_a_task("frame.to_json()", parameters="frame=None"),
    ],
    "retries-not-idempotent": [
        "@task(idempotent=False, retries=0)\ndef pay():\n    pass\n",
        "@task(idempotent=True, retries=2)\ndef pay():\n    pass\n",
        "@task(idempotent=False)\ndef pay():\n    pass\n",
    ],
    "secret-in-code": [
        "URL = 'postgresql://app:{{ conn.db.password }}@db/prod'\n",
        "import os\ndict(password=os.environ.get('PASSWORD'))\n",
        "URL = f'postgresql://app:{1}@db'\nEMPTY = {'password': ''}\n",
        "URL = 'https://example.com:8080/a@b'\nMAIL = 'mailto:someone@example.com'\n",
        "dict(password='<your password>', token='secret:db')\n",
    ],
    "unused-param": [
        "@dag\ndef p(n: int = 1):\n    task(lambda x: x)(n)\n",
        "from mlflowkit import BashOperator\n@dag\ndef p(n: int = 1):\n"
        "    BashOperator('t', bash_command='echo {{ params.n }}')\n",
        "@task\ndef f(params=None):\n    return params\n@dag\ndef p(n: int = 1):\n    f()\n",
    ],
    "deprecated-name": [
        DAILY + "def p():\n    pass\n",
        "def schedule(schedule_interval=1):\n    return schedule_interval\n"
        "schedule(schedule_interval=2)\n",
        "TEXT = 'execution_date is an old name'\n",
    ],
    "too-many-tasks": [
        "@task\ndef f():\n    pass\n@dag\ndef p():\n    for n in range(200):\n        f()\n",
        "@task\ndef f(x):\n    pass\n@dag\ndef p():\n    f.expand(x=list(range(1000)))\n",
    ],
    "long-task": [
        "@task\ndef f():\n" + "    x = 1\n" * 100,
        "def f():\n" + "    x = 1\n" * 200,
    ],
    "lone-task": [
        "@task\ndef f():\n    pass\n@dag\ndef p():\n    f()\n    f()\n",
        "@task\ndef f(x=0):\n    return x\n@dag\ndef p():\n    f(f(f()))\n",
    ],
    "not-loaded": [
        "x = 1\n",
        "try:\n    import nothing_there\nexcept ImportError:\n    pass\n",
    ],
    "slow-load": ["x = 1\n", in_a_task("import time\ntime.sleep(9)")],
}


@pytest.mark.parametrize(
    ("rule", "text", "line"),
    [(rule, text, line) for rule, cases in BAD.items() for text, line in cases],
)
def test_what_a_rule_is_for_is_found_on_its_line(
    project: Project, rule: str, text: str, line: int
) -> None:
    assert (rule, line) in found(project, text)


@pytest.mark.parametrize(
    ("rule", "text"), [(rule, text) for rule, cases in GOOD.items() for text in cases]
)
def test_what_only_looks_like_it_is_left_alone(
    project: Project, rule: str, text: str
) -> None:
    assert rule not in [name for name, _ in found(project, text)]


def test_every_rule_has_two_good_and_two_bad_examples() -> None:
    elsewhere = {"asset-cycle"}
    assert {rule for rule, cases in BAD.items() if len(cases) >= 2} | elsewhere == set(
        RULES
    )
    assert {rule for rule, cases in GOOD.items() if len(cases) >= 2} | elsewhere == set(
        RULES
    )


# ── assets ──


def a_dag(dag_id: str, *, makes: str = "", waits: object = None) -> DagSpec:
    task = TaskSpec(task_id=TaskId("t"), outlets=(makes,) if makes else ())
    timetable = json.dumps({"kind": "assets", "of": waits}) if waits else ""
    return DagSpec(
        dag_id=DagId(dag_id), tasks={TaskId("t"): task}, timetable_json=timetable
    )


@pytest.mark.parametrize(
    ("dags", "circles"),
    [
        (
            [a_dag("a", makes="x", waits=["y"]), a_dag("b", makes="y", waits=["x"])],
            ["a b a"],
        ),
        ([a_dag("a", makes="x", waits={"any": [{"uri": "x"}]})], ["a a"]),
        (
            [
                a_dag("a", makes="x", waits=["z"]),
                a_dag("b", makes="y", waits=["x"]),
                a_dag("c", makes="z", waits=["q", "y"]),
                a_dag("d", waits=["x"]),
            ],
            ["a b c a"],
        ),
        ([a_dag("a", makes="x"), a_dag("b", makes="y", waits=["x"])], []),
        ([a_dag("a", makes="x", waits=["other"]), a_dag("b", waits=["x"])], []),
    ],
)
def test_dags_that_start_one_another_are_a_circle(
    dags: list[DagSpec], circles: list[str]
) -> None:
    found = asset_circles({str(dag.dag_id): dag for dag in dags})
    assert [" ".join(path) for path in found] == circles


def test_catching_up_with_a_limit_or_an_end_is_no_flood() -> None:
    flood = replace(
        a_dag("a"),
        schedule="@hourly",
        catchup=True,
        start_date=datetime(2020, 1, 1, tzinfo=UTC),
    )
    assert [rule for rule, _ in about_dag(flood, NOW)] == ["endless-catchup"]
    for calm in (
        replace(flood, max_active_runs=4),
        replace(flood, end_date=NOW),
        replace(flood, catchup=False),
        replace(flood, timetable_json=json.dumps({"delta": {"relative": {"years": 1}}})),
        replace(flood, timetable_json=json.dumps({"cron": "0 0 1 1 *"})),
    ):
        assert list(about_dag(calm, NOW)) == []


# ── leaving out ──


def test_a_comment_on_the_line_leaves_a_rule_out(project: Project) -> None:
    text = (
        "import pandas  # mlflowkit: ignore[heavy-import]\n"
        "import numpy  # mlflowkit: ignore[top-level-io]\n"
        "import torch  # mlflowkit: ignore\n"
        "import scipy  # mlflowkit: ignore[slow-load, heavy-import]\n"
        "try:\n    from sklearn import (\n        svm,  # mlflowkit: ignore[heavy-import]\n    )\n"
        "except ImportError:\n    pass\n"
    )
    kept = [one for one in found(project, text) if one[0] == "heavy-import"]
    assert kept == [("heavy-import", 2)]


def test_rules_can_be_left_out_by_name_and_a_wrong_name_is_an_error(
    project: Project,
) -> None:
    path = project.write("p.py", HEAD + "@dag(schedule='@daily')\ndef p():\n    pass\n")
    assert [one.rule for one in lint(path, project.home)] == ["no-start-date"]
    assert lint(path, project.home, ignore=["no-start-date"]) == []
    with pytest.raises(UnknownRule, match=r"no lint rule 'no-start'.*Did you mean"):
        lint(path, project.home, ignore=["no-start"])
    with pytest.raises(PipelineMissing):
        lint(project.folder / "q.py", project.home)


def test_a_finding_says_what_why_and_what_to_do(project: Project) -> None:
    path = project.write("p.py", HEAD + "import pandas as pd\n")
    (one,) = lint(path, project.home, ignore=["slow-load"])
    assert one.as_json() == {
        "file": str(path),
        "line": 3,
        "rule": "heavy-import",
        "reason": "pandas is imported when the file is loaded. The file is loaded again after "
        "each change, and each load pays for it.",
        "todo": "Import it inside the task that uses it.",
        "counts": True,
    }


def test_a_notebook_s_findings_name_the_cell(project: Project) -> None:
    cells = [
        {"cell_type": "code", "source": HEAD, "metadata": {}},
        {"cell_type": "code", "source": "x = 1\nimport pandas", "metadata": {}},
        {"cell_type": "code", "source": "with DAG('n'):\n    pass", "metadata": {}},
    ]
    path = project.write(
        "n.ipynb",
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}),
    )
    found = lint(path, project.home, ignore=["slow-load"])
    assert [(o.rule, o.file, o.line) for o in found] == [
        ("heavy-import", f"{path}, cell 2", 2)
    ]


def test_the_project_s_own_pipelines_are_clean(tmp_path: Path) -> None:
    # How long they take to load is for the machine to say, and a busy one is slow.
    assert lint(ROOT / "pipelines", tmp_path, ignore=["slow-load"]) == []
