"""Setup and teardown: how they are marked, and which arrows they have."""

from __future__ import annotations

import pytest

from mlflowkit import DAG, EmptyOperator, TaskGroup, setup, task, task_group, teardown
from mlflowkit.errors import BadOption


@setup
def make() -> str:
    return "cluster"


@task
def work(x: object = None) -> int:
    return 1


@teardown
def drop(name: object = None) -> None:
    return None


def idle(name: str) -> EmptyOperator:
    return EmptyOperator(task_id=name)


def edges(d: DAG) -> dict[str, tuple[str, ...]]:
    return {name: spec.upstream for name, spec in d.spec().tasks.items()}


def kinds(d: DAG) -> dict[str, str]:
    """What is no plain task: its kind and trigger rule."""
    return {
        name: f"{'setup' if spec.setup else 'teardown'} {spec.trigger_rule}"
        for name, spec in d.spec().tasks.items()
        if spec.setup or spec.teardown
    }


def test_decorators_and_methods_mark_tasks() -> None:
    with DAG("d") as d:
        make() >> work() >> drop()
        idle("s").as_setup() >> idle("w") >> idle("t").as_teardown()
    assert kinds(d) == {
        "make": "setup all_success",
        "drop": "teardown all_done_setup_success",
        "s": "setup all_success",
        "t": "teardown all_done_setup_success",
    }
    assert edges(d) == {
        "make": (),
        "work": ("make",),
        "drop": ("work",),
        "s": (),
        "w": ("s",),
        "t": ("w",),
    }


def test_as_teardown_names_its_setups() -> None:
    with DAG("d") as d:
        s1, s2, w, t = (idle(name) for name in ("s1", "s2", "w", "t"))
        s1 >> w >> t.as_teardown(setups=[s1, s2], on_failure_fail_dagrun=True)
        work() >> drop().as_teardown(setups=make())
    assert edges(d) == {
        "s1": (),
        "s2": (),
        "w": ("s1",),
        "t": ("s1", "s2", "w"),
        "work": (),
        "drop": ("make", "work"),
        "make": (),
    }
    assert kinds(d) == {
        "s1": "setup all_success",
        "s2": "setup all_success",
        "t": "teardown all_done_setup_success",
        "drop": "teardown all_done_setup_success",
        "make": "setup all_success",
    }
    tasks = d.spec().tasks
    assert [tasks[name].on_failure_fail_dagrun for name in ("t", "drop")] == [True, False]


def test_work_inside_a_with_stands_between_setup_and_teardown() -> None:
    with DAG("d") as d:
        s, t = idle("s"), idle("t")
        with t.as_teardown(setups=s):
            a, b = idle("a"), idle("b")
            a >> b
            idle("c")
        with make() >> drop():
            work(work())
    assert edges(d) == {
        "s": (),
        "t": ("s", "b", "c"),
        "a": ("s",),
        "b": ("a",),
        "c": ("s",),
        "make": (),
        "drop": ("make", "work__1"),
        "work": ("make",),
        "work__1": ("work",),
    }


def test_scopes_nest() -> None:
    with DAG("d") as d:
        s1, t1, s2, t2 = (idle(name) for name in ("s1", "t1", "s2", "t2"))
        with t1.as_teardown(setups=s1):
            idle("a")
            with t2.as_teardown(setups=s2):
                idle("b")
    assert edges(d) == {
        "s1": (),
        "t1": ("s1", "t2", "a"),
        "s2": ("s1",),
        "t2": ("s2", "b"),
        "a": ("s1",),
        "b": ("s2",),
    }


def test_what_stands_after_a_group_does_not_wait_for_its_teardowns() -> None:
    with DAG("d") as d:
        with TaskGroup("g") as g:
            s, w, t = idle("s"), idle("w"), idle("t")
            s >> w >> t.as_teardown(setups=s)
        idle("start") >> g >> idle("end")
        t >> idle("told")
    assert edges(d) == {
        "g.s": ("start",),
        "g.w": ("g.s",),
        "g.t": ("g.s", "g.w"),
        "start": (),
        "end": ("g.w",),
        "told": ("g.t",),
    }


def test_a_teardown_function_may_fail_the_run() -> None:
    @teardown(on_failure_fail_dagrun=True)
    def strict() -> None: ...

    @setup
    @task(retries=3, task_id="ready")
    def early() -> None: ...

    with DAG("d") as d:
        early() >> work() >> strict()
    told = {
        n: (s.retry.retries, s.on_failure_fail_dagrun) for n, s in d.spec().tasks.items()
    }
    assert told == {"ready": (3, False), "work": (0, False), "strict": (0, True)}


def test_marks_that_contradict_each_other_are_refused() -> None:
    @task_group
    def group() -> None:
        idle("a")

    with DAG("d"):
        with pytest.raises(BadOption, match="is a teardown already"):
            drop().as_setup()
        with pytest.raises(BadOption, match="is a setup already"):
            make().as_teardown()
        with pytest.raises(BadOption, match="cannot be chosen for a teardown"):
            EmptyOperator(task_id="t", trigger_rule="all_done").as_teardown()
        with pytest.raises(BadOption, match="needs a setup or a teardown"), work():
            pass
        with pytest.raises(BadOption, match="is a task group: mark the tasks inside"):
            setup(group)  # type: ignore[call-overload]
    with pytest.raises(BadOption, match="must be 'all_success' directly below the setup"):
        a_rule_below_a_setup()


def a_rule_below_a_setup() -> None:
    with DAG("d"):
        make() >> EmptyOperator(task_id="a", trigger_rule="all_done")
