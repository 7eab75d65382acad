"""Options of tasks and DAGs: what each becomes in the DagSpec, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlflowkit import DAG, Asset, BashOperator, EmptyOperator, TriggerRule, dag, task
from mlflowkit.authoring.bundle import make_bundle
from mlflowkit.authoring.option_values import CACHE_FOREVER
from mlflowkit.core.spec import RetryPolicy, TaskId, TaskSpec
from mlflowkit.errors import BadOption, OptionNotHere, UnknownOption, UserError

from .conftest import Project, told

START = datetime(2026, 1, 1, tzinfo=UTC)


def nothing(context: object) -> None:
    return None


def only(d: DAG) -> TaskSpec:
    [spec] = d.spec().tasks.values()
    return spec


def test_every_option_of_a_task_is_in_its_spec() -> None:
    with DAG("d") as d:
        EmptyOperator(
            task_id="a",
            retries=2,
            retry_delay=60,
            execution_timeout=30,
            isolate=True,
            doc_md="what it is",
            owner="me",
            trigger_rule="all_done",
            wait_for_downstream=True,
            priority_weight=7,
            weight_rule="absolute",
            pool="gpu",
            pool_slots=2,
            max_active_tis_per_dag=3,
            max_active_tis_per_dagrun=1,
            on_execute_callback=nothing,
            on_success_callback=nothing,
            on_failure_callback=[nothing, print],
            on_retry_callback=nothing,
            on_skipped_callback=nothing,
            outlets=[Asset("s3://b/out")],
            inlets=Asset("s3://b/in"),
            cache=timedelta(days=1),
            map_index_template="{{ x }}",
            task_display_name="A",
        )
    assert only(d) == TaskSpec(
        task_id=TaskId("a"),
        operator="EmptyOperator",
        retry=RetryPolicy(retries=2, retry_delay=timedelta(minutes=1)),
        execution_timeout=timedelta(seconds=30),
        trigger_rule=TriggerRule.ALL_DONE,
        pool="gpu",
        pool_slots=2,
        priority_weight=7,
        depends_on_past=True,
        wait_for_downstream=True,
        max_active_tis_per_dag=3,
        max_active_tis_per_dagrun=1,
        callbacks=("success", "failure", "retry", "skipped"),
        outlets=("s3://b/out",),
        inlets=("s3://b/in",),
        cache=timedelta(days=1),
        map_index_template="{{ x }}",
        owner="me",
        isolate=True,
        doc="what it is",
    )
    task_a = d.get_task("a")
    assert task_a.callbacks == {
        "execute": [nothing],
        "success": [nothing],
        "failure": [nothing, print],
        "retry": [nothing],
        "skipped": [nothing],
    }
    assert (task_a.arguments(), task_a.task_display_name) == ({}, "A")


def test_without_options_a_task_is_plain() -> None:
    with DAG("d") as d:
        EmptyOperator(task_id="a", pool=None, cache=False, on_failure_callback=None)
    plain = TaskSpec(task_id=TaskId("a"), operator="EmptyOperator", inert=True)
    assert only(d) == plain
    with DAG("d") as d:
        EmptyOperator(task_id="a", cache=True)
    assert only(d).cache == CACHE_FOREVER


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trigger_rule": "all_sucess"}, r"rule 'all_sucess' \(did you mean 'all_success'"),
        ({"trigger_rule": "now"}, "there are: all_success, all_failed"),
        ({"weight_rule": "sideways"}, "one of downstream, upstream, absolute"),
        ({"priority_weight": "high"}, "must be a whole number, not 'high'"),
        ({"pool": 3}, "must be the name of a pool, not 3"),
        ({"pool_slots": 0}, "must be a whole number from 1 on, not 0"),
        ({"max_active_tis_per_dag": True}, "must be a whole number from 1 on, not True"),
        ({"on_failure_callback": "mail"}, "must be a function or a list of them"),
        ({"outlets": [3]}, "must be an Asset or a list of them, not 3"),
        ({"cache": timedelta()}, "must be True or a timedelta above zero"),
    ],
)
def test_what_does_not_fit_is_said_where_it_is_written(
    options: dict[str, Any], message: str
) -> None:
    [name] = options
    with DAG("d"), pytest.raises(BadOption, match=message) as told:
        EmptyOperator(task_id="a", **options)
    assert (told.value.where, told.value.name) == ("task 'a'", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email_on_failure", True),
        ("email_on_retry", True),
        ("email", ["me@example.org"]),
        ("queue", "gpu"),
        ("sla", timedelta(hours=1)),
        ("run_as_user", "root"),
        ("executor", "CeleryExecutor"),
        ("executor_config", {"pod": 1}),
        ("resources", {"cpu": 2}),
    ],
)
def test_options_that_promise_what_is_not_done_are_refused_by_name(
    name: str, value: Any
) -> None:
    with DAG("d"), pytest.raises(OptionNotHere, match=f"option '{name}' of task 'a'"):
        EmptyOperator(task_id="a", **{name: value})


def test_default_args_of_airflow_s_files_are_taken_silently() -> None:
    usual = {
        "owner": "airflow",
        "depends_on_past": False,
        "start_date": START,
        "email": ["me@example.org"],
        "email_on_failure": False,
        "email_on_retry": False,
        "queue": None,
        "sla": None,
        "retries": 1,
        "retry_delay": timedelta(minutes=5),
        "bucket": "other operators take this",
    }
    with DAG("d", default_args=usual) as d:
        BashOperator(task_id="a", bash_command="date", start_date=START)
        task(nothing)(1)
    assert d.spec().start_date == START
    assert [t.retry.retries for t in d.spec().tasks.values()] == [1, 1]
    assert d.spec().owner == "airflow"
    with (
        d,
        pytest.raises(BadOption, match="'start_date' of task 'b' differs from the DAG's"),
    ):
        BashOperator(task_id="b", bash_command="x", start_date=START + timedelta(days=1))


def test_weights_add_up_all_distinct_tasks_below_or_above() -> None:
    def written(rule: str) -> dict[str, int]:
        with DAG("d", default_args={"weight_rule": rule}) as d:
            a, b, c, e = (
                EmptyOperator(task_id=name, priority_weight=weight)
                for name, weight in (("a", 1), ("b", 10), ("c", 100), ("e", 1000))
            )
            a >> [b, c] >> e
        return {name: spec.priority_weight for name, spec in d.spec().tasks.items()}

    assert written("downstream") == {"a": 1111, "b": 1010, "c": 1100, "e": 1000}
    assert written("upstream") == {"a": 1, "b": 11, "c": 101, "e": 1111}
    assert written("absolute") == {"a": 1, "b": 10, "c": 100, "e": 1000}
    with DAG("d") as d:
        a, b = (EmptyOperator(task_id=name) for name in "ab")
        a >> b
    assert [spec.priority_weight for spec in d.spec().tasks.values()] == [2, 1]


def test_every_option_of_a_dag_is_in_its_spec() -> None:
    d = DAG(
        "d",
        schedule="@daily",
        start_date=START,
        end_date=START + timedelta(days=9),
        max_active_runs=2,
        concurrency=4,
        dagrun_timeout=3600,
        on_success_callback=nothing,
        on_failure_callback=[nothing],
        tags=["a"],
        owner="me",
        fail_fast=True,
        default_view="grid",
        orientation="LR",
        access_control={},
        is_paused_upon_creation=True,
        user_defined_macros={"x": 1},
        dag_display_name="D",
    )
    spec = d.spec()
    told = (
        spec.schedule,
        spec.end_date,
        spec.max_active_runs,
        spec.max_active_tasks,
        spec.dagrun_timeout,
        spec.callbacks,
        spec.owner,
        spec.fail_fast,
    )
    assert told == (
        "@daily",
        START + timedelta(days=9),
        2,
        4,
        timedelta(hours=1),
        ("success", "failure"),
        "me",
        True,
    )
    assert (d.is_paused_upon_creation, d.user_defined_macros) == (True, {"x": 1})


def test_options_of_a_dag_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnknownOption, match="Did you mean 'max_active_runs'"):
        DAG("d", max_active_run=1)
    with pytest.raises(UnknownOption, match="Did you mean 'max_active_runs'"):
        dag(max_active_run=1)(lambda: None)
    with pytest.raises(BadOption, match="'max_active_tasks' of DAG 'd' must be a whole"):
        DAG("d", max_active_tasks=-1)
    with pytest.raises(BadOption, match="'end_date' of DAG 'd' is before its start_date"):
        DAG("d", start_date=START, end_date=START - timedelta(days=1))
    with pytest.raises(BadOption, match="'timetable' of DAG 'd' is schedule's other name"):
        DAG("d", schedule="@daily", timetable="@daily")
    with pytest.raises(OptionNotHere, match="'sla_miss_callback' of DAG 'd' cannot be"):
        DAG("d", sla_miss_callback=nothing)
    with pytest.raises(BadOption, match="must be 'all_success' in a DAG with fail_fast"):
        one_with_a_rule()


def one_with_a_rule() -> None:
    with DAG("d", fail_fast=True):
        EmptyOperator(task_id="a", trigger_rule="all_done")


def test_an_operator_that_hides_what_every_task_has_is_told_so() -> None:
    class Fit(EmptyOperator):
        def __init__(self, task_id: str, callbacks: list[object]) -> None:
            super().__init__(task_id)
            self.callbacks = callbacks

    with DAG("d"), pytest.raises(BadOption, match="'callbacks' of Fit is what every task"):
        Fit("a", [])


def test_options_can_be_set_afterwards_as_in_airflow_s_tutorial() -> None:
    with DAG("d") as d:
        a = EmptyOperator(task_id="a", on_retry_callback=print)
        a.retries, a.retry_delay, a.trigger_rule = 4, 60, "one_failed"
        a.doc_md = "# What it is"
        a.on_failure_callback = nothing
        a.on_retry_callback = None
        with pytest.raises(BadOption, match="'on_success_callback' of task 'a' must be"):
            a.on_success_callback = 3
        with pytest.raises(BadOption, match="'retries' of task 'a' must be a whole"):
            a.retries = -1
    d.doc_md = "about the DAG"
    assert (d.spec().description, a.on_failure_callback) == ("about the DAG", [nothing])
    assert only(d) == TaskSpec(
        task_id=TaskId("a"),
        operator="EmptyOperator",
        retry=RetryPolicy(retries=4, retry_delay=timedelta(minutes=1)),
        trigger_rule=TriggerRule.ONE_FAILED,
        callbacks=("failure",),
        doc="# What it is",
    )
    assert a.arguments() == {}


def test_callbacks_travel_with_the_code_and_are_no_part_of_what_a_task_does(
    project: Project,
) -> None:
    text = """
    from mlflowkit import DAG, task
    def told(context): return "task {task} " + context["who"]
    def ended(context): return "run {run} " + context["who"]
    @task(on_failure_callback=told)
    def work(): return 1
    with DAG("d", on_success_callback=ended) as d:
        work()
    """
    words = [("a", "a"), ("b", "a"), ("a", "b")]
    bundles = [project.store(text.format(task=t, run=r))[0] for t, r in words]
    read = """
import sys, json
from mlflowkit.authoring.open_bundle import open_bundle
bundle = open_bundle(sys.argv[1])
calls = [*bundle.operator("work").callbacks["failure"], *bundle.callbacks()["success"]]
print("TOLD", json.dumps([call({"who": "me"}) for call in calls]))
print("SAME", json.dumps(bundle.spec().tasks["work"].fingerprint))
"""
    opened = [
        project.python("-c", read, str(project.home / "bundles" / one)).stdout
        for one in bundles
    ]
    assert [told(output, "TOLD") for output in opened] == [
        ["task a me", "run a me"],
        ["task b me", "run a me"],
        ["task a me", "run b me"],
    ]
    assert (len(set(bundles)), len({told(output, "SAME") for output in opened})) == (3, 1)


def test_the_fingerprint_of_a_task_does_not_hang_on_its_options(project: Project) -> None:
    def fingerprint(**options: Any) -> str:
        with DAG("d") as d:
            EmptyOperator(task_id="a", **options)
        return only(replace_spec(d)).fingerprint

    def replace_spec(d: DAG) -> Any:
        spec = make_bundle(d, project.home).spec
        return type("One", (), {"spec": lambda self: replace(spec)})()

    assert fingerprint() == fingerprint(pool="gpu", trigger_rule="always", owner="me")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "code",
            "option 'code' of DAG 'd' belongs to retry(), as in run.retry(code='same'): "
            "run() takes the code as it is now.",
        ),
        ("targets", "DAG 'd' has no parameter 'targets' (it has: logical_date, refresh, "),
    ],
)
def test_an_option_that_run_does_not_heed_is_refused(name: str, told: str) -> None:
    with DAG("d") as dag:
        task(task_id="a")(str)()
    with pytest.raises(UserError) as caught:
        dag.run(**{name: "same"})
    assert str(caught.value).startswith(told)
