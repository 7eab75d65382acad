"""DAGs that use several features at once, through a real engine: every state is what somebody
who knows Airflow would write down beforehand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import (
    DAG,
    BaseOperator,
    BashOperator,
    EmptyOperator,
    RunFailed,
    TaskGroup,
    TaskSkipped,
    setup,
    task,
    task_group,
    teardown,
)
from mlflowkit.engine.locks import engine_alive
from mlflowkit.errors import BadOption
from mlflowkit.handles.run import RunHandle
from mlflowkit.operators import SQLExecuteQueryOperator
from tests.homes import engine_pid, fresh_home, wait_until

#: A run waits for a process that loads its code, which on a busy machine is long in coming.
SECONDS = 150
RESUME = [sys.executable, "-m", "mlflowkit", "runs", "resume"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home, and one engine in the background, for all stories."""
    with fresh_home(tmp_path_factory.mktemp("meaning")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
    monkeypatch.setenv("MLFLOWKIT_KILL_GRACE", "PT0.3S")
    monkeypatch.setenv("MLFLOWKIT_PARALLELISM", "4")  # on a machine of any size


def states(run: RunHandle) -> dict[str, str]:
    """State by task instance; mapped ones as `fit[0]`."""
    return {
        task.task_id + (f"[{one.map_index}]" if one.map_index >= 0 else ""): str(one.state)
        for task in run.view().tasks
        for one in task.instances
    }


def ended(run: RunHandle) -> RunHandle:
    try:
        run.wait(SECONDS)
    except RunFailed:
        assert run.state == "failed"
    return run


def run_of(dag: DAG) -> RunHandle:
    return ended(dag.run(wait=False))


def each(name: str, *found: str) -> dict[str, str]:
    return {f"{name}[{index}]": state for index, state in enumerate(found)}


def idle(name: str, rule: str = "all_success") -> EmptyOperator:
    return EmptyOperator(task_id=name, trigger_rule=rule)


@task
def numbers(n: int = 3) -> list[int]:
    return list(range(n))


@task
def same(x: Any) -> Any:
    return x


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


def test_a_branch_in_each_instance_of_a_group_and_rules_behind_the_whole_group() -> None:
    @task.branch
    def choose(x: int) -> list[str]:
        return ["g.even", "g.both"] if x % 2 == 0 else ["g.odd"]

    @task_group
    def g(x: int) -> None:
        ways = [idle("even"), idle("odd"), idle("both")]
        choose(x) >> ways
        ways >> idle("join", "none_failed_min_one_success")
        with TaskGroup("inner") as inner:
            idle("z")
        ways[0] >> inner

    with DAG("branch_in_groups") as dag:
        group = g.expand(x=numbers())
        dag.get_task("g.join") >> idle("after")
        group >> idle("strict")
        group >> idle("any", "one_success")
    run = run_of(dag)
    assert (run.state, states(run)) == (
        "success",
        {
            "numbers": "success",
            **each("g.choose", "success", "success", "success"),
            **each("g.even", "success", "skipped", "success"),
            **each("g.odd", "skipped", "success", "skipped"),
            **each("g.both", "success", "skipped", "success"),
            **each("g.join", "success", "success", "success"),
            **each("g.inner.z", "success", "skipped", "success"),
            "after": "success",
            "strict": "skipped",
            "any": "success",
        },
    )


def test_the_scope_of_a_mapped_group_is_torn_down_for_each_of_its_instances() -> None:
    @setup
    def make() -> str:
        return "cluster"

    @teardown
    def drop(name: str) -> str:
        return name

    @task
    def work(x: int) -> None:
        if x == 1:
            raise ValueError(x)

    @task_group
    def g(x: int) -> None:
        made = make()
        gone = drop(made)
        made >> work(x) >> gone.as_teardown(setups=made)

    with DAG("scopes_in_groups") as dag:
        g.expand(x=numbers()) >> idle("after")
    run = run_of(dag)
    assert (run.state, states(run)) == (
        "failed",
        {
            "numbers": "success",
            **each("g.make", "success", "success", "success"),
            **each("g.work", "success", "failed", "success"),
            **each("g.drop", "success", "success", "success"),
            "after": "upstream_failed",
        },
    )


def test_a_retry_goes_on_in_the_instances_of_a_group_that_failed(tmp_path: Path) -> None:
    mended = str(tmp_path / "mended")

    @task
    def first(x: int) -> int:
        if x == 1 and not os.path.exists(mended):
            raise ValueError("not yet")
        return x

    @task_group
    def g(x: int) -> Any:
        return same(first(x))

    @task.branch
    def choose(n: int) -> str:
        return "ways" if n == 3 else "other"

    with DAG("retried_group") as dag:
        chosen = choose(total(g.expand(x=numbers())))
        with TaskGroup("ways") as ways:
            idle("a") >> idle("b")
        chosen >> [ways, idle("other")] >> idle("end", "none_failed_min_one_success")
    run = run_of(dag)
    assert states(run) == {
        "numbers": "success",
        **each("g.first", "success", "failed", "success"),
        **each("g.same", "success", "upstream_failed", "success"),
        **dict.fromkeys(
            ("total", "choose", "ways.a", "ways.b", "other", "end"), "upstream_failed"
        ),
    }
    Path(mended).touch()
    good = {
        "numbers": "success",
        **each("g.first", "success", "success", "success"),
        **each("g.same", "success", "success", "success"),
        **dict.fromkeys(("total", "choose", "ways.a", "ways.b", "end"), "success"),
        "other": "skipped",
    }
    assert states(ended(run.retry())) == good
    assert states(ended(run.retry(["choose"]))) == good
    assert states(ended(run.retry(["numbers"]))) == good


def test_a_cancelled_run_still_tears_down() -> None:
    @setup
    def make() -> None: ...

    @teardown
    def drop() -> None: ...

    with DAG("cancelled") as dag:
        made, gone = make(), drop()
        work = BashOperator.partial(task_id="work").expand(
            bash_command=["sleep 60", "true", "sleep 60"]
        )
        made >> work >> idle("after") >> gone.as_teardown(setups=made)
        long = BashOperator(task_id="long", bash_command="sleep 60")
        long >> idle("never", "all_done")
    run = dag.run(wait=False)
    under_way = ("work[0]", "work[2]", "long")
    wait_until(
        lambda: (
            (found := states(run)).get("work[1]") == "success"
            and all(found.get(name) == "running" for name in under_way)
        )
    )
    run.cancel()
    with pytest.raises(RunFailed, match="the run cancelled/1 failed: cancelled"):
        run.wait(SECONDS)
    assert states(run) == {
        "make": "success",
        **each("work", "failed", "success", "failed"),
        "long": "failed",
        "after": "skipped",
        "never": "skipped",
        "drop": "success",
    }


def test_an_engine_killed_in_a_mapped_group_changes_no_outcome(
    home: Path, tmp_path: Path
) -> None:
    go = str(tmp_path / "go")

    @task.branch
    def choose(x: int) -> str:
        return "g.even" if x % 2 == 0 else "g.odd"

    @task
    def even(x: int) -> int:
        while not os.path.exists(go):
            time.sleep(0.01)
        return x

    @task_group
    def g(x: int) -> None:
        choose(x) >> [even(x), idle("odd")] >> idle("join", "one_success")

    with DAG("killed_engine") as dag:
        g.expand(x=numbers()) >> idle("after", "none_failed")
    run = dag.run(wait=False)
    pid, resumed = wait_until(lambda: engine_pid(home)), []
    for _ in range(2):
        wait_until(lambda: list(states(run).values()).count("running") == 2)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not engine_alive(home))
        resumed.append(subprocess.Popen(RESUME, stdout=subprocess.DEVNULL))
        pid = resumed[-1].pid
        wait_until(lambda: engine_pid(home) == pid)
    Path(go).touch()
    wait_until(lambda: run.view().ended)
    assert [process.wait(120) for process in resumed] == [-signal.SIGKILL, 0]
    assert states(run) == {
        "numbers": "success",
        **each("g.choose", "success", "success", "success"),
        **each("g.even", "success", "skipped", "success"),
        **each("g.odd", "skipped", "success", "skipped"),
        **each("g.join", "success", "success", "success"),
        "after": "success",
    }


# ── values ──


def test_what_several_tasks_gave_is_one_list_and_instances_can_be_chosen() -> None:
    @task
    def reads(ti: Any = None) -> dict[str, Any]:
        return {
            "all": ti.xcom_pull(["numbers", "same"]),
            "one": ti.xcom_pull("same", map_indexes=1),
            "some": ti.xcom_pull(["same"], map_indexes=[2, 0]),
            "lazily": list(ti.xcom_pull("same")),
        }

    with DAG("pulls") as dag:
        same.expand(x=numbers()) >> reads()
    expected = {
        "all": [[0, 1, 2], 0, 1, 2],
        "one": 1,
        "some": [2, 0],
        "lazily": [0, 1, 2],
    }
    assert run_of(dag)["reads"].result() == expected
    assert dag.test().result("reads") == expected


class Rows(list[int]):
    """A list of a class of its own."""


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (Rows([1, 2]), [1, 2]),
        (OrderedDict(a=1, b=2), [("a", 1), ("b", 2)]),
        (defaultdict(int, a=1), [("a", 1)]),
        (range(2), [0, 1]),
        ("text", None),
        ({1, 2}, None),
    ],
)
def test_tasks_are_mapped_over_any_sequence_or_dict_and_over_nothing_else(
    value: Any, items: list[Any] | None
) -> None:
    @task
    def gives() -> Any:
        return value

    with DAG("kinds") as dag:
        same.expand(x=gives())
    if items is None:
        expected = {"gives": "failed", "same": "upstream_failed"}
    else:
        expected = {"gives": "success", **each("same", *["success"] * len(items))}
    run = run_of(dag)
    assert states(run) == expected
    if items is None:
        with pytest.raises(RunFailed, match="tasks are mapped over a list, tuple, dict"):
            dag.test()
    else:
        assert list(run["same"].result()) == items
        assert dag.test().result("same") == items


def test_what_a_mapped_task_gave_can_be_handed_on_and_mapped_over_again() -> None:
    with DAG("handed_on") as dag:
        again = same.override(task_id="again")
        whole = same.override(task_id="whole")
        again.expand(x=whole(same.expand(x=numbers())))
    run = run_of(dag)
    assert states(run) == {
        "numbers": "success",
        **each("same", "success", "success", "success"),
        "whole": "success",
        **each("again", "success", "success", "success"),
    }
    assert list(run["again"].result()) == [0, 1, 2]


def test_a_key_that_was_never_pushed_is_no_silent_none() -> None:
    @task
    def gives() -> dict[str, int]:
        return {"right": 1}

    @task
    def skips() -> dict[str, int]:
        raise TaskSkipped("not today")

    with DAG("keys") as dag:
        given = gives()
        same.override(task_id="right")(given["right"])
        same.override(task_id="wrong")(given["wrong"])
        same.override(task_id="of_skipped", trigger_rule="all_done")(skips()["right"])
    expected = {
        "gives": "success",
        "skips": "skipped",
        "right": "success",
        "wrong": "failed",
        "of_skipped": "success",
    }
    run = run_of(dag)
    assert states(run) == expected
    assert "'wrong' of task 'gives', which pushed: " in run.view().task("wrong").reason


def test_values_of_a_statement_may_be_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_NOTES", f"sqlite:///{tmp_path / 'notes.db'}")
    with DAG("listed") as dag:
        SQLExecuteQueryOperator(
            task_id="ask",
            conn_id="notes",
            sql="select ?, ?",
            parameters=["{{ run_id }}", 2],
        )
    run = run_of(dag)
    assert states(run) == {"ask": "success"}
    assert [tuple(row) for row in run["ask"].result()] == [(run.run_id, 2)]


# ── what people write themselves ──


class Told(BaseOperator):
    """An operator that keeps something under a name that every task has."""

    def __init__(self, task_id: str, *, arguments: list[str]) -> None:
        super().__init__(task_id)
        self.arguments = arguments  # type: ignore[assignment, method-assign]


def test_an_operator_cannot_hide_what_every_task_is_asked() -> None:
    with DAG("hidden"), pytest.raises(BadOption, match="'arguments' of Told is a name"):
        Told("told", arguments=["x"])


def test_what_does_nothing_needs_no_worker_unless_somebody_is_to_hear_of_it(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"

    class Works(EmptyOperator):
        def execute(self, context: Any) -> None:
            notes.write_text(notes.read_text() + "works ")

    def note(context: Any) -> None:
        notes.write_text(f"{context['ti'].task_id} ")

    with DAG("nothing") as dag:
        heard = EmptyOperator(task_id="heard", on_execute_callback=note)
        join, end = idle("join"), idle("end", "all_done")
        idle("start") >> heard >> Works(task_id="works") >> join >> end
    run = run_of(dag)
    ok = dict.fromkeys(("start", "heard", "works", "join", "end"), "success")
    assert states(run) == ok
    tries = {name: len(run[name].attempts()) for name in ok}
    assert tries == {"start": 0, "heard": 1, "works": 1, "join": 0, "end": 0}
    assert notes.read_text() == "heard works "
    assert (run["end"].result(), run["end"].log()) == (None, "")


class Around(BaseOperator):
    """Tells what is called when."""

    template_fields = ("place",)

    def __init__(self, place: str, refuse: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.place, self.refuse = place, refuse

    def pre_execute(self, context: Any) -> None:
        super().pre_execute(context)
        self._tell("pre", context)

    def execute(self, context: Any) -> str:
        self._tell("execute", context)
        return "given"

    def post_execute(self, context: Any, result: Any = None) -> None:
        super().post_execute(context, result)
        self._tell(f"post {result}", context)

    def _tell(self, what: str, context: Any) -> None:
        with open(self.place, "a") as out:
            out.write(f"{context['ti'].task_id}: {what}\n")
        if what == self.refuse:
            raise TaskSkipped(what)


def test_what_stands_around_execute_is_called_and_its_errors_count(tmp_path: Path) -> None:
    place = str(tmp_path / "{{ dag.dag_id }}")

    def before(context: Any) -> None:
        with open(tmp_path / "around", "a") as out:
            out.write(f"{context['ti'].task_id}: function\n")

    def after(context: Any, result: Any) -> None:
        raise ValueError(f"{result} is refused")

    @task(pre_execute=before, post_execute=after)
    def refused() -> int:
        return 3

    with DAG("around") as dag:
        one = Around(task_id="one", place=place, pre_execute=before)
        none = Around(task_id="none", place=place, refuse="pre")
        one >> none >> refused.override(trigger_rule="all_done")() >> idle("cut")
    run = run_of(dag)
    assert states(run) == {
        "one": "success",
        "none": "skipped",
        "refused": "failed",
        "cut": "upstream_failed",
    }
    assert (tmp_path / "around").read_text().splitlines() == [
        "one: function",
        "one: pre",
        "one: execute",
        "one: post given",
        "none: pre",
        "refused: function",
    ]
    with pytest.raises(BadOption, match="'pre_execute' of task 'x' must be a function"):
        Around(task_id="x", place="", pre_execute="before")


def test_callbacks_know_which_try_it_was_and_why_a_run_ended(tmp_path: Path) -> None:
    notes = str(tmp_path / "notes")

    def note(kind: str) -> Any:
        def tell(context: Any) -> None:
            with open(notes, "a") as out:
                error = type(context.get("exception")).__name__
                ti = context["ti"]
                took = "no time" if ti.duration is None else "its time"
                out.write(f"{kind} {ti.try_number} {error} {ti.state} {took}\n")

        return tell

    def end(context: Any) -> None:
        run = context["dag_run"]
        found = [(one.task_id, one.state) for one in run.get_task_instances()]
        with open(notes, "a") as out:
            out.write(
                f"run: {context['reason']} {run.state} {found} {run.end_date is None}\n"
            )

    @task(retries=2, retry_delay=0, on_retry_callback=note("retry"))
    def flaky(ti: Any = None) -> None:
        if ti.try_number <= ti.max_tries == 2:
            raise ValueError("flaky")
        raise TaskSkipped("in the end")

    with DAG("told", on_success_callback=end) as dag:
        flaky.override(on_skipped_callback=note("skipped"))()
    assert states(run_of(dag)) == {"flaky": "skipped"}
    wait_until(
        lambda: Path(notes).exists() and len(Path(notes).read_text().split("\n")) == 5
    )
    assert sorted(Path(notes).read_text().splitlines()) == [
        "retry 1 ValueError up_for_retry its time",
        "retry 2 ValueError up_for_retry its time",
        "run: success success [('flaky', 'skipped')] False",
        "skipped 3 TaskSkipped skipped its time",
    ]


def test_a_failure_that_no_code_of_a_person_has_a_part_in_shows_no_code() -> None:
    with DAG("shown") as dag:
        BashOperator(task_id="say", bash_command="echo why; exit 3")
    run = run_of(dag)
    assert run["say"].attempts()[-1].error == (
        "the command of task 'say' ended with exit status 3. Its last output:\nwhy"
    )


def test_a_run_that_took_too_long_says_so() -> None:
    with DAG("too_long", dagrun_timeout=timedelta(seconds=0.5)) as dag:
        BashOperator(task_id="slow", bash_command="sleep 60") >> idle("after", "all_done")
    run = dag.run(wait=False)
    with pytest.raises(RunFailed, match="too_long/1 failed: timed out after 0:00:00.5"):
        run.wait(SECONDS)
    assert states(run) == {"slow": "failed", "after": "skipped"}


def test_what_is_never_mapped_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with DAG("forgotten") as dag:
        same.partial()
        BashOperator.partial(task_id="say").expand(bash_command=["true"])
    assert states(run_of(dag)) == {"say[0]": "success"}
    assert "same has .partial(), but was never mapped" in "".join(capsys.readouterr())
