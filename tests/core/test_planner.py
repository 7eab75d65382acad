"""What is due, what comes next, and what a backfill holds; and the laws of all three."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflowkit.core.planner import (
    Plan,
    backfill_infos,
    due,
    manual_interval,
    next_due,
    next_info,
)
from mlflowkit.core.spec import DagId, DagSpec
from mlflowkit.core.timetable import (
    AssetOrTimeSchedule,
    AssetTriggeredTimetable,
    AssetUri,
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DagRunInfo,
    DataInterval,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    EventsTimetable,
    MultipleCronTriggerTimetable,
    NullTimetable,
    OnceTimetable,
    TimeRestriction,
    Timetable,
    timetable_to_json,
)

DAY = timedelta(days=1)
START = datetime(2026, 5, 1, tzinfo=UTC)
DAILY = CronDataIntervalTimetable("@daily", "UTC")


def day(number: float) -> datetime:
    """The n-th of May 2026, UTC."""
    return START + DAY * (number - 1)


def days(infos: list[DagRunInfo]) -> list[int]:
    return [info.logical_date.day for info in infos]


def test_a_dag_that_was_off_for_days_has_one_run_without_catchup_and_all_with_it() -> None:
    plan = Plan(
        timetable=DAILY, start_date=START, last=DataInterval(day(3), day(4)), since=START
    )
    assert days(due(plan, day(10.5), 100)) == [9]
    assert days(due(replace(plan, catchup=True), day(10.5), 100)) == [4, 5, 6, 7, 8, 9]
    assert days(due(replace(plan, catchup=True), day(10.5), 2)) == [4, 5]
    assert due(replace(plan, catchup=True), day(10.5), 0) == []


def test_nothing_is_due_before_its_time_and_the_next_time_is_known() -> None:
    plan = Plan(timetable=DAILY, start_date=START, last=DataInterval(day(9), day(10)))
    assert due(plan, day(11) - timedelta(microseconds=1), 5) == []
    assert next_due(plan, day(10.5)) == day(11)
    assert next_info(plan, day(10.5)) == DagRunInfo.interval(day(10), day(11))
    assert days(due(plan, day(11), 5)) == [10]


def test_a_start_to_come_waits_and_an_end_ends() -> None:
    plan = Plan(timetable=DAILY, start_date=day(20), end_date=day(22), catchup=True)
    assert next_due(plan, day(10)) == day(21)
    assert days(due(plan, day(30), 100)) == [20, 21, 22]
    assert next_info(replace(plan, last=DataInterval(day(22), day(23))), day(30)) is None


def test_once_is_once_and_continuous_is_one_at_a_time() -> None:
    once = Plan(timetable=OnceTimetable(), since=day(5))
    assert due(once, day(9), 10) == [DagRunInfo.exact(day(5))]
    assert due(replace(once, last=DataInterval.exact(day(5))), day(9), 10) == []
    again = Plan(timetable=ContinuousTimetable(), catchup=True, since=day(5))
    first = due(again, day(9), 10)
    assert first == [DagRunInfo.interval(day(5), day(9))]
    later = replace(again, last=first[0].data_interval)
    assert due(later, day(9.5), 10) == [DagRunInfo.interval(day(9), day(9.5))]


def test_never_and_assets_have_no_times_and_assets_or_time_has_those_of_its_clock() -> None:
    assets = [AssetUri("s3://a")]
    for table in (NullTimetable(), AssetTriggeredTimetable(assets)):
        plan = Plan(timetable=table, start_date=START, catchup=True)
        assert (next_info(plan, day(10)), due(plan, day(10), 5)) == (None, [])
        assert backfill_infos(table, day(1), day(5)) == []
    both = AssetOrTimeSchedule(timetable=DAILY, assets=assets)
    plan = Plan(timetable=both, start_date=START, catchup=True)
    assert days(due(plan, day(4), 5)) == [1, 2, 3]
    assert days(backfill_infos(both, day(1), day(3))) == [1, 2, 3]


def test_a_timetable_that_does_not_lead_on_starts_no_runs_without_end() -> None:
    class Stuck(Timetable):
        def next_dagrun_info(
            self,
            *,
            last_automated_data_interval: DataInterval | None,
            restriction: TimeRestriction,
        ) -> DagRunInfo:
            return DagRunInfo.interval(day(1), day(2))

    plan = Plan(timetable=Stuck(), catchup=True)
    assert days(due(plan, day(9), 100)) == [1]
    assert due(replace(plan, last=DataInterval(day(1), day(2))), day(9), 100) == []
    assert days(backfill_infos(Stuck(), day(1), day(9))) == [1]


def test_a_timetable_that_forgets_catchup_still_starts_one_run_at_a_time() -> None:
    class Forgetful(Timetable):
        def next_dagrun_info(
            self,
            *,
            last_automated_data_interval: DataInterval | None,
            restriction: TimeRestriction,
        ) -> DagRunInfo:
            last = last_automated_data_interval
            start = last.end if last else day(1)
            return DagRunInfo.interval(start, start + DAY)

    assert days(due(Plan(timetable=Forgetful()), day(9), 100)) == [1]
    assert len(due(Plan(timetable=Forgetful(), catchup=True), day(9), 100)) == 8


def test_the_plan_of_a_dag_is_read_from_its_spec() -> None:
    spec = DagSpec(
        dag_id=DagId("d"),
        tasks={},
        timetable_json=timetable_to_json(DAILY),
        start_date=START,
        end_date=day(9),
        catchup=True,
    )
    last = DataInterval(day(1), day(2))
    assert Plan.of(spec, last=last, since=day(3)) == Plan(
        timetable=DAILY,
        start_date=START,
        end_date=day(9),
        catchup=True,
        last=last,
        since=day(3),
    )
    nothing = Plan.of(DagSpec(dag_id=DagId("d"), tasks={}), last=None, since=None)
    assert next_info(nothing, day(9)) is None


# ── backfill ──


def test_a_backfill_holds_the_runs_whose_date_is_within_both_ends() -> None:
    hourly = CronTriggerTimetable("0 */12 * * *", timezone="UTC", interval=DAY)
    spans = DeltaDataIntervalTimetable(DAY)
    assert days(backfill_infos(DAILY, day(3), day(5))) == [3, 4, 5]
    assert days(backfill_infos(DAILY, day(3), day(5), reverse=True)) == [5, 4, 3]
    assert days(backfill_infos(DAILY, day(3.5), day(5.5))) == [4, 5]
    assert days(backfill_infos(DAILY, day(3), day(5), now=day(5.5))) == [3, 4]
    assert backfill_infos(DAILY, day(5), day(3)) == []
    assert [info.run_after for info in backfill_infos(hourly, day(3), day(4))] == [
        *(day(3), day(3.5), day(4))
    ]
    at_six = backfill_infos(spans, day(3), day(5), start_date=day(1.25))
    assert [info.logical_date for info in at_six] == [day(3.25), day(4.25)]
    every = backfill_infos(DeltaTriggerTimetable(DAY), day(3), day(5), start_date=day(1.25))
    assert [info.logical_date for info in every] == [day(3.25), day(4.25)]
    events = EventsTimetable([day(1), day(3), day(5), day(7)])
    assert days(backfill_infos(events, day(3), day(5))) == [3, 5]
    assert backfill_infos(ContinuousTimetable(), day(3), day(5)) == []
    assert days(backfill_infos(OnceTimetable(), day(3), day(5))) == [3]


def test_a_manual_run_takes_the_interval_that_its_timetable_infers() -> None:
    assert manual_interval(DAILY, day(9.5)) == DataInterval(day(8), day(9))


# ── laws ──

ZONES = ["Europe/Athens", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
CRONS = ["@hourly", "@daily", "30 2 * * *", "0 3 * * *", "*/20 * * * *", "15 1-3 * * 0,6"]
tables: st.SearchStrategy[Timetable] = st.one_of(
    st.builds(CronDataIntervalTimetable, st.sampled_from(CRONS), st.sampled_from(ZONES)),
    st.builds(
        CronTriggerTimetable,
        st.sampled_from(CRONS),
        timezone=st.sampled_from(ZONES),
        interval=st.sampled_from([timedelta(), DAY]),
        run_immediately=st.sampled_from([True, False, None, timedelta(hours=3)]),
    ),
    st.builds(
        MultipleCronTriggerTimetable,
        st.sampled_from(CRONS),
        st.sampled_from(CRONS),
        timezone=st.sampled_from(ZONES),
    ),
    st.sampled_from([timedelta(hours=5), DAY, relativedelta(days=2)]).flatmap(
        lambda delta: st.sampled_from(
            [DeltaDataIntervalTimetable(delta), DeltaTriggerTimetable(delta)]
        )
    ),
    st.just(EventsTimetable([datetime(2026, 3, n, tzinfo=UTC) for n in range(1, 31, 3)])),
)
plans = st.builds(
    Plan,
    timetable=tables,
    start_date=st.none() | st.just(datetime(2026, 3, 26, 5, 7, tzinfo=UTC)),
    end_date=st.none() | st.just(datetime(2026, 3, 30, tzinfo=UTC)),
    catchup=st.booleans(),
    since=st.just(datetime(2026, 3, 27, 1, 2, 3, tzinfo=UTC)),
)
#: Hours at which an engine is alive, after the schedule was seen.
looks = st.lists(st.integers(0, 150), min_size=1, max_size=12).map(sorted)


def lived(plan: Plan, hours: list[int], limit: int) -> list[list[DagRunInfo]]:
    """What an engine starts that looks at these hours, each time from its stored rows."""
    assert plan.since is not None
    started = list[list[DagRunInfo]]()
    for hour in hours:
        found = due(plan, plan.since + timedelta(hours=hour), limit)
        if found:
            plan = replace(plan, last=found[-1].data_interval)
        started.append(found)
    return started


def rest(plan: Plan, done: list[DagRunInfo], hour: int, limit: int) -> list[DagRunInfo]:
    """What is still started when an engine looks again and again at one moment."""
    assert plan.since is not None
    found = list[DagRunInfo]()
    while True:
        last = (found or done)[-1].data_interval if found or done else plan.last
        more = due(replace(plan, last=last), plan.since + timedelta(hours=hour), limit)
        if not more:
            return found
        found += more


@given(plans, looks)
@settings(max_examples=200, deadline=None)
def test_without_catchup_there_is_never_more_than_one_overdue_run(
    plan: Plan, hours: list[int]
) -> None:
    found = lived(replace(plan, catchup=False), hours, 100)
    assert max(map(len, found)) <= 1
    runs = [info.run_after for infos in found for info in infos]
    assert all(a < b for a, b in pairwise(runs))
    again = due(replace(plan, catchup=False), datetime(2026, 4, 3, tzinfo=UTC), 100)
    if again:
        done = replace(plan, catchup=False, last=again[0].data_interval)
        assert due(done, datetime(2026, 4, 3, tzinfo=UTC), 100) == []


@given(plans, looks, st.sampled_from([1, 2, 100]))
@settings(max_examples=200, deadline=None)
def test_with_catchup_each_run_comes_once_in_order_however_often_an_engine_looks(
    plan: Plan, hours: list[int], limit: int
) -> None:
    """Off for days, or looking each hour, with few runs allowed at once or many."""
    plan = replace(plan, catchup=True)
    if plan.start_date is None and isinstance(
        plan.timetable, CronDataIntervalTimetable | DeltaDataIntervalTimetable
    ):
        plan = replace(plan, start_date=plan.since)
    end = hours[-1]
    seldom = [info for infos in lived(plan, hours, limit) for info in infos]
    seldom += rest(plan, seldom, end, limit)
    steady = [info for infos in lived(plan, [*range(end + 1)], 1000) for info in infos]
    assert seldom == steady
    assert all(a.run_after < b.run_after for a, b in pairwise(seldom))
    if isinstance(plan.timetable, CronDataIntervalTimetable | DeltaDataIntervalTimetable):
        for one, other in pairwise(seldom):
            assert one.data_interval.end == other.data_interval.start


@given(plans, st.integers(0, 150), st.integers(0, 299))
@settings(max_examples=200, deadline=None)
def test_the_next_due_time_is_when_something_is_due(
    plan: Plan, hour: int, sleep: int
) -> None:
    """An engine that sleeps until then, and wakes a little late, starts just that run."""
    assert plan.since is not None
    now = plan.since + timedelta(hours=hour)
    for infos in lived(plan, [hour], 1):
        plan = replace(plan, last=infos[-1].data_interval) if infos else plan
    planned = next_info(plan, now)
    if planned is None or planned.run_after <= now:
        return
    assert due(plan, planned.run_after - timedelta(microseconds=1), 5) == []
    assert due(plan, planned.run_after, 5) == [planned]
    late = planned.run_after + timedelta(seconds=sleep)
    assert due(plan, late, 1)[:1] == [planned]
