"""Airflow 2's and 3's meaning of the same words, told from a file's imports or by a flag."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlflowkit.authoring.dag import DAG
from mlflowkit.compat.airflow import load_dag, load_dags
from mlflowkit.compat.airflow.scan import scan
from mlflowkit.core.planner import manual_interval
from mlflowkit.core.timetable import (
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    timetable_from_json,
)
from mlflowkit.errors import AirflowFeatureMissing
from tests.compat.running import loaded

IMPORTS = [
    ("from airflow.sdk import DAG", 3),
    ("from airflow.sdk.definitions.dag import DAG", 3),
    ("from airflow.providers.standard.operators.bash import BashOperator", 3),
    ("from airflow import DAG", 2),
    ("from airflow.decorators import dag, task", 2),
    ("from airflow.models.dag import DAG", 2),
    ("from airflow.operators.bash import BashOperator", 2),
    (
        "from airflow import DAG\n"
        "from airflow.providers.standard.operators.bash import BashOperator\n"
        "DAG('d', schedule_interval=None)",
        2,
    ),
    (
        "try:\n    from airflow.sdk import DAG\nexcept ImportError:\n    from airflow import DAG",
        3,
    ),
]
SAME = """\
from datetime import datetime, timedelta
from {module} import DAG
{at}
with DAG("plain", start_date=datetime(2025, 1, 1){word}) as dag:
    pass
"""


@pytest.mark.parametrize(("text", "version"), IMPORTS)
def test_the_version_is_told_from_the_imports(
    text: str, version: int, tmp_path: Path
) -> None:
    file = tmp_path / "f.py"
    file.write_text(text + "\n")
    assert scan(file, None).version == version


def _dag(folder: Path, module: str, word: str = "", at: str = "") -> DAG:
    file = folder / "f.py"
    file.write_text(SAME.format(module=module, word=word, at=at))
    return load_dag(str(file))


@pytest.mark.parametrize(
    ("word", "two", "three"),
    [
        ("", DeltaDataIntervalTimetable, NullTimetable),
        (", schedule=None", NullTimetable, NullTimetable),
        (", schedule='@daily'", CronDataIntervalTimetable, CronTriggerTimetable),
        (", schedule='5 4 * * *'", CronDataIntervalTimetable, CronTriggerTimetable),
        (
            ", schedule=timedelta(hours=2)",
            DeltaDataIntervalTimetable,
            DeltaTriggerTimetable,
        ),
    ],
)
def test_a_schedule_has_the_meaning_of_its_version(
    word: str, two: type, three: type, tmp_path: Path
) -> None:
    kinds = [
        type(timetable_from_json(_dag(tmp_path, module, word).timetable_json))
        for module in ("airflow", "airflow.sdk")
    ]
    assert kinds == [two, three]


def test_catchup_is_on_in_2_and_off_in_3_unless_it_is_said(tmp_path: Path) -> None:
    def catchup(module: str, word: str) -> bool:
        return _dag(tmp_path, module, word).catchup

    assert [catchup("airflow", ""), catchup("airflow.sdk", "")] == [True, False]
    assert [
        catchup("airflow", ", catchup=False"),
        catchup("airflow.sdk", ", catchup=True"),
    ] == [
        False,
        True,
    ]


def test_dates_and_schedules_without_a_zone_are_utc_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    dag = _dag(tmp_path, "airflow", ", schedule='0 3 * * *'")
    assert dag.start_date == datetime(2025, 1, 1, tzinfo=UTC)
    noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
    found = manual_interval(timetable_from_json(dag.timetable_json), noon)
    assert (found.start, found.end) == (
        datetime(2025, 5, 31, 3, tzinfo=UTC),
        datetime(2025, 6, 1, 3, tzinfo=UTC),
    )


def test_a_start_date_with_a_zone_gives_it_to_the_schedule() -> None:
    dag = loaded("pendulum_2.py")
    noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
    found = manual_interval(timetable_from_json(dag.timetable_json), noon)
    assert found.end == datetime(2025, 6, 1, 0, 30, tzinfo=UTC)  # 2:30 in Amsterdam


def test_ds_is_the_day_of_the_run_s_logical_date(tmp_path: Path) -> None:
    for module, interval in (("airflow", "2025-05-31"), ("airflow.sdk", "2025-06-01")):
        at = "from airflow.decorators import task"
        text = SAME.format(module=module, at=at, word=", schedule='@daily'")
        file = tmp_path / f"{module}.py"
        file.write_text(
            text.replace(
                "    pass\n",
                "    @task\n"
                "    def days(ds, data_interval_start, data_interval_end):\n"
                "        return [ds, str(data_interval_start)[:10], "
                "str(data_interval_end)[:10]]\n"
                "    days()\n",
            )
        )
        dag = load_dag(str(file))
        run = dag.test(logical_date=datetime(2025, 6, 1, 12, tzinfo=UTC))
        assert run.result("days") == ["2025-06-01", interval, "2025-06-01"]


def test_a_flag_says_another_version_than_the_imports(tmp_path: Path) -> None:
    file = tmp_path / "f.py"
    file.write_text(SAME.format(module="airflow", at="", word=""))
    assert load_dag(str(file), version=3).catchup is False
    file.write_text(SAME.format(module="airflow.sdk", at="", word=""))
    with pytest.raises(
        AirflowFeatureMissing, match="airflow.sdk is not here: it is of Airflow 3"
    ):
        load_dag(str(file), version=2)


def test_a_file_with_a_fallback_runs_under_either_version() -> None:
    for version, timetable in ((2, CronDataIntervalTimetable), (3, CronTriggerTimetable)):
        path = Path(__file__).parent / "dags" / "fallback_imports.py"
        dag = load_dag(str(path), version=version)
        assert type(timetable_from_json(dag.timetable_json)) is timetable
        assert dag.task_ids == ["hello"]


def test_all_dags_of_a_file_are_found_also_those_that_a_loop_made() -> None:
    path = Path(__file__).parent / "dags" / "loop_2.py"
    found = {d.dag_id: (d.schedule, len(d.tasks)) for d in load_dags(path)}
    assert found == {
        "customer_1": (None, 2),
        "customer_2": ("@daily", 3),
        "customer_3": ("*/15 * * * *", 4),
    }


def test_start_dates_in_default_args_may_be_texts(tmp_path: Path) -> None:
    word = ", default_args={'start_date': '2024-02-01'}".replace(
        ", d", ", schedule=None, d"
    )
    file = tmp_path / "f.py"
    text = SAME.format(module="airflow", at="", word=word)
    file.write_text(text.replace("start_date=datetime(2025, 1, 1), ", ""))
    assert load_dag(str(file)).start_date == datetime(2024, 2, 1, tzinfo=UTC)


def test_a_pull_without_task_ids_looks_above_in_2_and_nowhere_in_3(tmp_path: Path) -> None:
    body = (
        "    @task\n"
        "    def push(ti=None):\n"
        "        ti.xcom_push(key='k', value=7)\n"
        "    @task\n"
        "    def between():\n"
        "        return 1\n"
        "    @task\n"
        "    def pull(ti=None):\n"
        "        return [ti.xcom_pull(key='k'), ti.xcom_pull(task_ids='nobody')]\n"
        "    push() >> between() >> pull()\n"
    )
    found = []
    for module, source in (
        ("airflow", "airflow.decorators"),
        ("airflow.sdk", "airflow.sdk"),
    ):
        text = SAME.format(module=module, word="", at=f"from {source} import task")
        file = tmp_path / f"{module}.py"
        file.write_text(text.replace("    pass\n", body))
        found.append(load_dag(str(file)).test().result("pull"))
    assert found == [[7, None], [None, None]]


def test_without_a_start_date_a_cron_schedule_is_in_utc_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    file = tmp_path / "f.py"
    file.write_text("from airflow.sdk import DAG\nDAG('d', schedule='0 3 * * *')\n")
    timetable = timetable_from_json(load_dag(str(file)).timetable_json)
    found = manual_interval(timetable, datetime(2025, 6, 1, 12, tzinfo=UTC))
    assert isinstance(timetable, CronTriggerTimetable)
    assert str(timetable.timezone) == "UTC"
    assert found.start == found.end
