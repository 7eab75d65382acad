"""What has no equivalent is an error that names the feature, the line, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit.compat.airflow import load_dag, words
from mlflowkit.compat.airflow.load import notes_of
from mlflowkit.errors import AirflowFeatureMissing, BadOption, MissingExtra, PipelineBroken
from tests.compat.running import outcome

HEAD_2 = """\
from datetime import datetime, timedelta
from airflow import DAG
from airflow.decorators import dag, task
from airflow.operators.python import PythonOperator
"""
HEAD_3 = """\
from datetime import datetime, timedelta
from airflow.sdk import DAG, dag, task
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.operators.bash import BashOperator
"""
BODY = "with DAG('d', start_date=datetime(2025, 1, 1), schedule=None):\n"

#: The file, and what is missing in it: feature, line, what to do.
REFUSED = [
    (
        "from airflow import DAG\n"
        "from airflow.providers.snowflake.operators.snowflake import SnowflakeOperator\n",
        "airflow.providers.snowflake",
        2,
        words.PROVIDER,
    ),
    (
        HEAD_2 + "from airflow.providers.http.operators.http import HttpOperator\n"
        "HttpOperator(task_id='x')\n",
        "HttpOperator",
        6,
        "call the service with httpx in a @task",
    ),
    (
        "from airflow.operators.python import PythonOperator\n"
        "from airflow.operators.pythno import PythonOperator\n",
        "airflow.operators.pythno",
        2,
        f"did you mean airflow.operators.python? If not, {words.UNKNOWN}",
    ),
    (
        "from airflow.models import DAG, Trigger\n",
        "airflow.models.Trigger",
        1,
        words.DATABASE,
    ),
    (
        "import airflow\n\nx = airflow.no_such_thing\n",
        "airflow.no_such_thing",
        3,
        words.UNKNOWN,
    ),
    (
        HEAD_2
        + BODY
        + "    @task.virtualenv(requirements=['pandas'])\n    def f():\n        pass\n",
        "@task.virtualenv",
        6,
        words.VIRTUALENV,
    ),
    (
        HEAD_3 + BODY + "    @task.docker(image='x')\n    def f():\n        pass\n",
        "@task.docker",
        6,
        words.DOCKER,
    ),
    (
        HEAD_2
        + "from airflow.operators.python import PythonVirtualenvOperator\n"
        + BODY
        + "    PythonVirtualenvOperator(task_id='v', python_callable=print)\n",
        "PythonVirtualenvOperator",
        7,
        words.VIRTUALENV,
    ),
    (
        HEAD_2
        + "from airflow.operators.subdag import SubDagOperator\n"
        + BODY
        + "    SubDagOperator(task_id='s', subdag=None)\n",
        "SubDagOperator",
        7,
        words.SUB_DAG,
    ),
    (
        HEAD_2 + "from airflow.models import DagBag\nbag = DagBag()\n",
        "DagBag",
        6,
        words.DAG_BAG,
    ),
    (
        HEAD_2 + "from airflow.plugins_manager import AirflowPlugin\n"
        "class Mine(AirflowPlugin):\n    name = 'mine'\n",
        "AirflowPlugin",
        6,
        words.PLUGINS,
    ),
    (
        HEAD_2 + "from airflow.settings import Session\nsession = Session()\n",
        "airflow.settings.Session",
        6,
        words.DATABASE,
    ),
    (
        HEAD_2 + "from airflow.utils.session import provide_session\n"
        "@provide_session\ndef f(session=None):\n    pass\n",
        "provide_session",
        6,
        words.DATABASE,
    ),
    (
        HEAD_2
        + "from airflow.models.dagrun import DagRun\nfound = DagRun.find(dag_id='d')\n",
        "DagRun",
        6,
        words.DATABASE,
    ),
    (
        HEAD_2 + "from airflow.models import BaseOperator\n"
        "from airflow.triggers.temporal import TimeDeltaTrigger\n"
        "class Waits(BaseOperator):\n"
        "    def execute(self, context):\n"
        "        self.defer(trigger=TimeDeltaTrigger(timedelta(1)), method_name='go')\n",
        "self.defer()",
        9,
        words.DEFERRABLE,
    ),
    (
        HEAD_2 + "import importlib\nimportlib.import_module('airflow.providers.slack')\n",
        "airflow.providers.slack",
        6,
        words.PROVIDER,
    ),
    (
        HEAD_2 + "dag = DAG('d', schedule=None)\ndag.cli()\n",
        "dag.cli()",
        6,
        words.CLI,
    ),
    (
        HEAD_2 + "def f(ti):\n    return ti.xcom_pull(task_ids='a', dag_id='other')\n",
        "xcom_pull(dag_id=...)",
        6,
        "there are no XComs of another DAG: start that DAG with TriggerDagRunOperator, "
        "or share a file",
    ),
    (
        HEAD_3 + "DAG('d', schedule_interval='@daily')\n",
        "schedule_interval= of DAG 'd'",
        5,
        "Airflow 3 took it out: use schedule",
    ),
    (
        HEAD_3 + BODY + "    BashOperator(\n        task_id='b',\n"
        "        bash_command='echo {{ execution_date }}',\n    )\n",
        "execution_date",
        8,
        "Airflow 3 took it out: use logical_date",
    ),
    (
        HEAD_3 + "def f(**context):\n    return context['prev_ds']\n",
        "prev_ds",
        6,
        "Airflow 3 took it out: use macros.ds_add(ds, -1)",
    ),
    (
        HEAD_3 + BODY + "    @task\n    def f(execution_date, ti=None):\n        pass\n",
        "execution_date",
        7,
        "Airflow 3 took it out: use logical_date",
    ),
]


@pytest.mark.parametrize(
    ("text", "feature", "line", "todo"), REFUSED, ids=[f"{r[1]}-{r[2]}" for r in REFUSED]
)
def test_what_is_missing_is_named_with_its_line_when_the_file_is_loaded(
    text: str, feature: str, line: int, todo: str, tmp_path: Path
) -> None:
    file = tmp_path / "f.py"
    file.write_text(text)
    with pytest.raises(AirflowFeatureMissing) as caught:
        load_dag(str(file))
    error = caught.value
    found = (error.feature, Path(error.file), error.line, error.todo)
    assert found == (feature, file, line, todo)
    assert str(error) == f"{file}, line {line}: {feature} is not here: {todo}."


def test_what_only_a_task_would_reach_is_a_note_at_first_and_an_error_when_it_is_used(
    tmp_path: Path,
) -> None:
    file = tmp_path / "f.py"
    file.write_text(
        HEAD_2
        + "from airflow.utils.email import send_email\n"
        + BODY
        + "    @task\n"
        + "    def mails():\n"
        + "        send_email('a@b.c', 'x', 'y')\n"
        + "    @task\n"
        + "    def loads():\n"
        + "        from airflow.providers.slack.hooks.slack import SlackHook\n"
        + "    @task\n"
        + "    def fine():\n"
        + "        from airflow.providers.amazon.aws.hooks.s3 import S3Hook\n"
        + "    mails(), loads(), fine()\n"
    )
    dag = load_dag(str(file))
    slack = "airflow.providers.slack.hooks.slack.SlackHook"
    assert notes_of(dag) == (
        f"{file}, line 9: airflow.utils.email.send_email is not here: {words.MAIL}; "
        "an error if it is used",
        f"{file}, line 12: {slack} is not here: {words.PROVIDER}; an error if it is used",
    )
    states = {"mails": "failed", "loads": "failed", "fine": "success"}
    assert outcome(dag, tmp_path) == ("failed", states)


def test_an_option_that_changes_no_state_is_passed_over_with_a_note(tmp_path: Path) -> None:
    file = tmp_path / "f.py"
    file.write_text(
        HEAD_2 + "with DAG('d', start_date=datetime(2025, 1, 1), schedule=None,\n"
        "         default_args={'email': ['a@b.c'], 'email_on_failure': True},\n"
        "         sla_miss_callback=print):\n"
        "    PythonOperator(task_id='t', python_callable=list, queue='big',\n"
        "                   sla=timedelta(hours=1))\n"
    )
    dag = load_dag(str(file))
    late = "nobody is told of a task that is late"
    assert notes_of(dag) == (
        f"sla_miss_callback= is not heeded: {late}",
        "email_on_failure= is not heeded: mlflowkit sends no mail",
        "queue= is not heeded: tasks are not sent to queues",
        f"sla= is not heeded: {late}",
        "email= is not heeded: mlflowkit sends no mail",
    )
    assert outcome(dag, tmp_path) == ("success", {"t": "success"})


def test_an_argument_that_an_operator_does_not_have_is_named_with_its_line(
    tmp_path: Path,
) -> None:
    file = tmp_path / "f.py"
    file.write_text(
        HEAD_3 + BODY + "    BashOperator(task_id='b', bash_command='x', bash_comand='y')\n"
    )
    with pytest.raises(
        AirflowFeatureMissing, match="bash_comand= of BashOperator"
    ) as caught:
        load_dag(str(file))
    assert caught.value.line == 6


def test_other_mistakes_keep_their_error_and_say_the_line(tmp_path: Path) -> None:
    file = tmp_path / "f.py"
    file.write_text(
        HEAD_3 + BODY + "    BashOperator(task_id='b', bash_command='x', retries=-1)\n"
    )
    with pytest.raises(BadOption) as caught:
        load_dag(str(file))
    assert caught.value.__notes__ == [f"It is in {file}, line 6."]


def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f.py"
    file.write_text("import pendulum\n" + HEAD_3)
    monkeypatch.setitem(__import__("sys").modules, "pendulum", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlflowkit\[airflow\]'"):
        load_dag(str(file))
    file.write_text("import no_such_library\n" + HEAD_3)
    with pytest.raises(PipelineBroken, match="line 1: ModuleNotFoundError"):
        load_dag(str(file))
