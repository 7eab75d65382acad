"""Branches, short circuits, conditions: what they ask of the run, and what they refuse."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle
import pytest

from mlflowkit import (
    DAG,
    BaseBranchOperator,
    BranchPythonOperator,
    EmptyOperator,
    ShortCircuitOperator,
    TaskGroup,
    task,
)
from mlflowkit.authoring.resolve import render
from mlflowkit.authoring.task_kinds import ELSEWHERE
from mlflowkit.errors import (
    BadOption,
    BranchNotBelow,
    NotInTask,
    TaskSkipped,
    UnknownOption,
    UnknownParameter,
)
from mlflowkit.ports import as_running


class Running:
    """A task that runs: keeps what its code asks of the run."""

    def __init__(self) -> None:
        self.context: Mapping[str, Any] = {}
        self.asked: list[object] = []

    def push(self, key: str, value: object) -> None:
        self.asked.append((key, value))

    def follow(self, task_ids: Sequence[str]) -> None:
        self.asked.append(["follow", *task_ids])

    def halt(self, *, direct_only: bool) -> None:
        self.asked.append(["halt", direct_only])


def executed(d: DAG, task_id: str, **context: Any) -> tuple[object, list[object]]:
    """What a task returns and asks for, after the journey to a worker."""
    travelled = pickle.loads(cloudpickle.dumps(d.get_task(task_id)))
    made = render(travelled, lambda ref: None, {}, {})
    running = Running()
    with as_running(running):  # type: ignore[arg-type]
        return made.execute(context), running.asked


def idle(name: str) -> EmptyOperator:
    return EmptyOperator(task_id=name)


def branching(chosen: object) -> DAG:
    """choose > [a, b, join, group.{c, d}], a > join; a > far."""
    with DAG("d") as d:
        choose = BranchPythonOperator(task_id="choose", python_callable=lambda: chosen)
        a, b, join, far = (idle(name) for name in ("a", "b", "join", "far"))
        with TaskGroup("group") as group:
            idle("c") >> idle("later")
            idle("d")
        choose >> [a, b, join, group]
        a >> [join, far]
    return d


@pytest.mark.parametrize(
    ("chosen", "followed"),
    [
        ("b", ["b"]),
        ("a", ["a", "join"]),
        (["b", "join"], ["b", "join"]),
        (("b",), ["b"]),
        ("group", ["group.c", "group.d"]),
        (["group.d", "a"], ["group.d", "a", "join"]),
        (None, []),
        ([], []),
    ],
)
def test_a_branch_follows_what_it_returns_and_what_waits_for_that(
    chosen: object, followed: list[str]
) -> None:
    assert executed(branching(chosen), "choose") == (chosen, [["follow", *followed]])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("far", "'far', which is not directly below it"),
        ("c", r"'c', which is not directly below .*a full id"),
        ("goup", "Did you mean 'group'"),
        (7, "returned 7, which"),
        (["a", None], "returned None, which"),
        (True, "returned True"),
    ],
)
def test_a_branch_that_returns_anything_else_names_it(chosen: object, message: str) -> None:
    with pytest.raises(BranchNotBelow, match=message) as told:
        executed(branching(chosen), "choose")
    assert told.value.task_id == "choose"


def test_a_decorated_branch_takes_values_and_is_mapped_like_any_task() -> None:
    @task
    def number() -> int:
        return 1

    @task.branch(retries=2)
    def choose(n: Any, ti: object = None) -> str:
        return "a"

    with DAG("d") as d:
        choose(number()) >> [idle("a"), idle("b")]
        choose.override(task_id="each").expand(n=[1, 2]) >> idle("c")
    spec = d.spec().tasks["choose"]
    assert (spec.operator, spec.upstream, spec.retry.retries) == (
        "@task.branch",
        ("number",),
        2,
    )
    assert d.spec().tasks["each"].expansion is not None
    assert executed(d, "choose") == ("a", [["follow", "a"]])


def test_a_branch_may_be_a_class() -> None:
    class ByDay(BaseBranchOperator):
        def choose_branch(self, context: Mapping[str, Any]) -> str:
            return str(context["day"])

    with DAG("d") as d:
        ByDay(task_id="choose") >> [idle("mon"), idle("tue")]
    assert executed(d, "choose", day="tue") == ("tue", [["follow", "tue"]])


def test_a_short_circuit_halts_what_is_below_unless_it_returns_something_true() -> None:
    @task.short_circuit
    def go_on(x: object) -> object:
        return x

    with DAG("d") as d:
        for value in ([], 0, "yes"):
            go_on(value) >> idle(f"a{value!r}".replace("[]", "x").replace("'", ""))
        ShortCircuitOperator(
            task_id="near",
            python_callable=lambda: None,
            ignore_downstream_trigger_rules=False,
        )
    assert executed(d, "go_on") == ([], [["halt", False]])
    assert executed(d, "go_on__1") == (0, [["halt", False]])
    assert executed(d, "go_on__2") == ("yes", [])
    assert executed(d, "near") == (None, [["halt", True]])


def test_conditions_are_asked_before_the_function_is_called() -> None:
    @task.run_if(lambda context: context["n"] > 1, skip_message="too few")
    @task.skip_if(lambda context: (context["n"] > 5, "too many"))
    @task
    def work() -> str:
        return "done"

    @task.skip_if(lambda context: True)
    @task.branch
    def choose() -> str:
        raise AssertionError("never called")

    with DAG("d") as d:
        work()
        choose() >> idle("a")
    assert executed(d, "work", n=3) == ("done", [])
    for n, why in ((1, "too few"), (6, "too many")):
        with pytest.raises(TaskSkipped, match=why):
            executed(d, "work", n=n)
    with pytest.raises(TaskSkipped, match="skipped by skip_if"):
        executed(d, "choose")
    with pytest.raises(BadOption, match="stands above @task, not below"):
        task.run_if(lambda context: True)(print)  # type: ignore[arg-type]


def test_a_bash_function_returns_the_command_that_is_run() -> None:
    @task.bash(env={"WHO": "me"}, append_env=True)
    def greet(word: str) -> str:
        return f"echo {word} $WHO"

    @task.bash
    def wrong() -> int:
        return 3

    with DAG("d") as d:
        greet("hello")
        wrong()
    assert executed(d, "greet") == ("hello me", [])
    assert d.spec().tasks["greet"].operator == "@task.bash"
    with pytest.raises(BadOption, match="must return a command for bash"):
        executed(d, "wrong")


def test_kinds_of_task_that_do_not_exist_and_options_they_lack_are_errors() -> None:
    with pytest.raises(AttributeError, match=r"no @task.brunch. Did you mean 'branch'"):
        task.brunch
    with pytest.raises(
        UnknownOption, match=r"@task.bash on print\(\) has no option 'envv'"
    ):
        task.bash(envv={})(print)

    @task.branch
    def choose(n: int) -> str:
        return "a"

    with DAG("d"), pytest.raises(UnknownParameter):
        choose(m=1)
    branch = BranchPythonOperator(task_id="b", python_callable=lambda: None)
    with pytest.raises(NotInTask, match="a branch"):
        branch.execute({})


def test_every_kind_of_task_is_itself_when_asked_again() -> None:
    assert [repr(one) for one in (task, task.branch, task.sensor, task.bash)] == [
        "@task",
        "@task.branch",
        "@task.sensor",
        "@task.bash",
    ]

    @task.sensor(poke_interval=1, mode="reschedule")
    def there() -> bool:
        return True

    with DAG("d") as d:
        there()
    assert d.spec().tasks["there"].operator == "@task.sensor"
    assert executed(d, "there") == (None, [])


@pytest.mark.parametrize("kind", sorted(ELSEWHERE))
def test_a_kind_of_task_that_is_not_here_says_what_to_use(kind: str) -> None:
    with pytest.raises(AttributeError, match=f"there is no @task.{kind}: .*Operator"):
        getattr(task, kind)
