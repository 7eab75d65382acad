"""What each timetable says comes next, and that it travels as text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from dateutil.relativedelta import MO, relativedelta

from mlflowkit.core.timetable import (
    AllOf,
    AnyOf,
    AssetOrTimeSchedule,
    AssetTriggeredTimetable,
    AssetUri,
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    CustomTimetable,
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
    condition_met,
    condition_text,
    info_from_json,
    info_to_json,
    is_custom,
    timetable_from_json,
    timetable_to_json,
    uris_of,
)
from mlflowkit.errors import BadTimetable, TimetableElsewhere

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def at(text: str) -> datetime:
    """`5-12 10:30`: a moment of May 2026 in UTC (`12 10:30`), or of the month given."""
    day, _, clock = text.partition(" ")
    month, _, day = day.rpartition("-")
    hour, _, minute = (clock or "0:0").partition(":")
    return datetime(2026, int(month or 5), int(day), int(hour), int(minute), tzinfo=UTC)


NOW = at("12 10:30")


def asked(
    table: Timetable,
    *,
    last: tuple[str, str] | None = None,
    start: str | None = None,
    end: str | None = None,
    catchup: bool = False,
    since: str | None = None,
    now: datetime = NOW,
) -> str | None:
    """The next run as `interval start > interval end`, at its end unless said: `@ …`."""
    info = table.next_dagrun_info(
        last_automated_data_interval=DataInterval(at(last[0]), at(last[1]))
        if last
        else None,
        restriction=TimeRestriction(
            at(start) if start else None,
            at(end) if end else None,
            catchup,
            now,
            at(since) if since else None,
        ),
    )
    if info is None:
        return None
    assert info.run_after == info.data_interval.end
    return " > ".join(f"{m:%-d %H:%M}" for m in info.data_interval)


# ── data intervals ──


def test_without_catchup_a_cron_begins_with_the_latest_complete_interval() -> None:
    daily = CronDataIntervalTimetable("@daily", "UTC")
    assert {
        "no start": asked(daily),
        "on the border": asked(daily, now=at("12")),
        "just before": asked(daily, now=at("12") - timedelta(microseconds=1)),
        "old start": asked(daily, start="1"),
        "start today": asked(daily, start="12 10:00"),
        "start to come": asked(daily, start="20"),
        "after yesterday's": asked(daily, last=("10", "11")),
        "after today's": asked(daily, last=("11", "12")),
        "off for days": asked(daily, last=("3", "4"), start="1"),
        "over": asked(daily, last=("11", "12"), end="11"),
        "the last one": asked(daily, last=("10", "11"), end="11"),
    } == {
        "no start": "11 00:00 > 12 00:00",
        "on the border": "11 00:00 > 12 00:00",
        "just before": "10 00:00 > 11 00:00",
        "old start": "11 00:00 > 12 00:00",
        "start today": "13 00:00 > 14 00:00",
        "start to come": "20 00:00 > 21 00:00",
        "after yesterday's": "11 00:00 > 12 00:00",
        "after today's": "12 00:00 > 13 00:00",
        "off for days": "11 00:00 > 12 00:00",
        "over": None,
        "the last one": "11 00:00 > 12 00:00",
    }


def test_with_catchup_a_cron_begins_at_the_start_date_and_leaves_nothing_out() -> None:
    daily = CronDataIntervalTimetable("@daily", "UTC")
    assert {
        "first": asked(daily, start="1", catchup=True),
        "start between": asked(daily, start="1 08:00", catchup=True),
        "next": asked(daily, start="1", last=("3", "4"), catchup=True),
        "no start date": asked(daily, catchup=True),
        "over": asked(daily, start="1", last=("3", "4"), end="3", catchup=True),
    } == {
        "first": "1 00:00 > 2 00:00",
        "start between": "2 00:00 > 3 00:00",
        "next": "4 00:00 > 5 00:00",
        "no start date": "11 00:00 > 12 00:00",
        "over": None,
    }


def test_a_schedule_changed_under_way_goes_on_from_the_border_before() -> None:
    hourly = CronDataIntervalTimetable("@hourly", "UTC")
    daily = CronDataIntervalTimetable("@daily", "UTC")
    assert asked(daily, last=("12 07:00", "12 08:00")) == "12 00:00 > 13 00:00"
    assert asked(hourly, last=("11", "12"), catchup=True) == "12 00:00 > 12 01:00"
    assert asked(hourly, last=("11", "12")) == "12 09:00 > 12 10:00"
    assert asked(daily, last=("3", "4"), start="8", catchup=True) == "8 00:00 > 9 00:00"


def test_spans_count_from_the_start_date_whatever_was_missed() -> None:
    table = DeltaDataIntervalTimetable(DAY)
    assert {
        "no start": asked(table),
        "start at six": asked(table, start="1 06:00"),
        "off for days": asked(table, start="1 06:00", last=("3 06:00", "4 06:00")),
        "catchup": asked(table, start="1 06:00", last=("3 06:00", "4 06:00"), catchup=True),
        "first of all": asked(table, start="1 06:00", catchup=True),
        "start to come": asked(table, start="20 06:00"),
        "start was moved": asked(table, start="1 07:00", last=("11 06:00", "12 06:00")),
        "over": asked(table, start="1 06:00", end="11 05:00"),
    } == {
        "no start": "11 00:00 > 12 00:00",
        "start at six": "11 06:00 > 12 06:00",
        "off for days": "11 06:00 > 12 06:00",
        "catchup": "4 06:00 > 5 06:00",
        "first of all": "1 06:00 > 2 06:00",
        "start to come": "20 06:00 > 21 06:00",
        "start was moved": "12 06:00 > 13 06:00",
        "over": None,
    }


def test_a_month_from_the_31st_is_the_last_day_of_each_month() -> None:
    table = DeltaDataIntervalTimetable(relativedelta(months=1))
    start = datetime(2026, 1, 31, tzinfo=UTC)
    ends, last = list[str](), None
    for _ in range(5):
        info = table.next_dagrun_info(
            last_automated_data_interval=last,
            restriction=TimeRestriction(start, None, True, NOW),
        )
        assert info is not None
        last = info.data_interval
        ends.append(f"{last.end:%m-%d}")
    assert ends == ["02-28", "03-31", "04-30", "05-31", "06-30"]


def test_a_span_that_does_not_lead_forward_is_refused() -> None:
    wrong = [
        timedelta(),
        -DAY,
        relativedelta(),
        relativedelta(day=1),
        relativedelta(days=-1),
    ]
    wrong += [
        relativedelta(year=2027, days=1),
        5,
        "1 day",
        relativedelta(months=1, days=-40),
    ]
    for delta in wrong:
        with pytest.raises(BadTimetable):
            DeltaDataIntervalTimetable(delta)  # type: ignore[arg-type]
    with pytest.raises(BadTimetable):
        CronTriggerTimetable("@daily", timezone="UTC", interval=-HOUR)


# ── triggers ──


def test_a_cron_trigger_starts_at_its_times_with_an_interval_that_looks_back() -> None:
    table = CronTriggerTimetable("0 6 * * *", timezone="UTC")
    back = CronTriggerTimetable("0 6 * * *", timezone="UTC", interval=DAY)
    assert {
        "next": asked(table, last=("12 06:00", "12 06:00")),
        "looks back": asked(back, last=("11 06:00", "12 06:00")),
        "missed": asked(table, last=("8 06:00", "8 06:00")),
        "missed, catchup": asked(table, last=("8 06:00", "8 06:00"), catchup=True),
        "old start": asked(table, start="1"),
        "old start, catchup": asked(table, start="1", catchup=True),
        "start to come": asked(table, start="20"),
        "start moved on": asked(
            table, start="20", last=("8 06:00", "8 06:00"), catchup=True
        ),
        "over": asked(table, last=("12 06:00", "12 06:00"), end="13"),
    } == {
        "next": "13 06:00 > 13 06:00",
        "looks back": "12 06:00 > 13 06:00",
        "missed": "12 06:00 > 12 06:00",
        "missed, catchup": "9 06:00 > 9 06:00",
        "old start": "12 06:00 > 12 06:00",
        "old start, catchup": "1 06:00 > 1 06:00",
        "start to come": "20 06:00 > 20 06:00",
        "start moved on": "20 06:00 > 20 06:00",
        "over": None,
    }


def test_the_first_run_without_a_start_date_is_what_run_immediately_says() -> None:
    """06:00 was 4 and a half hours ago."""

    def first(run: bool | timedelta | None, cron: str = "0 6 * * *") -> str | None:
        return asked(CronTriggerTimetable(cron, timezone="UTC", run_immediately=run))

    assert {
        "False": first(False),
        "True": first(True),
        "5 hours": first(5 * HOUR),
        "4 hours": first(4 * HOUR),
        "None": first(None),
        "None, 2 of 24 hours": first(None, "30 8 * * *"),
        "None, 4 minutes of an hour": first(None, "26 * * * *"),
    } == {
        "False": "13 06:00 > 13 06:00",
        "True": "12 06:00 > 12 06:00",
        "5 hours": "12 06:00 > 12 06:00",
        "4 hours": "13 06:00 > 13 06:00",
        "None": "13 06:00 > 13 06:00",
        "None, 2 of 24 hours": "12 08:30 > 12 08:30",
        "None, 4 minutes of an hour": "12 10:26 > 12 10:26",
    }


def test_a_first_time_that_passed_since_the_schedule_was_seen_is_not_lost() -> None:
    table = CronTriggerTimetable("0 6 * * *", timezone="UTC")
    assert asked(table, since="11 12:00") == "12 06:00 > 12 06:00"
    assert asked(table, since="9 12:00") == "12 06:00 > 12 06:00"
    assert asked(table, since="12 07:00") == "13 06:00 > 13 06:00"
    events = EventsTimetable([at("8"), at("10"), at("11"), at("14")])
    assert asked(events) == "14 00:00 > 14 00:00"
    assert asked(events, since="9") == "11 00:00 > 11 00:00"
    assert asked(events, since="9", last=("11", "11")) == "14 00:00 > 14 00:00"


def test_a_span_trigger_runs_at_once_and_then_every_so_often() -> None:
    table = DeltaTriggerTimetable(4 * HOUR, interval=HOUR)
    assert {
        "first": asked(table),
        "next": asked(table, last=("12 09:30", "12 10:30")),
        "missed": asked(table, last=("11 09:30", "11 10:30"), since="11 10:30"),
        "start": asked(table, start="12 01:00"),
        "start, catchup": asked(table, start="12 01:00", catchup=True),
    } == {
        "first": "12 09:30 > 12 10:30",
        "next": "12 13:30 > 12 14:30",
        "missed": "12 09:30 > 12 10:30",
        "start": "12 08:00 > 12 09:00",
        "start, catchup": "12 00:00 > 12 01:00",
    }


def test_several_crons_are_one_schedule_and_meet_in_one_run() -> None:
    table = MultipleCronTriggerTimetable("0 6 * * *", "0 */6 * * *", timezone="UTC")
    last, runs = ("11 06:00", "11 06:00"), list[str]()
    for _ in range(5):
        found = asked(table, last=last, catchup=True)
        assert found is not None
        runs.append(found.split(" > ")[0])
        last = (runs[-1], runs[-1])
    assert runs == ["11 12:00", "11 18:00", "12 00:00", "12 06:00", "12 12:00"]
    assert asked(table, last=("10 06:00", "10 06:00")) == "12 06:00 > 12 06:00"
    with pytest.raises(BadTimetable, match="at least one"):
        MultipleCronTriggerTimetable(timezone="UTC")


# ── without a rhythm ──


def test_never_once_and_without_a_pause() -> None:
    never, once, again = NullTimetable(), OnceTimetable(), ContinuousTimetable()
    assert {
        "never": asked(never, start="1", catchup=True),
        "once": asked(once),
        "once, start": asked(once, start="1"),
        "once, start to come": asked(once, start="20"),
        "once, seen": asked(once, since="9"),
        "once, done": asked(once, last=("1", "1")),
        "once, over": asked(once, end="10"),
        "again": asked(again),
        "again, start": asked(again, start="1"),
        "again, start to come": asked(again, start="20"),
        "again, next": asked(again, last=("12 08:00", "12 09:00")),
        "again, over": asked(again, last=("12 08:00", "12 09:00"), end="12 10:00"),
    } == {
        "never": None,
        "once": "12 10:30 > 12 10:30",
        "once, start": "1 00:00 > 1 00:00",
        "once, start to come": "20 00:00 > 20 00:00",
        "once, seen": "9 00:00 > 9 00:00",
        "once, done": None,
        "once, over": None,
        "again": "12 10:30 > 12 10:30",
        "again, start": "1 00:00 > 12 10:30",
        "again, start to come": "20 00:00 > 20 00:00",
        "again, next": "12 09:00 > 12 10:30",
        "again, over": None,
    }
    assert [(t.can_be_scheduled, t.active_runs_limit) for t in (never, once, again)] == [
        *((False, None), (True, None), (True, 1))
    ]


def test_events_are_sorted_counted_once_and_followed_in_order() -> None:
    table = EventsTimetable([at("14"), at("10"), at("10"), at("13 18:00")])
    assert (table.summary, len(table.event_dates)) == ("3 events", 3)
    assert [
        asked(table, catchup=True),
        asked(table, catchup=True, last=("10", "10")),
        asked(table, last=("13 18:00", "13 18:00")),
        asked(table, start="13 19:00"),
        asked(table, end="13"),
        asked(table, last=("14", "14")),
        asked(EventsTimetable([])),
    ] == [
        "10 00:00 > 10 00:00",
        "13 18:00 > 13 18:00",
        "14 00:00 > 14 00:00",
        "14 00:00 > 14 00:00",
        None,
        None,
        None,
    ]
    with pytest.raises(BadTimetable, match="has no time zone"):
        EventsTimetable([datetime(2026, 5, 1)])  # noqa: DTZ001


# ── runs that a person starts ──


def test_a_run_that_a_person_starts_has_the_interval_that_its_timetable_infers() -> None:
    events = [at("1"), at("20")]
    tables: dict[str, Timetable] = {
        "cron": CronDataIntervalTimetable("@daily", "UTC"),
        "span": DeltaDataIntervalTimetable(DAY),
        "trigger": CronTriggerTimetable("@daily", timezone="UTC", interval=HOUR),
        "several": MultipleCronTriggerTimetable("@daily", "@hourly", timezone="UTC"),
        "span trigger": DeltaTriggerTimetable(DAY),
        "never": NullTimetable(),
        "once": OnceTimetable(),
        "events": EventsTimetable(events),
        "only events": EventsTimetable(events, restrict_to_events=True),
        "events to come": EventsTimetable(events[1:], restrict_to_events=True),
        "assets": AssetTriggeredTimetable([AssetUri("a")]),
    }
    inferred = {
        name: " > ".join(
            f"{m:%-d %H:%M}" for m in table.infer_manual_data_interval(run_after=NOW)
        )
        for name, table in tables.items()
    }
    assert inferred == {
        "cron": "11 00:00 > 12 00:00",
        "span": "11 10:30 > 12 10:30",
        "trigger": "12 09:30 > 12 10:30",
        "several": "12 10:30 > 12 10:30",
        "span trigger": "12 10:30 > 12 10:30",
        "never": "12 10:30 > 12 10:30",
        "once": "12 10:30 > 12 10:30",
        "events": "12 10:30 > 12 10:30",
        "only events": "1 00:00 > 1 00:00",
        "events to come": "20 00:00 > 20 00:00",
        "assets": "12 10:30 > 12 10:30",
    }


def test_run_infos_are_made_as_in_airflow() -> None:
    start, end = at("1"), at("2")
    assert DagRunInfo.exact(start) == DagRunInfo(start, DataInterval(start, start))
    assert DagRunInfo.interval(start, end) == DagRunInfo(end, DataInterval(start, end))
    assert DagRunInfo.interval(start, end).logical_date == start
    info = DagRunInfo.interval(start, end)
    assert info_from_json(info_to_json(info)) == info
    assert info_from_json(info_to_json(None)) is None
    with pytest.raises(BadTimetable, match="has no time zone"):
        info_to_json(DagRunInfo.exact(datetime(2026, 5, 1)))  # noqa: DTZ001


# ── assets ──

A, B, C = AssetUri("s3://a"), AssetUri("s3://b"), AssetUri("s3://c")


def test_a_condition_holds_when_all_or_any_of_its_assets_were_updated() -> None:
    tree = AnyOf((AllOf((A, B)), C))
    updated = [set[str](), {"s3://a"}, {"s3://a", "s3://b"}, {"s3://c"}, {"s3://b"}]
    assert [condition_met(tree, uris) for uris in updated] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert list(uris_of(tree)) == ["s3://a", "s3://b", "s3://c"]
    assert condition_text(tree) == "(s3://a & s3://b) | s3://c"
    assert AssetTriggeredTimetable([A, C]).condition == AllOf((A, C))
    for wrong in ([], "s3://a", 5, [A, 5]):
        with pytest.raises(BadTimetable):
            AssetTriggeredTimetable(wrong)  # type: ignore[arg-type]


def test_assets_or_time_also_goes_by_the_clock() -> None:
    table = AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 6 * * *", timezone="UTC"), assets=[A]
    )
    assert (table.summary, table.condition) == ("Asset or 0 6 * * *", AllOf((A,)))
    assert asked(table, last=("12 06:00", "12 06:00")) == "13 06:00 > 13 06:00"
    assert asked(AssetTriggeredTimetable([A])) is None


# ── as text ──

NATIVE: list[Timetable] = [
    CronDataIntervalTimetable("30 2 * * *", "Europe/Athens"),
    CronDataIntervalTimetable("@daily", "+02:00"),
    CronTriggerTimetable("@daily", timezone="UTC", interval=DAY, run_immediately=HOUR),
    CronTriggerTimetable("@daily", timezone="UTC", run_immediately=None),
    MultipleCronTriggerTimetable("0 6 * * *", "0 18 * * 5", timezone="Asia/Kolkata"),
    DeltaDataIntervalTimetable(timedelta(days=1, seconds=5, microseconds=7)),
    DeltaDataIntervalTimetable(relativedelta(months=1, day=31)),
    DeltaTriggerTimetable(relativedelta(weeks=1, weekday=MO(1)), interval=DAY),
    EventsTimetable([at("1"), at("3")], restrict_to_events=True, description="matches"),
    OnceTimetable(),
    ContinuousTimetable(),
    NullTimetable(),
    AssetTriggeredTimetable(AnyOf((AllOf((A, B)), C))),
    AssetOrTimeSchedule(
        timetable=CronDataIntervalTimetable("@daily", "UTC"), assets=[A, B]
    ),
]


@pytest.mark.parametrize("table", NATIVE, ids=repr)
def test_a_native_timetable_comes_back_from_its_text(table: Timetable) -> None:
    text = timetable_to_json(table)
    again = timetable_from_json(text)
    assert type(again) is type(table)
    assert (again.summary, again.description) == (table.summary, table.description)
    assert timetable_to_json(again) == text
    assert not is_custom(again)
    for catchup in (True, False):
        question = {"start": "1", "catchup": catchup}
        assert asked(again, **question) == asked(table, **question)  # type: ignore[arg-type]


def test_native_timetables_are_equal_by_what_they_say() -> None:
    one, same = (CronDataIntervalTimetable("@daily", "UTC") for _ in range(2))
    other = CronTriggerTimetable("@daily", timezone="UTC")
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != CronDataIntervalTimetable("@daily", "Europe/Athens")


class Odd(Timetable):
    description = "Now and then"
    active_runs_limit = 2

    @property
    def summary(self) -> str:
        return "odd"


class Late(CronDataIntervalTimetable):
    """A native one with a person's code in it is a person's."""


def test_a_persons_own_timetable_is_named_and_says_no_times_to_the_engine() -> None:
    text = timetable_to_json(Odd())
    assert json.loads(text) == {
        "type": "custom",
        "class": f"{__name__}.Odd",
        "summary": "odd",
        "description": "Now and then",
        "periodic": True,
        "can_be_scheduled": True,
        "active_runs_limit": 2,
    }
    again = timetable_from_json(text)
    assert isinstance(again, CustomTimetable)
    assert (again.summary, again.active_runs_limit) == ("odd", 2)
    assert timetable_to_json(again) == text
    with pytest.raises(TimetableElsewhere, match="asked in a service attempt"):
        asked(again)
    with pytest.raises(TimetableElsewhere):
        again.infer_manual_data_interval(run_after=NOW)
    mixed = AssetOrTimeSchedule(timetable=Late("@daily", "UTC"), assets=[A])
    customs = [Odd(), again, Late("@daily", "UTC"), mixed]
    customs.append(timetable_from_json(timetable_to_json(mixed)))
    assert [is_custom(table) for table in customs] == [True] * 5


def test_a_text_of_another_version_is_refused_and_no_text_is_no_schedule() -> None:
    assert timetable_from_json("") == NullTimetable()
    for text in ('{"type": "LunarTimetable"}', "{}", "cron", "[]", "5"):
        with pytest.raises(BadTimetable, match="no timetable that this version can read"):
            timetable_from_json(text)
