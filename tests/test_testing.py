"""What people test their pipelines with: homes, stubs, a clock, DAGs and tasks in process."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlflowkit import (
    DAG,
    BaseHook,
    EmptyOperator,
    PythonSensor,
    TaskRescheduled,
    TaskSkipped,
    Variable,
    dag,
    notebook,
    task,
)
from mlflowkit.core.connection import Connection
from mlflowkit.errors import (
    BadOption,
    CannotTestTask,
    ConnectionMissing,
    InvalidConnection,
    RunFailed,
    SensorTimeout,
    TaskNotInRun,
    UnknownOption,
    UnknownParameter,
)
from mlflowkit.settings import home_path
from mlflowkit.testing import (
    assert_runs,
    fresh_home,
    frozen_time,
    run_dag,
    run_task,
    stub_connections,
    stub_variables,
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path) -> Iterator[Path]:
    with fresh_home(tmp_path / "home") as home:
        yield home


def train() -> DAG:
    @task
    def load(n: int) -> list[int]:
        return list(range(n))

    @task
    def double(x: int) -> int:
        if x == 5:
            raise ValueError("five is too much")
        return 2 * x

    @task
    def total(xs: list[int]) -> int:
        return sum(xs)

    @task(trigger_rule="all_done")
    def tell(total: int | None) -> str:
        return f"the total is {total}"

    @dag(dag_id="train", schedule="@daily", start_date=datetime(2026, 3, 1, tzinfo=UTC))
    def made(n: int = 2) -> None:
        tell(total(double.expand(x=load(n))))

    return made()


GOOD = {"load": "success", "double[0]": "success", "double[1]": "success"}
GOOD |= {"total": "success", "tell": "success"}


# ── assert_runs ─────────────────────────────────────────────────────────────


def test_a_dag_that_runs_as_was_said_gives_its_values() -> None:
    run = assert_runs(train(), GOOD)
    assert run.state == "success"
    assert (run.result("double"), run.result("tell")) == ([0, 2], "the total is 2")


def test_parameters_are_given_by_either_name() -> None:
    one = {name: state for name, state in GOOD.items() if name != "double[1]"}
    assert_runs(train(), one, {"n": 1})
    assert_runs(train(), one, run_conf={"n": 1})


def test_a_failure_is_an_outcome_like_any_other() -> None:
    run = assert_runs(
        train(),
        {
            "load": "success",
            **{f"double[{i}]": "success" for i in range(5)},
            "double[5]": "failed",
            "total": "upstream_failed",
            "tell": "success",
        },
        {"n": 6},
    )
    assert (run.state, type(run.exception)) == ("success", ValueError)


def test_a_difference_names_every_task_and_comes_from_the_tasks_error() -> None:
    wanted = {**GOOD, "total": "skipped", "gone": "success"}
    del wanted["tell"]
    with pytest.raises(AssertionError) as raised:
        assert_runs(train(), wanted)
    assert str(raised.value) == (
        "DAG 'train' ended otherwise:\n"
        "    load       success\n"
        "    double[0]  success\n"
        "    double[1]  success\n"
        "  ! total      success, not skipped\n"
        "  ! gone       there is no such task instance, not success\n"
        "  ! tell       success, and was not named"
    )
    with pytest.raises(AssertionError) as raised:
        assert_runs(train(), GOOD, {"n": 6})
    assert isinstance(raised.value.__cause__, ValueError)


def test_what_does_not_fit_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownParameter):
        run_dag(train(), {"m": 3})
    with pytest.raises(UnknownOption, match="Did you mean 'logical_date'"):
        run_dag(train(), logical_dat="2026-03-01")


# ── dag.test with Airflow's options ─────────────────────────────────────────


def dates() -> DAG:
    @task
    def when(**context: Any) -> dict[str, str]:
        names = ("ds", "data_interval_start", "data_interval_end")
        return {name: str(context[name]) for name in names}

    with DAG(
        "dates",
        schedule="@daily",
        timezone="Europe/Athens",
        start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - the DAG's zone
    ) as made:
        when()
    return made


NOON = datetime(2026, 3, 2, 12)  # noqa: DTZ001 - the DAG's zone


@pytest.mark.parametrize(
    "given",
    ["2026-03-02T12:00", NOON, datetime(2026, 3, 2, 10, tzinfo=UTC)],
)
def test_a_test_run_has_the_logical_date_that_is_said_in_the_dags_zone(
    given: object,
) -> None:
    found = dates().test(logical_date=given).result("when")
    assert found == {
        "ds": "2026-03-02",
        "data_interval_start": "2026-02-28 22:00:00+00:00",
        "data_interval_end": "2026-03-01 22:00:00+00:00",
    }


def test_a_logical_date_that_is_none_is_refused() -> None:
    with pytest.raises(BadOption, match="logical_date"):
        dates().test(logical_date="yesterday")


def test_connections_and_variables_of_files_stand_in(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"db": "postgres://me@host/shop"}')
    (tmp_path / "v.env").write_text("bucket=pets\n")

    @task
    def ask() -> list[str]:
        return [str(BaseHook.get_connection("db").host), Variable.get("bucket")]

    with DAG("files") as made:
        ask()
    run = made.test(
        conn_file_path=str(tmp_path / "c.json"),
        variable_file_path=str(tmp_path / "v.env"),
    )
    assert run.result("ask") == ["host", "pets"]
    with pytest.raises(ConnectionMissing):
        BaseHook.get_connection("db")


def test_tasks_that_are_marked_are_not_run_and_count_as_successful() -> None:
    ran: list[str] = []
    with DAG("marked") as made:
        first = task(task_id="deploy_a")(lambda: ran.append("a"))()
        second = task(task_id="check")(lambda: ran.append("check"))()
        first >> second
    run = made.test(mark_success_pattern="deploy_.*")
    assert (run.states(), ran) == ({"deploy_a": "success", "check": "success"}, ["check"])
    with pytest.raises(BadOption, match="no regular expression"):
        made.test(mark_success_pattern="(")


def test_an_option_that_is_a_parameter_too_is_refused() -> None:
    with DAG("clash", params={"logical_date": "x"}) as made:
        EmptyOperator(task_id="a")
    with pytest.raises(BadOption, match=r"an option of test\(\) and a parameter"):
        made.test(logical_date="2026-03-01")
    assert made.test(params={"logical_date": "y"}).state == "success"


def test_a_run_leaves_a_folder_behind_only_where_something_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with DAG("plain") as plain:
        task(task_id="a")(lambda: 1)()
    assert plain.test().result("a") == 1
    with DAG("bad") as bad:
        task(task_id="a")(lambda: 1 / 0)()
    with pytest.raises(RunFailed):
        bad.test()
    assert list(folder.iterdir()) == []
    cells = [nbformat.v4.new_code_cell("print('kept')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    with DAG("files") as files:
        notebook(str(tmp_path / "n.ipynb"), kernel_name="python3")
    files.test()
    assert {each.name for each in folder.glob("mlflowkit-test-*/**/logs/*.ipynb")} == {
        "n.1.ipynb"
    }


def test_a_failed_test_run_says_how_every_task_ended() -> None:
    with pytest.raises(RunFailed) as raised:
        with DAG("bad") as made:
            task(task_id="a")(lambda: 1 / 0)() >> EmptyOperator(task_id="b")
        made.test()
    assert raised.value.states == {"a": "failed", "b": "upstream_failed"}


# ── run_task ────────────────────────────────────────────────────────────────


def test_one_task_runs_with_values_in_place_of_what_is_above() -> None:
    assert run_task(train(), "load", params={"n": 3}) == [0, 1, 2]
    assert run_task(train(), "total", xcoms={"double": [3, 4]}) == 7
    assert run_task(train(), "tell", xcoms={"total": 9}) == "the total is 9"


def test_an_instance_of_a_mapped_task_gets_its_item() -> None:
    found = [
        run_task(train(), "double", xcoms={"load": [7, 8]}, map_index=i) for i in (0, 1)
    ]
    assert found == [14, 16]
    assert run_task(train(), "double", xcoms={"load": [7, 8]}) == 14


def test_other_keys_are_given_as_pairs() -> None:
    @task(multiple_outputs=True)
    def split() -> dict[str, int]:
        return {"left": 1, "right": 2}

    @task
    def take(x: int) -> int:
        return x + 1

    with DAG("pairs") as made:
        take(split()["right"])
    assert run_task(made, "take", xcoms={("split", "right"): 41}) == 42


def test_the_context_is_what_is_said() -> None:
    @task
    def when(ds: str | None = None, **context: Any) -> tuple[object, ...]:
        return ds, context["run_id"], str(context["logical_date"])

    with DAG("when") as made:
        when()
    found = run_task(
        made,
        "when",
        context={"ds": "2020-02-29", "run_id": "mine"},
        logical_date=datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert found == ("2020-02-29", "mine", "2026-03-01 00:00:00+00:00")


def test_a_task_raises_what_it_raises() -> None:
    with pytest.raises(ValueError, match="five is too much"):
        run_task(train(), "double", xcoms={"load": [5]})

    @task
    def nothing() -> None:
        raise TaskSkipped("nothing to do")

    with DAG("skips") as made:
        nothing()
        PythonSensor(task_id="wait", python_callable=lambda: False, mode="reschedule")
    with pytest.raises(TaskSkipped, match="nothing to do"):
        run_task(made, "nothing")
    with frozen_time("2026-03-01") as clock, pytest.raises(TaskRescheduled) as raised:
        run_task(made, "wait")
    assert raised.value.when == clock.now() + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("task_id", "options", "error", "message"),
    [
        ("tell", {}, CannotTestTask, "it takes a value of 'total': give xcoms="),
        ("double", {}, CannotTestTask, "it takes a value of 'load'"),
        (
            "total",
            {"xcoms": {"double": 3}},
            CannotTestTask,
            "give a list, a value for each",
        ),
        (
            "double",
            {"xcoms": {"load": [1]}, "map_index": 1},
            CannotTestTask,
            "it has 1 instances, and none with the map index 1",
        ),
        ("load", {"map_index": 0}, CannotTestTask, "it is not mapped"),
        ("tel", {}, TaskNotInRun, "Did you mean 'tell'"),
        ("tell", {"xcoms": {"totl": 1}}, TaskNotInRun, "Did you mean 'total'"),
        ("load", {"params": {"m": 1}}, UnknownParameter, "'m'"),
    ],
)
def test_what_is_missing_for_a_task_is_named(
    task_id: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_task(train(), task_id, **options)


# ── stubs ───────────────────────────────────────────────────────────────────


def test_stubbed_connections_come_before_the_environment_and_leave_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_DB", "postgres://real/shop")
    before = dict(os.environ)

    def hosts() -> list[str | None]:
        return [BaseHook.get_connection(name).host for name in ("db", "lake")]

    fields = {"conn_type": "aws", "host": "seaweed"}
    with stub_connections({"db": "postgres://stub/shop"}, lake=fields):
        assert hosts() == ["stub", "seaweed"]
        assert dict(os.environ) == before
        with stub_connections(lake=Connection("lake", conn_type="s3", host="inner")):
            assert hosts() == ["stub", "inner"]
        assert hosts() == ["stub", "seaweed"]
    assert BaseHook.get_connection("db").host == "real"
    with pytest.raises(ConnectionMissing):
        BaseHook.get_connection("lake")


def test_stubs_are_seen_by_tasks_and_by_their_threads() -> None:
    @task
    def ask() -> list[str | None]:
        found: list[str | None] = []

        def look() -> None:
            found.append(BaseHook.get_connection("db").host)

        look()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return found

    with DAG("asks") as made:
        ask()
    with stub_connections(db="postgres://stub/shop"):
        assert run_dag(made).result("ask") == ["stub", "stub"]
        assert run_task(made, "ask") == ["stub", "stub"]
    assert isinstance(run_dag(made).exception, ConnectionMissing)


def test_stubs_are_seen_in_the_kernel_of_a_notebook(tmp_path: Path) -> None:
    cell = "from mlflowkit import BaseHook, Variable\n"
    cell += "host = BaseHook.get_connection('db').host + Variable.get('bucket')"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, tmp_path / "ask.ipynb")
    with DAG("asks") as made:
        notebook(str(tmp_path / "ask.ipynb"), returns=["host"])
    with stub_connections(db="postgres://stub/shop"), stub_variables(bucket="pets"):
        run = assert_runs(made, {"ask": "success"})
    assert run.result("ask", "host") == "stubpets"


def test_a_connection_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(InvalidConnection), stub_connections(db="{no json"):
        pass


def test_stubbed_variables_keep_what_is_set_away_from_the_store() -> None:
    Variable.set("kept", "in the store")
    with stub_variables(bucket="pets", limits={"n": 3}):
        Variable.set("bucket", "dogs")
        Variable.set("new", "one")
        assert Variable.get("limits", deserialize_json=True) == {"n": 3}
        found = [Variable.get(key) for key in ("bucket", "new", "kept")]
        assert found == ["dogs", "one", "in the store"]
        assert (Variable.delete("new"), Variable.delete("never")) == (1, 0)
    found = [Variable.get(key, default=None) for key in ("bucket", "new", "kept")]
    assert found == [None, None, "in the store"]


# ── homes and time ──────────────────────────────────────────────────────────


def test_a_fresh_home_is_empty_and_gone_afterwards() -> None:
    outside = home_path()
    with fresh_home() as home:
        Variable.set("only", "here")
        assert (home_path(), (home / "store.db").exists()) == (home.resolve(), True)
    assert not home.exists()
    assert home_path() == outside
    assert Variable.get("only", default=None) is None


def test_sensors_wait_no_time_with_a_frozen_clock() -> None:
    looks: list[datetime] = []

    with frozen_time("2026-03-01T06:00") as clock:

        def look() -> bool:
            looks.append(clock.now())
            return len(looks) == 4

        with DAG("waits") as made:
            PythonSensor(task_id="poke", python_callable=look, poke_interval=3600)
        assert_runs(made, {"poke": "success"})
        assert [moment.hour for moment in looks] == [6, 7, 8, 9]
        clock.move(days=1)
        assert clock.now() == datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_sensors_timeout_is_reached_at_once(mode: str) -> None:
    with DAG("never") as made:
        PythonSensor(task_id="wait", python_callable=lambda: False, timeout=7200, mode=mode)
    with frozen_time(datetime(2026, 3, 1, tzinfo=UTC)):
        run = assert_runs(made, {"wait": "failed"})
    assert isinstance(run.exception, SensorTimeout)


def test_a_run_that_fails_says_why_also_where_no_code_was_reached() -> None:
    @task
    def number() -> Any:
        return {"n": 3}

    @task
    def each(x: Any) -> None: ...

    with DAG("d") as below:
        each.expand(x=number()["items"])
    with pytest.raises(RunFailed) as raised:
        below.test()
    assert str(raised.value) == (
        "the run d/test failed: task 'each' failed: 'x' cannot be expanded: task 'number' "
        "gave no list, tuple or dict for its XCom 'items'."
    )
    assert raised.value.states == {"number": "success", "each": "failed"}
