"""Simulated runs: whole tables of which run and which attempt starts when, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from dateutil.relativedelta import relativedelta

from mlflowkit.core.history import History
from mlflowkit.core.simulate import simulate
from mlflowkit.core.spec import (
    Axis,
    DagId,
    DagSpec,
    Expansion,
    RetryPolicy,
    TaskId,
    TaskSpec,
    XComRef,
)
from mlflowkit.core.stubs import Outcome, Stub, Waits
from mlflowkit.core.timetable import (
    ContinuousTimetable,
    CronDataIntervalTimetable,
    DagRunInfo,
    DataInterval,
    DeltaDataIntervalTimetable,
    TimeRestriction,
    Timetable,
    timetable_to_json,
)
from mlflowkit.core.timetable.zones import zone_of
from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadSimulation, TimetableElsewhere
from tests.core.test_timetable_zones import APIA, MONTHS, by_hand, timetable

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def spec(
    drawing: str,
    *,
    schedule: Timetable | None = None,
    tasks: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> DagSpec:
    """`spec("load > fit; load > check", tasks={"fit": {...}})`: daily from 1 March."""
    upstream: dict[str, list[TaskId]] = {}
    for line in drawing.split(";"):
        names = [name.strip() for name in line.split(">")]
        for above, name in zip([None, *names], names, strict=False):
            ups = upstream.setdefault(name, [])
            if above and above not in ups:
                ups.append(TaskId(above))
    made = {
        TaskId(name): TaskSpec(
            task_id=TaskId(name), upstream=tuple(ups), **(tasks or {}).get(name, {})
        )
        for name, ups in upstream.items()
    }
    daily = schedule or CronDataIntervalTimetable("@daily", UTC)
    options.setdefault("start_date", FIRST)
    return DagSpec(
        dag_id=DagId("p"),
        tasks=made,
        schedule="daily",
        timetable_json=timetable_to_json(daily),
        **options,
    )


def days(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def at(moment: datetime | None) -> str:
    """`2 00:01:30`: day and time of March, without what is zero at the end."""
    if moment is None:
        return "-"
    text = f"{moment.day} {moment:%H:%M:%S}"
    return text.removesuffix(":00")


def runs(history: History) -> list[str]:
    """`1: 1 -> 2 00:00 -> 2 00:01 success`: number, logical day, opened, ended, state."""
    return [
        f"{run.run_id.removeprefix('p/')}: {run.logical_date.day} -> "
        f"{at(run.start_date)} -> {at(run.end_date)} {run.state}"
        for run in history.runs
    ]


def attempts(history: History) -> list[str]:
    """`1 fit[0] 1: 2 00:00 -> 2 00:01 success`: run, instance, try, times, state after it."""
    return [
        f"{a.run_id.removeprefix('p/')} {_name(a.task_id, a.map_index)} {a.try_number}: "
        f"{at(a.start_date)} -> {at(a.end_date)} {a.state}"
        for a in history.attempts
    ]


def states(history: History, run: int = 1) -> dict[str, str]:
    return {
        _name(row.task_id, row.map_index): row.state
        for row in history.tasks
        if row.run_id == f"p/{run}"
    }


def _name(task_id: str, index: int) -> str:
    return task_id if index < 0 else f"{task_id}[{index}]"


# ── runs ────────────────────────────────────────────────────────────────────


def test_a_run_starts_when_its_interval_ends_and_tasks_follow_one_another() -> None:
    history = simulate(spec("load > fit"), FIRST, days(3))
    assert runs(history) == [
        "1: 1 -> 2 00:00 -> 2 00:02 success",
        "2: 2 -> 3 00:00 -> 3 00:02 success",
    ]
    assert attempts(history) == [
        "1 load 1: 2 00:00 -> 2 00:01 success",
        "1 fit 1: 2 00:01 -> 2 00:02 success",
        "2 load 1: 3 00:00 -> 3 00:01 success",
        "2 fit 1: 3 00:01 -> 3 00:02 success",
    ]
    first = history.runs[0]
    assert (first.run_type, first.run_after) == ("scheduled", days(1))
    assert (first.data_interval_start, first.data_interval_end) == (FIRST, days(1))


def test_nothing_new_starts_at_the_end_but_what_is_under_way_goes_on() -> None:
    long = 30 * 3600
    history = simulate(spec("load"), FIRST, days(2), durations=long)
    assert runs(history) == ["1: 1 -> 2 00:00 -> 3 06:00 success"]


@pytest.mark.parametrize(
    ("catchup", "caught_up", "expected"),
    [
        (True, None, ["26 -> 1 12:00", "27 -> 1 12:00", "28 -> 1 12:00", "1 -> 2 00:00"]),
        (True, False, ["26 -> 1 12:00", "27 -> 1 12:00", "28 -> 1 12:00", "1 -> 2 00:00"]),
        (True, True, ["1 -> 2 00:00"]),
        (False, None, ["1 -> 2 00:00"]),
        (False, False, ["28 -> 1 12:00", "1 -> 2 00:00"]),
        (False, True, ["1 -> 2 00:00"]),
    ],
)
def test_what_was_due_before_starts_at_once_with_catchup_only(
    catchup: bool, caught_up: bool | None, expected: list[str]
) -> None:
    made = spec("load", catchup=catchup, start_date=FIRST - timedelta(days=3))
    start = FIRST + 12 * HOUR
    history = simulate(made, start, days(1) + HOUR, caught_up=caught_up)
    found = [f"{run.logical_date.day} -> {at(run.start_date)}" for run in history.runs]
    assert found == expected


def test_what_is_due_at_the_very_start_is_in_and_at_the_very_end_is_not() -> None:
    history = simulate(spec("load"), days(1), days(3))
    assert runs(history) == [
        "1: 1 -> 2 00:00 -> 2 00:01 success",
        "2: 2 -> 3 00:00 -> 3 00:01 success",
    ]


def test_catchup_runs_as_many_at_once_as_max_active_runs_says() -> None:
    made = spec(
        "load", catchup=True, max_active_runs=2, start_date=FIRST - timedelta(days=5)
    )
    history = simulate(made, FIRST, FIRST + HOUR)
    assert runs(history) == [
        "1: 24 -> 1 00:00 -> 1 00:01 success",
        "2: 25 -> 1 00:00 -> 1 00:01 success",
        "3: 26 -> 1 00:01 -> 1 00:02 success",
        "4: 27 -> 1 00:01 -> 1 00:02 success",
        "5: 28 -> 1 00:02 -> 1 00:03 success",
    ]


def test_sixteen_runs_are_under_way_where_nothing_is_said() -> None:
    made = spec("load", catchup=True, start_date=FIRST - timedelta(days=20))
    history = simulate(made, FIRST, FIRST + HOUR)
    starts = [at(run.start_date) for run in history.runs]
    assert starts == ["1 00:00"] * 16 + ["1 00:01"] * 4


def test_without_catchup_a_run_that_takes_too_long_lets_later_ones_out() -> None:
    """The interval that is latest when there is room is taken; those between are not."""
    made = spec("load", max_active_runs=1)
    history = simulate(made, FIRST, days(6), durations={"load": 60 * 3600})
    assert runs(history) == [
        "1: 1 -> 2 00:00 -> 4 12:00 success",
        "2: 3 -> 4 12:00 -> 7 00:00 success",
    ]


def test_a_continuous_schedule_has_one_run_after_the_other() -> None:
    made = spec("load", schedule=ContinuousTimetable(), max_active_runs=1)
    history = simulate(made, FIRST, FIRST + timedelta(minutes=3))
    assert [at(run.start_date) for run in history.runs] == [
        "1 00:00",
        "1 00:01",
        "1 00:02",
    ]


def test_runs_that_a_person_starts_wait_for_room_among_the_others() -> None:
    made = spec("load", max_active_runs=1)
    asked = [days(1) - timedelta(seconds=30), days(1) + HOUR]
    history = simulate(made, FIRST, days(2), manual=asked)
    table = [(r.run_type, at(r.start_date), at(r.end_date)) for r in history.runs]
    assert table == [
        ("manual", "1 23:59:30", "2 00:00:30"),
        ("scheduled", "2 00:00:30", "2 00:01:30"),
        ("manual", "2 01:00", "2 01:01"),
    ]


class Workdays(Timetable):
    """A person's own: at six on the days from Monday to Friday."""

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        last = last_automated_data_interval
        day = last.start + timedelta(days=1) if last else restriction.earliest
        assert day is not None
        while day.weekday() >= 5:
            day += timedelta(days=1)
        return DagRunInfo(day + timedelta(hours=6), DataInterval(day, day))

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return DataInterval.exact(run_after)


def test_a_timetable_of_a_persons_own_is_asked_where_it_is_given() -> None:
    """1 March 2026 is a Sunday."""
    made = spec("load", schedule=Workdays())
    with pytest.raises(TimetableElsewhere):
        simulate(made, FIRST, days(9))
    history = simulate(made, FIRST, days(9), timetable=Workdays())
    assert [at(run.start_date) for run in history.runs] == [
        *(f"{day} 06:00" for day in range(2, 7)),
        "9 06:00",
    ]


# ── summer time ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("zone", "month", "schedule", "expected"), MONTHS)
def test_a_simulated_month_is_the_one_worked_out_by_hand(
    zone: str, month: str, schedule: str, expected: str
) -> None:
    """Both changes, in three zones (and a day that one left out); every run on time."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=zone_of(zone))
    start = first - timedelta(days=5)
    made = spec(
        "load",
        schedule=timetable(schedule, zone),
        start_date=start,
        catchup=True,
        max_active_runs=100,
    )
    end = first + relativedelta(months=1, days=2)
    history = simulate(made, start, end, durations=1)
    opened = [run.start_date for run in history.runs]
    in_month = [m for m in opened if m is not None and m.strftime("%Y-%m") == month]
    assert in_month == by_hand(month, expected)
    if zone != APIA:
        assert {run.start_date == run.run_after for run in history.runs} == {True}


# ── tries ───────────────────────────────────────────────────────────────────

TWO_RETRIES = {
    "retry": RetryPolicy(
        retries=2, retry_delay=timedelta(minutes=5), exponential_backoff=2.0
    )
}


def test_a_failed_task_is_tried_again_after_its_delay() -> None:
    made = spec("load > fit", tasks={"load": TWO_RETRIES})
    history = simulate(
        made, FIRST, days(2), outcomes={"load": ["failed", "failed", "success"]}
    )
    assert attempts(history) == [
        "1 load 1: 2 00:00 -> 2 00:01 up_for_retry",
        "1 load 2: 2 00:06 -> 2 00:07 up_for_retry",
        "1 load 3: 2 00:17 -> 2 00:18 success",
        "1 fit 1: 2 00:18 -> 2 00:19 success",
    ]
    assert [row.tries for row in history.tasks] == [3, 1]


def test_what_fails_for_good_fails_what_is_below_and_the_run() -> None:
    made = spec("load > fit; load > tell", tasks={"load": TWO_RETRIES})
    outcomes = {"load": Outcome(state="failed", retryable=False, why="no such file")}
    history = simulate(made, FIRST, days(2), outcomes=outcomes)
    assert runs(history) == ["1: 1 -> 2 00:00 -> 2 00:01 failed"]
    assert states(history) == {
        "load": "failed",
        "fit": "upstream_failed",
        "tell": "upstream_failed",
    }
    assert history.tasks[0].reason == "no such file"


def test_an_attempt_is_ended_by_its_timeout_and_tried_again() -> None:
    timeout = {"execution_timeout": timedelta(seconds=30), **TWO_RETRIES}
    made = spec("load", tasks={"load": timeout})
    history = simulate(
        made, FIRST, days(2), outcomes={"load": ["success", Outcome(seconds=10)]}
    )
    assert attempts(history) == [
        "1 load 1: 2 00:00 -> 2 00:00:30 up_for_retry",
        "1 load 2: 2 00:05:30 -> 2 00:05:40 success",
    ]
    assert history.attempts[0].reason == "timed out after 0:00:30"


def test_the_time_of_a_run_ends_what_runs_and_skips_what_waits() -> None:
    made = spec("load > fit > tell", dagrun_timeout=timedelta(seconds=90))
    history = simulate(made, FIRST, days(2))
    assert runs(history) == ["1: 1 -> 2 00:00 -> 2 00:01:30 failed"]
    assert history.runs[0].reason == "timed out after 0:01:30"
    assert states(history) == {"load": "success", "fit": "failed", "tell": "skipped"}


# ── rules, branches, mapping ────────────────────────────────────────────────


def test_skips_and_failures_travel_as_trigger_rules_say() -> None:
    made = spec(
        "a > after; b > after; a > any; b > any; b > none",
        tasks={
            "any": {"trigger_rule": TriggerRule.ALL_DONE},
            "none": {"trigger_rule": TriggerRule.NONE_FAILED},
        },
    )
    history = simulate(made, FIRST, days(2), outcomes={"a": "failed", "b": "skipped"})
    assert states(history) == {
        "a": "failed",
        "b": "skipped",
        "after": "upstream_failed",
        "any": "success",
        "none": "success",
    }


@pytest.mark.parametrize(
    ("outcome", "left", "right"),
    [
        (None, "success", "skipped"),
        (Outcome(chosen="right"), "skipped", "success"),
        (Outcome(chosen=["left", "right"]), "success", "success"),
        (Outcome(chosen=[]), "skipped", "skipped"),
    ],
)
def test_a_branch_goes_on_with_what_is_said_or_the_first(
    outcome: Outcome | None, left: str, right: str
) -> None:
    made = spec("choose > left > join; choose > right > join")
    join = {TaskId("choose"): Stub(branch=True)}
    history = simulate(
        made,
        FIRST,
        days(2),
        stubs=join,
        outcomes={"choose": outcome} if outcome is not None else None,
    )
    found = states(history)
    assert (found["choose"], found["left"], found["right"]) == ("success", left, right)


def test_a_short_circuit_skips_all_below_or_what_is_directly_below() -> None:
    made = spec(
        "stop > a > b; c > b", tasks={"b": {"trigger_rule": TriggerRule.NONE_FAILED}}
    )
    found = {}
    for how in ("all", "direct"):
        stubs = {TaskId("stop"): Stub(short_circuit=how)}
        outcomes = {"stop": Outcome(goes_on=False)}
        history = simulate(made, FIRST, days(2), stubs=stubs, outcomes=outcomes)
        found[how] = states(history)
    rest = {"stop": "success", "a": "skipped", "c": "success"}
    assert found == {"all": {**rest, "b": "skipped"}, "direct": {**rest, "b": "success"}}


def test_only_the_latest_run_goes_on_below_a_task_that_says_so() -> None:
    made = spec("latest > a", catchup=True, start_date=FIRST - timedelta(days=2))
    stubs = {TaskId("latest"): Stub(latest_only=True)}
    history = simulate(made, FIRST, FIRST + HOUR, stubs=stubs)
    found = [states(history, number)["a"] for number in (1, 2)]
    assert found == ["skipped", "success"]


MAPPED = {
    "load": {"expanded_keys": ("return_value",)},
    "fit": {"expansion": Expansion(axes=(Axis(name="x", source=XComRef(TaskId("load"))),))},
}


@pytest.mark.parametrize(
    ("length", "instances"),
    [(None, 3), (Outcome(length=2), 2), (Outcome(length={"return_value": 1}), 1)],
)
def test_a_mapped_task_has_three_instances_or_as_many_as_is_said(
    length: Outcome | None, instances: int
) -> None:
    made = spec("load > fit > sum", tasks=MAPPED)
    outcomes = {"load": length} if length is not None else {}
    history = simulate(made, FIRST, days(2), outcomes=outcomes)
    fits = {f"fit[{i}]": "success" for i in range(instances)}
    assert states(history) == {"load": "success", **fits, "sum": "success"}


def test_one_instance_of_a_mapped_task_can_fail_and_nothing_can_be_expanded_over() -> None:
    made = spec("load > fit > sum", tasks=MAPPED)
    history = simulate(made, FIRST, days(2), outcomes={"fit[1]": "failed"})
    assert states(history) == {
        "load": "success",
        "fit[0]": "success",
        "fit[1]": "failed",
        "fit[2]": "success",
        "sum": "upstream_failed",
    }
    nothing = simulate(made, FIRST, days(2), outcomes={"load": Outcome(length=0)})
    assert states(nothing) == {"load": "success", "fit": "skipped", "sum": "skipped"}


# ── places and limits ───────────────────────────────────────────────────────


def test_a_pool_holds_over_all_runs_and_the_more_important_goes_first() -> None:
    both = {"pool": "gpu"}
    made = spec(
        "a; b", tasks={"a": both, "b": {**both, "priority_weight": 5}}, max_active_runs=2
    )
    history = simulate(made, FIRST, days(2), pools={"gpu": 1})
    assert attempts(history) == [
        "1 b 1: 2 00:00 -> 2 00:01 success",
        "1 a 1: 2 00:01 -> 2 00:02 success",
    ]


def test_places_are_shared_among_runs() -> None:
    made = spec("a; b", catchup=True, start_date=FIRST - timedelta(days=2))
    history = simulate(made, FIRST, FIRST + HOUR, places=2)
    assert attempts(history) == [
        "1 a 1: 1 00:00 -> 1 00:01 success",
        "2 a 1: 1 00:00 -> 1 00:01 success",
        "1 b 1: 1 00:01 -> 1 00:02 success",
        "2 b 1: 1 00:01 -> 1 00:02 success",
    ]


def test_among_runs_the_one_with_the_more_important_task_goes_first() -> None:
    made = spec(
        "a > b",
        catchup=True,
        start_date=FIRST - timedelta(days=2),
        tasks={"a": {"priority_weight": 9}},
    )
    history = simulate(made, FIRST, FIRST + HOUR, places=1)
    assert attempts(history) == [
        "1 a 1: 1 00:00 -> 1 00:01 success",
        "2 a 1: 1 00:01 -> 1 00:02 success",
        "1 b 1: 1 00:02 -> 1 00:03 success",
        "2 b 1: 1 00:03 -> 1 00:04 success",
    ]


def test_limits_of_a_task_and_of_a_run_count_in_simulated_runs_too() -> None:
    made = spec(
        "a; b; c",
        max_active_tasks=2,
        tasks={"a": {"max_active_tis_per_dag": 1}},
        catchup=True,
        start_date=FIRST - timedelta(days=2),
    )
    history = simulate(made, FIRST, FIRST + HOUR)
    assert attempts(history) == [
        "1 a 1: 1 00:00 -> 1 00:01 success",
        "1 b 1: 1 00:00 -> 1 00:01 success",
        "2 b 1: 1 00:00 -> 1 00:01 success",
        "2 c 1: 1 00:00 -> 1 00:01 success",
        "1 c 1: 1 00:01 -> 1 00:02 success",
        "2 a 1: 1 00:01 -> 1 00:02 success",
    ]


# ── the past ────────────────────────────────────────────────────────────────


def test_a_task_waits_for_its_past_not_for_the_whole_run_before() -> None:
    made = spec(
        "load > fit",
        tasks={"load": {"depends_on_past": True}},
        catchup=True,
        start_date=FIRST - timedelta(days=3),
    )
    history = simulate(made, FIRST, FIRST + HOUR)
    assert attempts(history) == [
        "1 load 1: 1 00:00 -> 1 00:01 success",
        "1 fit 1: 1 00:01 -> 1 00:02 success",
        "2 load 1: 1 00:01 -> 1 00:02 success",
        "2 fit 1: 1 00:02 -> 1 00:03 success",
        "3 load 1: 1 00:02 -> 1 00:03 success",
        "3 fit 1: 1 00:03 -> 1 00:04 success",
    ]


def test_a_failed_past_holds_up_all_later_runs_until_the_end() -> None:
    made = spec("load > fit", tasks={"load": {"depends_on_past": True}})
    outcomes = {("load", "2026-03-02"): "failed"}
    history = simulate(made, FIRST, days(5), outcomes=outcomes)
    assert runs(history) == [
        "1: 1 -> 2 00:00 -> 2 00:02 success",
        "2: 2 -> 3 00:00 -> 3 00:01 failed",
        "3: 3 -> 4 00:00 -> - running",
        "4: 4 -> 5 00:00 -> - running",
    ]
    assert states(history, 3) == {"load": "none", "fit": "none"}


# ── sensors ─────────────────────────────────────────────────────────────────


def wait(**how: Any) -> dict[TaskId, Stub]:
    return {TaskId("wait"): Stub(waits=Waits(interval=60, **how))}


def test_a_sensor_that_keeps_its_place_is_one_long_attempt() -> None:
    outcomes = {"wait": Outcome(looks=4)}
    history = simulate(spec("wait > load"), FIRST, days(2), stubs=wait(), outcomes=outcomes)
    assert attempts(history) == [
        "1 wait 1: 2 00:00 -> 2 00:03:04 success",
        "1 load 1: 2 00:03:04 -> 2 00:04:04 success",
    ]


def test_a_sensor_that_gives_its_place_back_looks_again_and_again() -> None:
    outcomes = {"wait": Outcome(looks=3)}
    stubs = wait(reschedule=True)
    history = simulate(spec("wait > load"), FIRST, days(2), stubs=stubs, outcomes=outcomes)
    assert attempts(history) == [
        "1 wait 1: 2 00:00 -> 2 00:00:01 up_for_reschedule",
        "1 wait 1: 2 00:01:01 -> 2 00:01:02 up_for_reschedule",
        "1 wait 1: 2 00:02:02 -> 2 00:02:03 success",
        "1 load 1: 2 00:02:03 -> 2 00:03:03 success",
    ]
    assert [row.tries for row in history.tasks] == [1, 1]


@pytest.mark.parametrize("reschedule", [False, True])
@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_a_sensor_that_never_finds_it_ends_with_its_timeout(
    reschedule: bool, soft_fail: bool, state: str
) -> None:
    """Looks end at 1, 62, 123 and 184 s: the first after the 150 s of the timeout is the last."""
    made = spec("wait > load", tasks={"wait": TWO_RETRIES})
    stubs = wait(timeout=150, reschedule=reschedule, soft_fail=soft_fail)
    history = simulate(
        made, FIRST, days(2), stubs=stubs, outcomes={"wait": Outcome(looks=math.inf)}
    )
    last = history.attempts[-1]
    assert (last.task_id, at(last.end_date), last.state) == ("wait", "2 00:03:04", state)
    assert len(history.attempts) == (4 if reschedule else 1)


def test_a_sensor_with_backoff_waits_longer_each_time_the_same_in_every_simulation() -> (
    None
):
    stubs = wait(reschedule=True, exponential=True, timeout=3600)
    outcomes = {"wait": Outcome(looks=5)}
    first, second = (
        simulate(spec("wait"), FIRST, days(2), stubs=stubs, outcomes=outcomes)
        for _ in range(2)
    )
    assert first == second
    starts = [a.start_date for a in first.attempts]
    pauses = [(b - a).total_seconds() - 1 for a, b in pairwise(starts)]
    spans = [(30, 60), (60, 120), (120, 240), (240, 480)]
    assert len(pauses) == len(spans)
    assert all(low <= one < high for one, (low, high) in zip(pauses, spans, strict=True))


# ── what is said, and by whom ───────────────────────────────────────────────


def test_the_most_special_entry_counts() -> None:
    made = spec("load > fit > sum", tasks=MAPPED)
    outcomes = {
        "fit": "skipped",
        "fit[1]": "success",
        ("fit", "2026-03-02"): "success",
        ("fit[0]", days(1)): "failed",
    }
    history = simulate(made, FIRST, days(3), outcomes=outcomes)
    found = [[states(history, n)[f"fit[{i}]"] for i in range(3)] for n in (1, 2)]
    assert found == [["skipped", "success", "skipped"], ["failed", "success", "success"]]


def test_a_function_is_asked_for_every_try() -> None:
    asked: list[tuple[str, str, int, int]] = []

    def outcome(run: Any, task_id: str, map_index: int, try_number: int) -> str | None:
        asked.append((run.run_id, task_id, map_index, try_number))
        return "failed" if task_id == "load" and try_number < 2 else None

    made = spec("load > fit", tasks={"load": TWO_RETRIES})
    history = simulate(made, FIRST, days(2), outcomes=outcome)
    assert asked == [
        ("p/1", "load", -1, 1),
        ("p/1", "load", -1, 2),
        ("p/1", "fit", -1, 1),
    ]
    assert history.runs[0].state == "success"


def test_durations_are_said_by_task_or_for_all_and_spans_follow_from_the_seed() -> None:
    made = spec("a > b > c")
    mixed = {"a": timedelta(hours=1), "b": 2, "c": lambda run, *_: run.logical_date.day}
    history = simulate(made, FIRST, days(2), durations=mixed)
    assert at(history.runs[0].end_date) == "2 01:00:03"
    spans = [
        [
            (a.end_date - a.start_date).total_seconds()
            for a in simulate(made, FIRST, days(9), durations=(10, 20), seed=s).attempts
            if a.end_date is not None
        ]
        for s in (1, 1, 2)
    ]
    assert spans[0] == spans[1] != spans[2]
    assert all(10 <= one <= 20 for one in spans[0])
    assert len(set(spans[0])) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcomes": {"fti": "failed"}}, "DAG 'p' has no task 'fti'. Did you mean 'fit'?"),
        ({"outcomes": {"fit": "succes"}}, "Did you mean 'success'?"),
        ({"outcomes": {"fit": []}}, "is an empty list"),
        ({"outcomes": ["fit"]}, "must be a mapping by task id, or a function"),
        ({"outcomes": {("fit", "march"): "failed"}}, "'march' is no date"),
        ({"outcomes": lambda *_: "good"}, "'good' is none of"),
        ({"durations": {"fti": 3}}, "DAG 'p' has no task 'fti'"),
        ({"durations": -1}, "must be a time of 0 or more"),
        ({"durations": (5, 2)}, r"must be \(shortest, longest\)"),
        ({"durations": "long"}, "must be seconds or a timedelta"),
        ({"places": 0}, "must be 1 or more"),
        ({"pools": {"default_pool": 0}}, "has 0 slots; task 'load' takes 1"),
        ({"manual": [FIRST - HOUR]}, "outside of the simulated time"),
        ({"outcomes": {"load": Outcome(chosen="fti")}}, "Did you mean 'fit'?"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSimulation, match=message):
        simulate(spec("load > fit"), FIRST, days(2), **options)


def test_bad_outcomes_are_refused_where_they_are_made() -> None:
    for bad in (
        {"state": "done"},
        {"seconds": -1},
        {"length": -1},
        {"length": {"return_value": -1}},
        {"looks": 0},
    ):
        with pytest.raises(BadSimulation):
            Outcome(**bad)  # type: ignore[arg-type]


def test_a_schedule_that_never_lets_go_is_no_endless_simulation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlflowkit.core.virtual.MOST_RUNS", 50)
    made = spec("load", schedule=ContinuousTimetable(), max_active_runs=1)
    with pytest.raises(BadSimulation, match="more than 50 runs"):
        simulate(made, FIRST, days(1), durations=0)


def test_the_end_is_not_before_the_start() -> None:
    with pytest.raises(BadSimulation, match="is before the start"):
        simulate(spec("load"), FIRST, FIRST - HOUR)


def test_a_simulation_leaves_its_spec_as_it_was() -> None:
    made = spec("load > fit", schedule=DeltaDataIntervalTimetable(HOUR))
    again = replace(made)
    simulate(made, FIRST, days(1), outcomes={"load": "failed"})
    assert made == again
