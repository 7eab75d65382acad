"""DAG files as people have them, and the states that all their tasks end in under Airflow."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.compat.running import DAGS, loaded, outcome

OK, FAILED, SKIPPED, CUT = "success", "failed", "skipped", "upstream_failed"


def _all(state: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, state)


#: File, DAG, parameters, state of the run, states of the tasks.
STORIES = [
    (
        "etl_classic_2.py",
        None,
        {},
        OK,
        _all(OK, "start", "extract", "transform", "load", "report"),
    ),
    ("etl_taskflow_3.py", None, {}, OK, _all(OK, "extract", "transform", "load")),
    ("outputs_2.py", None, {}, FAILED, {**_all(OK, "gives", "takes"), "waits": FAILED}),
    (
        "branching_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "pick", "path_a", "after_a", "join", "old_join"),
            **_all(SKIPPED, "path_b", "group_c", "never"),
        },
    ),
    (
        "branching_2.py",
        None,
        {"wide": True},
        OK,
        {
            **_all(OK, "pick", "path_b", "group_c", "join", "old_join", "never"),
            **_all(SKIPPED, "path_a", "after_a"),
        },
    ),
    (
        "short_circuit_3.py",
        None,
        {},
        OK,
        {
            **_all(OK, "true_cond", "false_cond", "soft", "true_1", "true_2", "check"),
            **_all(SKIPPED, "false_1", "false_2", "below", "behind", "skips_itself"),
            **_all(OK, "rescue", "when_skipped"),
        },
    ),
    (
        "trigger_rules_2.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "good", "after_all_done", "after_one_success", "after_one_failed"),
            **_all(OK, "after_one_done", "after_none_skipped", "after_dummy"),
            **_all(FAILED, "bad", "worse"),
            **_all(CUT, "after_all_success", "after_none_failed", "cut_off"),
            **_all(SKIPPED, "after_all_failed"),
        },
    ),
    (
        "groups_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "start", "section_1.task_1", "section_1.task_2"),
            **_all(SKIPPED, "section_2.inner.leaf"),
            **_all(OK, "section_2.after", "end", "one", "two"),
        },
    ),
    (
        "mapped_group_3.py",
        None,
        {},
        OK,
        {
            **_all(OK, "files", "per_file.read[0]", "per_file.read[1]"),
            **_all(OK, "per_file.store[0]", "per_file.store[1]", "total"),
            "per_file.read[2]": FAILED,
            "per_file.store[2]": CUT,
        },
    ),
    (
        "mapping_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "numbers", "nothing", "more", "others", "total", "pick"),
            **_all(
                OK, *(f"add[{i}]" for i in range(3)), *(f"cross[{i}]" for i in range(4))
            ),
            **_all(OK, "pairs[0]", "pairs[1]", *(f"of_pair[{i}]" for i in range(3))),
            **_all(OK, "shout[0]", "shout[2]", "classic[0]", "classic[1]"),
            **_all(SKIPPED, "none_at_all", "shout[1]"),
        },
    ),
    (
        "sensors_2.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "there", "asked", "counting", "found", "done"),
            **_all(SKIPPED, "absent", "other", "after_absent"),
            **_all(FAILED, "late"),
            **_all(CUT, "after_late"),
        },
    ),
    (
        "sql_2.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "create", "fill", "count", "check", "branch", "many"),
            **_all(FAILED, "bad_check"),
            **_all(SKIPPED, "few"),
        },
    ),
    (
        "bash_3.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "greet", "check", "written"),
            **_all(SKIPPED, "skipped", "custom"),
            **_all(FAILED, "fails"),
        },
    ),
    (
        "settings_2.py",
        None,
        {},
        OK,
        _all(OK, "look_at_orders", "look_at_items", "templated"),
    ),
    (
        "callbacks_2.py",
        None,
        {},
        FAILED,
        {**_all(OK, "ok"), **_all(FAILED, "broken"), **_all(CUT, "below")},
    ),
    (
        "setup_teardown_3.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "make_cluster", "drop_cluster"),
            **_all(FAILED, "work"),
            **_all(CUT, "later"),
        },
    ),
    ("assets_3.py", "producer", {}, OK, _all(OK, "write")),
    ("assets_3.py", "consumer", {}, OK, _all(OK, "read")),
    ("assets_3.py", "either", {}, OK, _all(OK, "react")),
    ("datasets_2.py", "raw_consumer", {}, OK, _all(OK, "use")),
    ("loop_2.py", "customer_2", {}, OK, _all(OK, "hello", "step_0", "step_1")),
    ("trigger_2.py", "parent", {}, OK, _all(OK, "trigger", "after")),
    (
        "custom_operator_2.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "warm", "cold"),
            **_all(SKIPPED, "too_cold"),
            **_all(FAILED, "nowhere"),
        },
    ),
    ("timetable_3.py", None, {}, OK, _all(OK, "run_this", "length")),
    ("latest_only_2.py", None, {}, OK, _all(OK, "latest", "task1", "task2")),
    ("pendulum_2.py", None, {}, OK, _all(OK, "days")),
    (
        "helpers_project/dags/team_a/local_imports_2.py",
        None,
        {},
        OK,
        {"cleaned": OK, "empty": SKIPPED},
    ),
    ("papermill_2.py", None, {}, OK, _all(OK, "run_notebook")),
    ("native_types_3.py", None, {}, OK, _all(OK, "add", "show")),
    ("fallback_imports.py", None, {}, OK, _all(OK, "hello")),
    (
        "quality_operator_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "songs", "after_hook"),
            **_all(SKIPPED, "nothing"),
            **_all(FAILED, "bad"),
        },
    ),
    (
        "dbt_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "deps", "models.run_staging", "models.test_staging"),
            **_all(OK, "models.run_marts", "models.test_marts", "clean"),
            **_all(SKIPPED, "docs", "publish"),
        },
    ),
    (
        "retrain_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "load_images", "load_labels", "train_a", "train_b", "train_c"),
            **_all(OK, "choose", "deploy.upload", "serve", "end"),
            **_all(SKIPPED, "inaccurate"),
        },
    ),
    (
        "dynamic_etl_3.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "list_files", "process[0]", "process[1]", "process[2]", "stats"),
            **_all(OK, "choose", "small.count", "done", "show_sum", "say[0]"),
            **_all(OK, "env[0]", "env[1]"),
            **_all(SKIPPED, "big", "say[1]"),
            **_all(FAILED, "env[2]"),
        },
    ),
    (
        "warehouse_3.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "create", "write", "again", "load", "total", "same", "some"),
            **_all(FAILED, "wrong"),
        },
    ),
    (
        "poke_3.py",
        None,
        {},
        OK,
        {
            **_all(OK, "wait", "use", "mine", "there", "asked", "mend"),
            **_all(SKIPPED, "late", "after"),
            **_all(FAILED, "never"),
        },
    ),
    (
        "final_status_2.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "start"),
            **_all(FAILED, "load", "final_status"),
            **_all(CUT, "report"),
        },
    ),
    (
        "calendar_2.py",
        None,
        {},
        OK,
        {
            **_all(OK, "any_day", "yes", "long_ago", "now", "never", "but", "latest"),
            **_all(OK, "after_latest", "nowhere", "to_group", "work.first", "work.second"),
            **_all(SKIPPED, "no", "then", "cut", "a", "b", "rest"),
        },
    ),
    (
        "conditions_3.py",
        None,
        {},
        FAILED,
        {
            **_all(OK, "make", "drop", "days", "enough", "report"),
            **_all(OK, "make_again", "drop_again"),
            **_all(SKIPPED, "only_in_prod"),
            **_all(FAILED, "fails"),
        },
    ),
    (
        "incremental_2.py",
        None,
        {},
        OK,
        _all(OK, "a.extract", "a.load", "b.extract", "b.load"),
    ),
]


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the files find in their environment."""
    (tmp_path / "there.txt").write_text("there")
    given = {
        "SENSOR_FOLDER": str(tmp_path),
        "CALLBACK_LOG": str(tmp_path / "callbacks"),
        "OUT_FOLDER": str(tmp_path),
        "AIRFLOW_CONN_SHOP": f"sqlite:///{tmp_path / 'shop.db'}",
        "AIRFLOW_CONN_WAREHOUSE": "postgres://ann:pw12345@db.local:5432/dw?sslmode=disable",
        "AIRFLOW_CONN_WEATHER": "http://weather.local",
        "AIRFLOW_VAR_TABLES": '["orders", "items"]',
        "AIRFLOW_VAR_GREETING": "hello",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "dag_id", "params", "run", "tasks"),
    STORIES,
    ids=[f"{Path(s[0]).stem}-{s[1] or i}" for i, s in enumerate(STORIES)],
)
def test_a_file_for_airflow_ends_in_the_states_it_has_there(
    file: str,
    dag_id: str | None,
    params: dict[str, object],
    run: str,
    tasks: dict[str, str],
    surroundings: Path,
) -> None:
    assert outcome(loaded(file, dag_id), surroundings, params) == (run, tasks)


def test_callbacks_of_tasks_and_runs_are_called_in_their_order(surroundings: Path) -> None:
    outcome(loaded("callbacks_2.py"), surroundings)
    said = (surroundings / "callbacks").read_text().splitlines()
    assert said == ["fine ok", "failed broken", "run callbacks failed"]


def test_callbacks_know_how_their_task_ended_and_what_became_of_the_others(
    surroundings: Path,
) -> None:
    outcome(loaded("final_status_2.py"), surroundings)
    said = (surroundings / "callbacks").read_text().splitlines()
    assert said == [
        f"{channel}: {task_id} failed, start success"
        for task_id in ("load", "final_status")
        for channel in ("ops", "me")
    ]


def test_a_papermill_task_leaves_the_executed_notebook_where_airflow_does(
    surroundings: Path,
) -> None:
    outcome(loaded("papermill_2.py"), surroundings)
    (made,) = surroundings.glob("out-*.ipynb")
    last = nbformat.read(made, as_version=4).cells[-1]
    assert last.outputs[0]["text"] == f"6 on {_dashed(made.stem)}\n"


def _dashed(stem: str) -> str:
    day = stem.removeprefix("out-")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def test_there_are_at_least_25_such_files() -> None:
    assert len([p for p in DAGS.rglob("*.py") if "helpers/" not in str(p)]) >= 25
