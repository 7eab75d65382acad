"""Writing DAGs: what waits for what, and what is refused while the cell runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypedDict

import pytest

from mlflowkit import DAG, BaseOperator, BashOperator, PythonOperator, chain, dag, task
from mlflowkit.authoring.refs import XComArg
from mlflowkit.core.spec import Axis, Expansion, RetryPolicy, XComRef
from mlflowkit.errors import (
    BadOption,
    BadSchedule,
    CannotExpand,
    CycleFound,
    DifferentDags,
    DuplicateTaskId,
    MissingParameter,
    NoDagOpen,
    NotATask,
    NotExpandable,
    NotYetKnown,
    TooManyArguments,
    UnknownOption,
    UnknownParameter,
)


class Idle(BaseOperator):
    def execute(self, context: object) -> None:
        return None


@task
def load(n: int = 1) -> list[int]:
    return list(range(n))


@task
def train(rows: list[int], lr: float = 0.1) -> dict[str, float]:
    return {"model": lr, "score": float(len(rows))}


class Out(TypedDict):
    a: int


def edges(d: DAG) -> dict[str, tuple[str, ...]]:
    return {name: spec.upstream for name, spec in d.spec().tasks.items()}


def test_arrows_join_tasks_and_lists_on_either_side() -> None:
    with DAG("d") as d:
        a, b, c, e, f = (Idle(task_id=name) for name in "abcef")
        a >> [b, c] >> e
        e << f
        f.set_upstream(a)
        a.set_downstream([e])
    assert edges(d) == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "e": ("b", "c", "f", "a"),
        "f": ("a",),
    }
    assert (a.downstream_task_ids, e.upstream_task_ids) == (
        {"b", "c", "e", "f"},
        {"a", "b", "c", "f"},
    )


def test_chain_joins_lists_pair_by_pair() -> None:
    with DAG("d") as d:
        a, b, c, e, f, g = (Idle(task_id=name) for name in "abcefg")
        chain(a, [b, c], [e, f], g)
    assert edges(d) == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "e": ("b",),
        "f": ("c",),
        "g": ("e", "f"),
    }
    with DAG("d"), pytest.raises(BadOption, match="lists of 1 and 2 tasks"):
        chain([Idle(task_id="a")], [Idle(task_id="b"), Idle(task_id="c")])


def test_arguments_join_tasks_at_any_depth_and_name_what_is_taken() -> None:
    with DAG("d") as d:
        rows = load(3)
        fitted = train(rows)
        PythonOperator(
            task_id="show",
            python_callable=print,
            op_args=[{"in": (rows, [fitted["model"]])}],
        )
    assert d.spec().tasks["show"].upstream == ("load", "train")
    assert d.spec().tasks["show"].inputs == (XComRef("load"), XComRef("train", "model"))


def test_a_function_called_again_is_another_task() -> None:
    with DAG("d") as d:
        load() >> load() >> load.override(task_id="mine", retries=2)()
    assert edges(d) == {"load": (), "load__1": ("load",), "mine": ("load__1",)}
    assert d.spec().tasks["mine"].retry.retries == 2


def test_options_come_from_the_task_then_its_default_args_then_the_dag_s() -> None:
    with DAG("d", default_args={"retries": 3, "retry_delay": 60, "owner": "me"}) as d:
        Idle(task_id="a")
        Idle(task_id="b", retries=1, retry_exponential_backoff=True, max_retry_delay=600)
        Idle(task_id="c", default_args={"retries": 7}, execution_timeout=timedelta(hours=1))
        load()
    minute = timedelta(minutes=1)
    specs = d.spec().tasks
    assert [spec.retry for spec in specs.values()] == [
        RetryPolicy(retries=3, retry_delay=minute),
        RetryPolicy(
            retries=1,
            retry_delay=minute,
            exponential_backoff=2.0,
            max_retry_delay=10 * minute,
        ),
        RetryPolicy(retries=7, retry_delay=minute),
        RetryPolicy(retries=3, retry_delay=minute),
    ]
    assert specs["c"].execution_timeout == timedelta(hours=1)


def test_default_args_fill_the_arguments_of_an_operator_s_own_class() -> None:
    class Greet(Idle):
        def __init__(self, name: str, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]
            self.name = name

    with DAG("d", default_args={"name": "Ann"}) as d:
        greet = Greet(task_id="greet")  # type: ignore[call-arg]
        Idle(task_id="idle")
    assert (greet.name, d.task_ids) == ("Ann", ["greet", "idle"])


def write_a_circle() -> None:
    with DAG("d"):
        a, b = Idle(task_id="a"), Idle(task_id="b")
        a >> b >> a


def test_a_cycle_is_an_error_where_it_is_written() -> None:
    with pytest.raises(CycleFound, match=r"a >> b >> a|b >> a >> b"):
        write_a_circle()
    with DAG("d"):
        a, b = Idle(task_id="a"), Idle(task_id="b")
        a >> b
    with pytest.raises(CycleFound):
        b >> a


def test_mistakes_are_errors_that_say_what_to_do() -> None:
    with DAG("d"):
        first = Idle(task_id="a")
        with pytest.raises(DuplicateTaskId, match="already has a task 'a'"):
            Idle(task_id="a")
        with pytest.raises(
            UnknownOption, match=r"no option 'retrys'. Did you mean 'retries'"
        ):
            Idle(task_id="b", retrys=1)
        with pytest.raises(UnknownOption, match="Did you mean 'retries'"):
            task(retriess=1)(print)
        with pytest.raises(NotATask, match="Call the @task function first"):
            first >> load
        with pytest.raises(BadOption, match="'retries' of task 'c' must be a whole number"):
            Idle(task_id="c", retries="2")  # type: ignore[arg-type]
        with pytest.raises(BadOption, match="must be a timedelta or seconds, not -1"):
            Idle(task_id="c", retry_delay=-1)
        with pytest.raises(BadOption, match="must be a text of letters"):
            Idle(task_id="a b")
        with pytest.raises(UnknownParameter, match="task 'load' has no parameter 'm'"):
            load(m=3)
        with pytest.raises(
            MissingParameter, match=r"task 'train' needs a value for .*'rows'"
        ):
            train(lr=3)
        with pytest.raises(
            TooManyArguments,
            match=r"takes at most 1 arguments by position \(n\), .* given 2",
        ):
            load(1, 2)
    with DAG("e"), pytest.raises(DifferentDags, match=r"'a' of DAG 'd'|DAG 'd'"):
        Idle(task_id="z") >> first
    with pytest.raises(NoDagOpen, match=r"To call the function itself: load.function"):
        load(3)
    with pytest.raises(UnknownOption, match="Did you mean 'schedule'"):
        DAG("d", shedule="@daily")
    with pytest.raises(
        UnknownOption, match=r"default_args of DAG 'd'.*Did you mean 'retries'"
    ):
        DAG("d", default_args={"retrys": 1})


def test_an_output_is_not_a_value_while_the_dag_is_written() -> None:
    with DAG("d", params={"n": 3}) as d:
        rows, n = load(), d.params["n"]
        for use in (list, len, bool, str, "{}".format):
            with pytest.raises(
                NotYetKnown, match=r"output of task 'load'.*Pass it to a task"
            ):
                use(rows)
            with pytest.raises(NotYetKnown, match="the parameter 'n' is known only when"):
                use(n)
        with pytest.raises(NotYetKnown, match="calculated with"):
            n + 1
        with pytest.raises(NotYetKnown, match="compared"):
            assert n == 3
        with pytest.raises(NotYetKnown, match="indexed with 0"):
            rows[0]  # type: ignore[index]


def test_several_outputs_are_inferred_from_a_dict_with_text_keys() -> None:
    def text() -> dict[str, int]: ...
    def numbers() -> dict[int, int]: ...
    def typed() -> Out: ...
    def bare() -> dict: ...  # type: ignore[type-arg]
    def none(): ...  # type: ignore[no-untyped-def]

    with DAG("d") as d:
        for function in (text, numbers, typed, bare, none):
            task(function)()
        task(multiple_outputs=False)(text)()
    found = [t.multiple_outputs for t in d.tasks if isinstance(t, PythonOperator)]
    assert found == [True, False, True, True, False, False]


def test_mapping_gives_axes_and_asks_sources_for_lengths() -> None:
    with DAG("d") as d:
        rows = load(3)
        fitted = train.partial(rows=rows).expand(lr=[0.1, 0.2])
        train.expand(rows=rows, lr=fitted["model"])
        BashOperator.partial("echo", env={"A": rows}).expand(bash_command=["a", "b", "c"])
    specs = d.spec().tasks
    assert specs["load"].expanded_keys == ("return_value",)
    assert specs["train"].expanded_keys == ()  # its instances are counted, not their items
    assert specs["train"].expansion == Expansion(axes=(Axis(name="lr", length=2),))
    assert specs["train"].inputs == (XComRef("load"),)
    assert specs["train__1"].expansion == Expansion(
        axes=(
            Axis(name="rows", source=XComRef("load")),
            Axis(name="lr", source=XComRef("train", "model")),
        )
    )
    assert (specs["train__1"].inputs, specs["train__1"].upstream) == ((), ("load", "train"))
    assert (specs["echo"].operator, specs["echo"].upstream) == ("BashOperator", ("load",))


def test_what_cannot_be_mapped_is_said() -> None:
    with DAG("d", params={"n": [1]}) as d:
        with pytest.raises(NotExpandable, match=r"argument 'n'.*the value is a str"):
            load.expand(n="abc")
        with pytest.raises(CannotExpand, match="needs at least one argument"):
            load.expand()
        with pytest.raises(CannotExpand, match="n is a parameter of the DAG"):
            load.expand(n=d.params["n"])
        with pytest.raises(
            CannotExpand, match=r"rows is in .partial\(\) and in .expand\(\)"
        ):
            train.partial(rows=[1]).expand(rows=[[1]])
        with pytest.raises(UnknownParameter):
            load.partial(m=1)
        with pytest.raises(UnknownOption, match="Did you mean 'bash_command'"):
            BashOperator.partial("x").expand(bash_comand=["a"])
    assert d.task_ids == []


def test_schedules_and_start_dates_are_checked_and_kept() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    given = ["@daily", "0 6 * * *", timedelta(hours=1), None]
    found = [DAG("d", schedule=one, start_date=start).spec() for one in given]
    assert [spec.schedule for spec in found] == [
        "@daily",
        "0 6 * * *",
        "every 1:00:00",
        None,
    ]
    assert {spec.start_date for spec in found} == {start}
    assert DAG("d", schedule_interval="@hourly").schedule == "@hourly"
    naive = DAG("d", default_args={"start_date": datetime(2026, 1, 1)}).start_date  # noqa: DTZ001
    assert naive is not None
    assert naive.tzinfo is not None
    for wrong in ("every day", "61 * * * *", "@dayly", 5, timedelta()):
        with pytest.raises(BadSchedule, match="DAG 'd' has the schedule"):
            DAG("d", schedule=wrong)  # type: ignore[arg-type]


def test_a_dag_function_is_bare_or_has_options_and_its_doc_is_kept() -> None:
    @dag
    def plain() -> None:
        """Says what it is."""
        load()

    @dag("named", schedule="@daily", tags=["a"])
    def other() -> None: ...

    assert (plain().dag_id, plain().spec().description) == ("plain", "Says what it is.")
    assert (other().dag_id, other().schedule, other().tags) == ("named", "@daily", ("a",))


def test_a_dag_shows_itself_as_text() -> None:
    with DAG("d") as d:
        train(load())
        load.expand(n=[1, 2])
    assert repr(d) == ("DAG d: 3 tasks\n  load\n  load >> train\n  load__1 (mapped over n)")
    shown = d._repr_mimebundle_()
    assert shown["text/plain"] == repr(d)
    assert shown["text/html"] == d._repr_html_()
    assert shown["image/svg+xml"].startswith("<svg ")


def test_operators_made_outside_join_the_dag_of_their_neighbour() -> None:
    alone = Idle(task_id="alone")
    with DAG("d") as d:
        Idle(task_id="a") >> alone
    assert edges(d) == {"a": (), "alone": ("a",)}
    assert isinstance(alone.output, XComArg)
