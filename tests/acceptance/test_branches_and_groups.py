"""Branches, groups, mapping, setup and teardown, from the DAG as people write it to its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import (
    DAG,
    BashOperator,
    EmptyOperator,
    RunFailed,
    ShortCircuitOperator,
    TaskGroup,
    TaskSkipped,
    setup,
    task,
    task_group,
    teardown,
)
from mlflowkit.inline import TestRun


def run_of(d: DAG, folder: Path) -> TestRun:
    """The run, also of a DAG that fails."""
    run = TestRun(d, d.spec(), {}, folder)
    try:
        run.go()
    except RunFailed:
        assert run.state == "failed"
    return run


def idle(name: str, rule: str = "all_success") -> EmptyOperator:
    return EmptyOperator(task_id=name, trigger_rule=rule)


@task
def load() -> list[int]:
    return [1, 2, 3]


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
def total(numbers: Sequence[int]) -> int:
    return sum(numbers)


def test_a_branch_skips_what_it_did_not_choose_and_rules_decide_further_down() -> None:
    @task.branch
    def choose() -> str:
        return "a"

    with DAG("d") as d:
        choose() >> [idle("a"), idle("b")]
        d.get_task("b") >> idle("below_b")
        joins = [idle("all"), idle("any", "none_failed_min_one_success")]
        for join in [*joins, idle("skips", "none_skipped"), idle("done", "all_done")]:
            [d.get_task("a"), d.get_task("b")] >> join
    assert d.test().states() == {
        "choose": "success",
        "a": "success",
        "b": "skipped",
        "below_b": "skipped",
        "all": "skipped",
        "any": "success",
        "skips": "skipped",
        "done": "success",
    }


def test_a_task_that_waits_for_the_branch_and_for_the_chosen_one_runs() -> None:
    @task.branch
    def choose() -> list[str]:
        return ["a"]

    with DAG("d") as d:
        chosen, a, join = choose(), idle("a"), idle("join")
        chosen >> [a, idle("b"), join]
        a >> join
    assert d.test().states() == {
        "choose": "success",
        "a": "success",
        "b": "skipped",
        "join": "success",
    }


def test_a_branch_chooses_a_group_or_nothing() -> None:
    @task.branch
    def choose(what: str | None) -> str | None:
        return what

    def made(what: str | None) -> DAG:
        with DAG("d") as d:
            with TaskGroup("g") as g:
                idle("a") >> idle("b")
                idle("c")
            choose(what) >> [g, idle("x")]
        return d

    assert made("g").test().states() == {
        "g.a": "success",
        "g.b": "success",
        "g.c": "success",
        "x": "skipped",
        "choose": "success",
    }
    assert made(None).test().states() == {
        "g.a": "skipped",
        "g.b": "skipped",
        "g.c": "skipped",
        "x": "skipped",
        "choose": "success",
    }


def test_a_branch_that_names_nothing_below_it_fails(tmp_path: Path) -> None:
    @task.branch
    def choose() -> str:
        return "c"

    with DAG("d") as d:
        choose() >> [idle("a"), idle("b")]
    run = run_of(d, tmp_path)
    assert run.states() == {
        "choose": "failed",
        "a": "upstream_failed",
        "b": "upstream_failed",
    }
    assert "'c', which is not directly below it" in str(run.exception)


@pytest.mark.parametrize(
    ("ignore", "states"),
    [
        (True, {"go": "success", "a": "skipped", "b": "skipped", "c": "skipped"}),
        (False, {"go": "success", "a": "skipped", "b": "skipped", "c": "success"}),
    ],
)
def test_a_short_circuit_ends_all_that_follows_or_only_what_is_next(
    ignore: bool, states: dict[str, str]
) -> None:
    with DAG("d") as d:
        go = ShortCircuitOperator(
            task_id="go",
            python_callable=lambda: False,
            ignore_downstream_trigger_rules=ignore,
        )
        go >> idle("a") >> [idle("b"), idle("c", "all_done")]
    assert d.test().states() == states


def test_conditions_skip_before_a_task_is_called() -> None:
    @task.run_if(lambda context: context["params"]["deploy"], skip_message="not asked for")
    @task
    def deploy() -> str:
        return "deployed"

    with DAG("d", params={"deploy": False}) as d:
        deploy() >> idle("after")
    assert d.test().states() == {"deploy": "skipped", "after": "skipped"}
    assert d.test(deploy=True).states() == {"deploy": "success", "after": "success"}


# ── mapping ──


def test_groups_wait_for_groups_and_values_go_through_them() -> None:
    @task_group
    def twice(x: Any) -> Any:
        return add(add(x))

    with DAG("d") as d:
        with TaskGroup("start") as start:
            idle("a")
            idle("b")
        with TaskGroup("end") as end:
            idle("c")
        total([twice(1), twice(10)]) >> end
        start >> d.groups["twice"]
    run = d.test()
    assert run.states() == dict.fromkeys(d.task_ids, "success")
    assert (run.result("total"), d.spec().tasks["twice.add"].upstream) == (
        15,
        ("start.a", "start.b"),
    )


def test_each_instance_of_a_mapped_group_keeps_to_its_own_item() -> None:
    @task_group
    def steps(x: int, y: int) -> Any:
        return add.override(task_id="second")(add.override(task_id="first")(x, y), 100)

    with DAG("d") as d:
        total(steps.partial(y=10).expand(x=load()))
    run = d.test()
    assert run.states() == {
        "load": "success",
        "steps.first[0]": "success",
        "steps.first[1]": "success",
        "steps.first[2]": "success",
        "steps.second[0]": "success",
        "steps.second[1]": "success",
        "steps.second[2]": "success",
        "total": "success",
    }
    assert (run.result("steps.second"), run.result("total")) == ([111, 112, 113], 336)


def test_an_item_that_is_skipped_skips_only_its_own_row_of_a_mapped_group() -> None:
    @task
    def odd(x: int) -> int:
        if x == 2:
            raise TaskSkipped("even")
        return x

    @task_group
    def steps(x: int) -> Any:
        return add(odd(x))

    with DAG("d") as d:
        steps.expand(x=load())
    assert d.test().states() == {
        "load": "success",
        "steps.odd[0]": "success",
        "steps.odd[1]": "skipped",
        "steps.odd[2]": "success",
        "steps.add[0]": "success",
        "steps.add[1]": "skipped",
        "steps.add[2]": "success",
    }


def test_items_are_changed_put_side_by_side_and_one_after_another() -> None:
    @task
    def show(x: Any) -> str:
        return repr(x)

    @task
    def letters() -> dict[str, int]:
        return {"a": 1, "b": 2}

    def big(x: int) -> int:
        if x < 2:
            raise TaskSkipped("small")
        return x * 10

    with DAG("d") as d:
        rows = load()
        show.override(task_id="map").expand(x=rows.map(big))
        show.override(task_id="zip").expand(x=rows.zip(letters()))
        show.override(task_id="fill").expand(x=rows.zip([9], fillvalue=0))
        show.override(task_id="concat").expand(x=rows.concat([7], rows.map(str)))
        total(rows.map(lambda x: x * 2).concat([100]))
    run = d.test()
    assert {k: v for k, v in run.states().items() if k.startswith("map")} == {
        "map[0]": "skipped",
        "map[1]": "success",
        "map[2]": "success",
    }
    assert {
        name: run.result(name) for name in ("map", "zip", "fill", "concat", "total")
    } == {
        "map": ["20", "30"],
        "zip": ["(1, ('a', 1))", "(2, ('b', 2))"],
        "fill": ["(1, 9)", "(2, 0)", "(3, 0)"],
        "concat": ["1", "2", "3", "7", "'1'", "'2'", "'3'"],
        "total": 112,
    }


def test_whole_sets_of_arguments_are_mapped_over_functions_operators_and_groups() -> None:
    @task
    def sets() -> list[dict[str, int]]:
        return [{"x": 1}, {"x": 2, "y": 20}]

    @task
    def commands() -> list[dict[str, Any]]:
        return [{"bash_command": "echo a"}, {"bash_command": "echo $N", "env": {"N": "b"}}]

    @task_group
    def steps(x: int, y: int = 5) -> Any:
        return add.override(task_id="in_group")(x, y)

    with DAG("d") as d:
        add.expand_kwargs(sets())
        BashOperator.partial(task_id="say", append_env=True).expand_kwargs(commands())
        steps.expand_kwargs(sets())
    run = d.test()
    assert [run.result(name) for name in ("add", "say", "steps.in_group")] == [
        [2, 22],
        ["a", "b"],
        [6, 22],
    ]


# ── setup and teardown ──


def test_a_teardown_runs_whatever_came_of_the_work_and_the_run_still_fails(
    tmp_path: Path,
) -> None:
    @setup
    def make() -> str:
        return "cluster"

    @task
    def work(name: str) -> None:
        raise ValueError(f"{name} broke")

    @teardown
    def drop(name: str) -> str:
        return f"{name} is gone"

    with DAG("d") as d:
        name = make()
        work(name) >> idle("after") >> drop(name)
    run = run_of(d, tmp_path)
    assert run.states() == {
        "make": "success",
        "work": "failed",
        "after": "upstream_failed",
        "drop": "success",
    }
    assert run.result("drop") == "cluster is gone"


@pytest.mark.parametrize(("strict", "state"), [(False, "success"), (True, "failed")])
def test_a_teardown_that_fails_fails_the_run_only_where_it_says_so(
    strict: bool, state: str, tmp_path: Path
) -> None:
    @teardown(on_failure_fail_dagrun=strict)
    def drop() -> None:
        raise ValueError("cannot drop")

    with DAG("d") as d:
        idle("make").as_setup() >> idle("work") >> drop()
    run = run_of(d, tmp_path)
    assert run.states() == {"make": "success", "work": "success", "drop": "failed"}
    assert run.state == state


def test_what_is_in_a_scope_is_skipped_with_its_setup_and_what_is_after_a_group_goes_on() -> (
    None
):
    @setup
    def make() -> None:
        raise TaskSkipped("not needed")

    @teardown
    def drop() -> None: ...

    with DAG("d") as d:
        with TaskGroup("g") as g, drop().as_teardown(setups=make()):
            idle("work")
        g >> idle("after", "none_failed")
    assert d.test().states() == {
        "g.drop": "skipped",
        "g.make": "skipped",
        "g.work": "skipped",
        "after": "success",
    }


# ── all together ──


def test_a_branch_in_a_mapped_group_chooses_for_each_item() -> None:
    @task.branch
    def choose(x: int) -> str:
        return "steps.even" if x % 2 == 0 else "steps.odd"

    @task_group
    def steps(x: int) -> None:
        choose(x) >> [idle("even"), idle("odd")] >> idle("join", "one_success")

    with DAG("d") as d:
        steps.expand(x=load())
    assert d.test().states() == {
        "load": "success",
        "steps.choose[0]": "success",
        "steps.choose[1]": "success",
        "steps.choose[2]": "success",
        "steps.even[0]": "skipped",
        "steps.even[1]": "success",
        "steps.even[2]": "skipped",
        "steps.odd[0]": "success",
        "steps.odd[1]": "skipped",
        "steps.odd[2]": "success",
        "steps.join[0]": "success",
        "steps.join[1]": "success",
        "steps.join[2]": "success",
    }


def test_callbacks_are_called_for_each_end_of_a_task_and_of_the_run(tmp_path: Path) -> None:
    told: list[str] = []

    def tell(word: str) -> Any:
        return lambda context: told.append(f"{word} {context['task_id']}")

    def tell_run(context: Any) -> None:
        told.append(f"run failed: {context['dag_run'].run_id}")

    @task
    def skips() -> None:
        raise TaskSkipped("no need")

    @task
    def fails() -> None:
        raise ValueError("broken")

    every = {
        f"on_{kind}_callback": tell(kind)
        for kind in ("execute", "success", "failure", "skipped")
    }
    with DAG("d", default_args=every, on_failure_callback=tell_run) as d:
        add(1) >> skips()
        fails()
    run = run_of(d, tmp_path)
    assert run.states() == {"add": "success", "skips": "skipped", "fails": "failed"}
    assert sorted(told) == [
        "execute add",
        "execute fails",
        "execute skips",
        "failure fails",
        f"run failed: {run.run_id}",
        "skipped skips",
        "success add",
    ]


def test_a_task_that_pushes_nothing_leaves_no_xcom() -> None:
    with DAG("d") as d:
        add.override(do_xcom_push=False)(1)
    run = d.test()
    assert (run.states(), run.result("add")) == ({"add": "success"}, None)
