"""`dag.simulate()`: what its operators are, its tables, and its picture."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest

from mlflowkit import DAG, EmptyOperator, ShortCircuitOperator, TaskSkipped, task
from mlflowkit.errors import BadSimulation, MissingExtra
from mlflowkit.operators.latest_only import LatestOnlyOperator
from mlflowkit.testing import Outcome, run_dag
from mlflowkit.timetables import DagRunInfo, DataInterval, TimeRestriction, Timetable


def hourly() -> DAG:
    with DAG(
        "hourly",
        schedule="0 6 * * *",
        start_date=datetime(2026, 3, 1),  # noqa: DTZ001 - the DAG's zone
        timezone="Europe/Athens",
    ) as made:

        @task.branch
        def choose() -> str:
            raise AssertionError("nothing runs in a simulation")

        @task.sensor(mode="reschedule", poke_interval=600, timeout=3000)
        def wait() -> bool:
            raise AssertionError("nothing runs in a simulation")

        a, b = (EmptyOperator(task_id=name) for name in "ab")
        wait() >> choose() >> [a, b]
    return made


def test_a_dag_is_simulated_with_what_its_operators_are() -> None:
    """Summer time starts on 29 March: six o'clock is an hour earlier in UTC."""
    found = hourly().simulate(
        "2026-03-27",
        "2026-03-31",
        outcomes={"wait": Outcome(looks=2), "choose": Outcome(chosen="b")},
    )
    assert len(found) == 4
    starts = [f"{run.start_date:%d %H:%M}" for run in found if run.start_date]
    assert starts == ["27 04:00", "28 04:00", "29 03:00", "30 03:00"]
    assert found.states(0) == {
        "choose": "success",
        "wait": "success",
        "a": "skipped",
        "b": "success",
    }
    first = [a for a in found.attempts if a.run_id == "hourly/1"]
    assert [(a.task_id, a.state) for a in first] == [
        ("wait", "up_for_reschedule"),
        ("wait", "success"),
        ("choose", "success"),
        ("b", "success"),
    ]


def test_a_sensors_own_timeout_counts_in_a_simulation() -> None:
    found = hourly().simulate(
        "2026-03-01", "2026-03-03", outcomes={"wait": Outcome(looks=float("inf"))}
    )
    assert found.states() == {
        "choose": "upstream_failed",
        "wait": "failed",
        "a": "upstream_failed",
        "b": "upstream_failed",
    }
    reasons = {row.task_id: row.reason for row in found.tasks}
    assert reasons["wait"] == "waited 3006 s; its timeout is 3000 s"


def test_a_simulation_reads_as_a_table() -> None:
    found = hourly().simulate("2026-03-02", "2026-03-04", outcomes={"choose": "failed"})
    assert repr(found) == (
        "hourly: 2 runs from 2026-03-02 to 2026-03-04 (Europe/Athens): 2 failed\n"
        "run       logical date      started           took     state   tasks\n"
        "hourly/1  2026-03-01 06:00  2026-03-02 06:00  0:01:01  failed  "
        "1 success, 1 failed, 2 upstream_failed\n"
        "hourly/2  2026-03-02 06:00  2026-03-03 06:00  0:01:01  failed  "
        "1 success, 1 failed, 2 upstream_failed"
    )


def test_its_tables_are_data_frames() -> None:
    pytest.importorskip("pandas")
    found = hourly().simulate("2026-03-02", "2026-03-04")
    runs, tasks, attempts = (found.to_df(t) for t in ("runs", "tasks", "attempts"))
    assert list(runs.state) == ["success"] * len(found)
    assert set(tasks.task_id) == {"choose", "wait", "a", "b"}
    assert list(attempts.columns)[:4] == ["run_id", "logical_date", "task_id", "map_index"]
    with pytest.raises(BadSimulation, match="Did you mean 'tasks'"):
        found.to_df("task")


def test_without_a_schedule_it_says_how_to_have_runs() -> None:
    with DAG("asked", timezone="UTC") as made:
        EmptyOperator(task_id="a")
    found = made.simulate("2026-03-01", "2026-03-02")
    assert (len(found), "it has no schedule: say manual=[…]" in repr(found)) == (0, True)
    found = made.simulate("2026-03-01", "2026-03-02", manual=["2026-03-01T10:00"])
    assert [(run.run_type, run.state) for run in found] == [("manual", "success")]


def test_the_picture_has_a_bar_for_each_attempt_and_escapes_names() -> None:
    with DAG("x", schedule="@daily", start_date=datetime(2026, 3, 1, tzinfo=UTC)) as made:
        EmptyOperator(task_id="load")
    found = made.simulate(
        "2026-03-01",
        "2026-03-04",
        outcomes={"load": Outcome(state="failed", why="<script>alert(1)</script>")},
    )
    html = found._repr_html_()
    assert html.count("<rect x=") == len(found.attempts) == len(found)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "currentColor" in html


def test_a_long_simulation_draws_the_first_runs_and_those_that_failed() -> None:
    with DAG("x", schedule="@hourly", start_date=datetime(2026, 3, 1, tzinfo=UTC)) as made:
        EmptyOperator(task_id="load")
    found = made.simulate(
        "2026-03-01", "2026-04-01", outcomes={("load", "2026-03-20T07:00Z"): "failed"}
    )
    html = found._repr_html_()
    assert html.count("<rect x=") == 40
    assert "2026-03-20 07:00" in html
    assert "✕ failed" in html
    assert f"40 of {len(found)} runs are drawn" in html


# ── what operators say of themselves ────────────────────────────────────────


def test_a_short_circuit_skips_what_its_operator_says() -> None:
    found = {}
    for ignore in (True, False):
        with DAG(
            "s", schedule="@daily", start_date=datetime(2026, 3, 1, tzinfo=UTC)
        ) as made:
            stop = ShortCircuitOperator(
                task_id="stop",
                python_callable=lambda: True,
                ignore_downstream_trigger_rules=ignore,
            )
            last = EmptyOperator(task_id="last", trigger_rule="all_done")
            stop >> EmptyOperator(task_id="next") >> last
        said = {"stop": Outcome(goes_on=False)}
        found[ignore] = made.simulate("2026-03-01", "2026-03-03", outcomes=said).states()
    both = {"stop": "success", "next": "skipped"}
    assert found == {True: {**both, "last": "skipped"}, False: {**both, "last": "success"}}


def test_latest_only_lets_the_latest_run_go_on() -> None:
    with DAG(
        "l", schedule="@daily", start_date=datetime(2026, 2, 27, tzinfo=UTC), catchup=True
    ) as made:
        LatestOnlyOperator(task_id="latest") >> EmptyOperator(task_id="load")
    found = made.simulate("2026-03-01T12:00Z", "2026-03-01T18:00Z")
    assert [found.states(i)["load"] for i in range(len(found))] == ["skipped", "success"]


class Mondays(Timetable):
    """A person's own."""

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        last = last_automated_data_interval
        day = last.end if last else restriction.earliest
        assert day is not None
        if last or day.weekday():
            day += timedelta(days=7 - day.weekday())
        return DagRunInfo.exact(day)

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return DataInterval.exact(run_after)


def test_a_timetable_of_ones_own_is_asked_in_this_process() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    with DAG("m", schedule=Mondays(), start_date=start) as made:
        EmptyOperator(task_id="load")
    found = made.simulate("2026-03-01", "2026-04-01")
    days = [run.start_date.day for run in found if run.start_date]
    assert days == [2, 9, 16, 23, 30]


# ── looking at it ───────────────────────────────────────────────────────────


def test_runs_are_found_by_position_and_by_id() -> None:
    found = hourly().simulate("2026-03-02", "2026-03-06")
    assert [run.run_id for run in found] == [f"hourly/{n}" for n in range(1, 5)]
    assert (found[0].run_id, found[-1].run_id) == ("hourly/1", "hourly/4")
    assert found.states("hourly/4") == found.states()
    for wrong, message in ((9, "9 is none of 4 runs"), ("hourly/5", "Did you mean")):
        with pytest.raises(BadSimulation, match=message):
            found.states(wrong)


def test_a_table_without_pandas_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    found = hourly().simulate("2026-03-02", "2026-03-04")
    with pytest.raises(MissingExtra, match=r"mlflowkit\[data\]"):
        found.to_df()


def test_dates_are_read_in_the_zone_of_the_dag_and_bad_ones_refused() -> None:
    for start in ("2026-03-02T05:59", "2026-03-02T03:59Z"):
        assert len(hourly().simulate(start, "2026-03-02T06:01")) == 1
    for start in ("2026-03-02T06:01", "2026-03-02T04:01+00:00"):
        assert len(hourly().simulate(start, "2026-03-02T06:02")) == 0
    with pytest.raises(BadSimulation, match="is no date"):
        hourly().simulate("march", "2026-03-04")


# ── beside real runs ────────────────────────────────────────────────────────


def everything() -> DAG:
    """Branches, skips, failures, rules and mapping in one: tasks do what `simulate` is told."""
    with DAG("e", schedule="@daily", start_date=datetime(2026, 3, 1, tzinfo=UTC)) as made:

        @task
        def load() -> list[int]:
            return [1, 2]

        @task
        def fit(x: int) -> int:
            return 10 // (x - 2)

        @task(trigger_rule="one_success")
        def best(xs: list[int]) -> None: ...

        @task.branch
        def choose() -> str:
            return "right"

        @task
        def none() -> None:
            raise TaskSkipped("nothing")

        @task.short_circuit(ignore_downstream_trigger_rules=False)
        def go_on() -> bool:
            return False

        left, right, skipped, stopped = (
            EmptyOperator(task_id=name) for name in ("left", "right", "skipped", "stopped")
        )
        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        at_last = EmptyOperator(task_id="at_last", trigger_rule="all_done")
        best(fit.expand(x=load()))
        choose() >> [left, right] >> join
        none() >> skipped
        go_on() >> stopped >> at_last
        right >> at_last
    return made


def test_a_simulated_run_ends_as_a_real_one() -> None:
    simulated = everything().simulate(
        "2026-03-01",
        "2026-03-03",
        outcomes={
            "load": Outcome(length=2),
            "fit[1]": "failed",
            "choose": Outcome(chosen="right"),
            "none": "skipped",
            "go_on": Outcome(goes_on=False),
        },
    )
    real = run_dag(everything())
    assert simulated.states() == real.states()
    assert simulated[-1].state == real.state
    assert set(real.states().values()) == {"success", "failed", "skipped"}
