"""Summer time: months worked out by hand, and what holds for every cron in every zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from croniter import croniter
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflowkit.core.planner import Plan, due
from mlflowkit.core.timetable import (
    CronDataIntervalTimetable,
    DataInterval,
    DeltaDataIntervalTimetable,
    Timetable,
)
from mlflowkit.core.timetable.cron import parse_cron
from mlflowkit.core.timetable.steps import Steps
from mlflowkit.core.timetable.wall import CronTicks
from mlflowkit.core.timetable.zones import zone_of, zone_text
from mlflowkit.errors import BadTimetable, BadZone

ATHENS, NEW_YORK, LORD_HOWE = "Europe/Athens", "America/New_York", "Australia/Lord_Howe"
APIA = "Pacific/Apia"

#: Zone, month, schedule; then when the runs of the month start, in UTC: days and times.
#: Worked out by hand from the offsets below. A run starts when its interval has ended.
#:
#:   Europe/Athens        29 March   01:00 UTC: 03:00 becomes 04:00 (UTC+2 → +3)
#:                        25 October 01:00 UTC: 04:00 becomes 03:00 (UTC+3 → +2)
#:   America/New_York      8 March   07:00 UTC: 02:00 becomes 03:00 (UTC-5 → -4)
#:                         1 Nov.    06:00 UTC: 02:00 becomes 01:00 (UTC-4 → -5)
#:   Australia/Lord_Howe   4 April   15:00 UTC: 02:00 becomes 01:30 on the 5th (+11 → +10:30)
#:                         3 October 15:30 UTC: 02:00 becomes 02:30 on the 4th (+10:30 → +11)
MONTHS = [
    # A time that is not shown on the day of the change comes when the clocks jump.
    (ATHENS, "2026-03", "30 3 * * *", "1-28 01:30, 29 01:00, 30-31 00:30"),
    (ATHENS, "2026-03", "0 3 * * *", "1-28 01:00, 29 01:00, 30-31 00:00"),
    (ATHENS, "2026-03", "30 2 * * *", "1-29 00:30, 29-31 23:30"),
    (ATHENS, "2026-03", "0 3,4 * * *", "1-28 01:00 02:00, 29 01:00, 30-31 00:00 01:00"),
    (ATHENS, "2026-03", "@daily", "1-28 22:00, 29-31 21:00"),
    (ATHENS, "2026-03", "@hourly", "1-31 *:00"),
    (ATHENS, "2026-03", "1 day", "1-31 22:00"),
    # One that is shown twice counts the second time.
    (ATHENS, "2026-10", "30 3 * * *", "1-24 00:30, 25-31 01:30"),
    (ATHENS, "2026-10", "0 3 * * *", "1-24 00:00, 25-31 01:00"),
    (ATHENS, "2026-10", "0 4 * * *", "1-24 01:00, 25-31 02:00"),
    (ATHENS, "2026-10", "@daily", "1-24 21:00, 25-31 22:00"),
    (ATHENS, "2026-10", "@hourly", "1-31 *:00"),
    (ATHENS, "2026-10", "*/30 * * * *", "1-31 *:00 *:30"),
    (ATHENS, "2026-10", "1 day", "1-31 21:00"),
    (NEW_YORK, "2026-03", "30 2 * * *", "1-7 07:30, 8 07:00, 9-31 06:30"),
    (NEW_YORK, "2026-03", "0 3 * * *", "1-7 08:00, 8 07:00, 9-31 07:00"),
    (
        NEW_YORK,
        "2026-03",
        "*/20 2 * * *",
        "1-7 07:00 07:20 07:40, 8 07:00, 9-31 06:00 06:20 06:40",
    ),
    (NEW_YORK, "2026-03", "@daily", "1-8 05:00, 9-31 04:00"),
    (NEW_YORK, "2026-03", "@hourly", "1-31 *:00"),
    (NEW_YORK, "2026-03", "1 day", "1-31 05:00"),
    (NEW_YORK, "2026-11", "30 1 * * *", "1 06:30, 2-30 06:30"),
    (NEW_YORK, "2026-11", "30 2 * * *", "1-30 07:30"),
    (NEW_YORK, "2026-11", "0 3 * * *", "1-30 08:00"),
    (NEW_YORK, "2026-11", "@daily", "1 04:00, 2-30 05:00"),
    (NEW_YORK, "2026-11", "@hourly", "1-30 *:00"),
    (NEW_YORK, "2026-11", "1 day", "1-30 04:00"),
    # The clocks of Lord Howe move by half an hour.
    (LORD_HOWE, "2026-10", "15 2 * * *", "1-2 15:45, 3 15:30, 4-31 15:15"),
    (LORD_HOWE, "2026-10", "0 3 * * *", "1-2 16:30, 3-31 16:00"),
    (LORD_HOWE, "2026-10", "@daily", "1-3 13:30, 4-31 13:00"),
    (LORD_HOWE, "2026-10", "@hourly", "1-2 *:30, 3 00-15:30 16-23:00, 4-31 *:00"),
    (LORD_HOWE, "2026-10", "1 day", "1-31 13:30"),
    (LORD_HOWE, "2026-04", "45 1 * * *", "1-3 14:45, 4-30 15:15"),
    (LORD_HOWE, "2026-04", "0 3 * * *", "1-3 16:00, 4-30 16:30"),
    (LORD_HOWE, "2026-04", "@daily", "1-4 13:00, 5-30 13:30"),
    (LORD_HOWE, "2026-04", "@hourly", "1-3 *:00, 4 00-14:00 15-23:30, 5-30 *:30"),
    (LORD_HOWE, "2026-04", "1 day", "1-30 13:00"),
    # A day that Samoa left out: both midnights are the same moment.
    (APIA, "2011-12", "@daily", "1-30 10:00, 31 10:00"),
    (APIA, "2011-12", "@hourly", "1-31 *:00"),
]


def by_hand(month: str, text: str) -> list[datetime]:
    """`1-28 01:30, 29 *:00` as moments of the month in UTC."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    found: list[datetime] = []
    for part in text.split(", "):
        days, *clocks = part.split()
        for day in numbers(days):
            for clock in clocks:
                hours, minute = clock.split(":")
                found += [
                    first.replace(day=day, hour=hour, minute=int(minute))
                    for hour in (range(24) if hours == "*" else numbers(hours))
                ]
    return sorted(found)


def numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def timetable(schedule: str, zone: str) -> Timetable:
    if schedule == "1 day":
        return DeltaDataIntervalTimetable(timedelta(days=1))
    return CronDataIntervalTimetable(schedule, zone)


@pytest.mark.parametrize(("zone", "month", "schedule", "expected"), MONTHS)
def test_a_month_of_runs_is_the_one_worked_out_by_hand(
    zone: str, month: str, schedule: str, expected: str
) -> None:
    """From the month before, with catchup, all that has started by the end of the month."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=zone_of(zone))
    start, end = first - timedelta(days=5), first + relativedelta(months=1, days=2)
    plan = Plan(timetable=timetable(schedule, zone), start_date=start, catchup=True)
    infos = due(plan, end.astimezone(UTC), 10_000)
    moments = [info.run_after for info in infos]
    in_month = [at for at in moments if at.strftime("%Y-%m") == month]
    assert in_month == by_hand(month, expected)
    for one, other in pairwise(infos):
        assert one.data_interval.end == other.data_interval.start


def test_a_run_that_a_person_starts_has_the_last_interval_in_each_hour_of_a_change() -> (
    None
):
    """03:30 is there twice on 25 October in Athens; the interval changes at the second."""
    table = CronDataIntervalTimetable("30 3 * * *", ATHENS)
    found = [
        table.infer_manual_data_interval(
            run_after=datetime(2026, 10, 25, hour, 45, tzinfo=UTC)
        )
        for hour in (0, 1)
    ]
    assert found == [
        DataInterval(
            datetime(2026, 10, 23, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 24, 0, 30, tzinfo=UTC),
        ),
        DataInterval(
            datetime(2026, 10, 24, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        ),
    ]


# ── laws ──

ZONES = [
    ATHENS,
    NEW_YORK,
    LORD_HOWE,
    APIA,
    "Asia/Kolkata",
    "America/Santiago",
    "UTC",
    "+05:45",
]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda p: f"{min(p)}-{max(p)}")
    lists = st.lists(number, min_size=1, max_size=3).map(lambda p: ",".join(map(str, p)))
    return st.one_of(
        st.just("*"), lists, st.sampled_from([2, 3, 7]).map("*/{}".format), ranges
    )


clocks = st.tuples(field(0, 59), field(0, 23))
days = st.one_of(
    st.tuples(st.just("*") | field(1, 28) | st.just("L"), st.just("*") | field(0, 6)),
    st.sampled_from([("*", "1#2"), ("*", "L5"), ("*", "mon-fri"), ("*/2", "sat")]),
)
crons = st.builds(
    lambda clock, day, month: f"{clock[0]} {clock[1]} {day[0]} {month} {day[1]}",
    clocks,
    days,
    st.just("*") | field(1, 12),
)
#: Around the changes of 2026 of the zones, and of Samoa's lost day.
CHANGES = [(2026, 3, 8), (2026, 3, 29), (2026, 4, 4), (2026, 10, 3), (2026, 10, 25)]
CHANGES += [(2026, 11, 1), (2011, 12, 30), (2026, 4, 5), (2026, 9, 6)]
moments = st.builds(
    lambda day, seconds: datetime(*day, tzinfo=UTC) + timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-100_000, 200_000),
)


@given(crons, st.sampled_from(ZONES), moments)
@settings(max_examples=300, deadline=None)
def test_forward_and_back_are_the_same_moments_and_rise(
    cron: str, zone: str, moment: datetime
) -> None:
    ticks = CronTicks(parse_cron(cron), zone_of(zone))
    found = [ticks.after(moment)]
    for _ in range(40):
        found.append(ticks.after(found[-1]))
    assert all(a < b for a, b in pairwise(found))
    assert [ticks.before(at) for at in found[1:]] == found[:-1]
    assert [ticks.at_or_after(at) for at in found] == found
    assert [ticks.at_or_before(at) for at in found] == found
    assert ticks.before(moment + timedelta(microseconds=1)) <= moment
    assert moment < found[0] <= ticks.after(ticks.at_or_before(moment))


@given(clocks, st.sampled_from(ZONES), st.sampled_from(CHANGES))
@settings(max_examples=60, deadline=None)
def test_each_time_on_the_wall_has_its_run_and_each_run_its_time(
    clock: tuple[str, str], zone: str, day: tuple[int, int, int]
) -> None:
    """Minute by minute over three days, against a reading of the rule without any search."""
    tz, cron = zone_of(zone), parse_cron(f"{clock[0]} {clock[1]} * * *")
    start = datetime(*day, tzinfo=UTC) - timedelta(days=1)
    minutes = [start + timedelta(minutes=n) for n in range(3 * 24 * 60)]
    walls = [at.astimezone(tz).replace(tzinfo=None) for at in minutes]
    shown_last = {wall: n for n, wall in enumerate(walls)}
    expected = set[datetime]()
    for n, (at, wall) in enumerate(zip(minutes, walls, strict=True)):
        skipped = [wall] if n == 0 else between(walls[n - 1], wall)
        jumped = len(skipped) > 1 and not (cron.every_hour and (len(skipped) - 1) % 60 == 0)
        due_now = fits(cron, wall) and (cron.every_hour or shown_last[wall] == n)
        if due_now or (jumped and any(fits(cron, w) for w in skipped)):
            expected.add(at)
    ticks, found = CronTicks(cron, tz), list[datetime]()
    at = ticks.at_or_after(start)
    while at <= minutes[-121]:
        found.append(at)
        at = ticks.after(at)
    assert found == sorted(at for at in expected if at <= minutes[-121])


def between(before: datetime, after: datetime) -> list[datetime]:
    """The minutes after `before`, up to `after`; `after` alone if the clocks went back."""
    steps = (after - before) // timedelta(minutes=1)
    return [before + timedelta(minutes=n) for n in range(1, steps + 1)] or [after]


def fits(cron: object, wall: datetime) -> bool:
    return wall.hour in cron.hours and wall.minute in cron.minutes  # type: ignore[attr-defined]


@given(crons, moments.map(lambda at: at.replace(tzinfo=None)))
@settings(max_examples=300, deadline=None)
def test_without_a_zone_the_times_are_croniters(cron: str, moment: datetime) -> None:
    ours = parse_cron(cron)
    theirs = croniter(cron, moment)
    found, expected = moment, list[datetime]()
    mine = list[datetime]()
    for _ in range(10):
        found = ours.after(found)
        mine.append(found)
        expected.append(theirs.get_next(datetime))
    assert mine == expected
    back = croniter(cron, moment)
    assert ours.before(moment) == back.get_prev(datetime)


@given(
    st.builds(timedelta, minutes=st.integers(1, 5000))
    | st.builds(relativedelta, months=st.integers(0, 5), days=st.integers(1, 40))
    | st.builds(relativedelta, months=st.integers(1, 30), day=st.sampled_from([1, 15, 31])),
    moments,
    moments,
)
@settings(max_examples=200, deadline=None)
def test_steps_rise_and_are_the_same_forward_and_back(
    delta: timedelta | relativedelta, anchor: datetime, moment: datetime
) -> None:
    steps = Steps(anchor, delta)
    found = [steps.after(moment)]
    for _ in range(20):
        found.append(steps.after(found[-1]))
    assert all(a < b for a, b in pairwise(found))
    assert [steps.before(at) for at in found[1:]] == found[:-1]
    assert steps.at_or_before(moment) <= moment <= steps.at_or_after(moment)
    assert all(steps.holds(at) for at in found)


# ── names ──


def test_six_fields_have_seconds_last_and_aliases_are_their_crons() -> None:
    at = datetime(2026, 5, 1, 12, 0, 10, tzinfo=UTC)
    after = {
        cron: CronTicks(parse_cron(cron), UTC).after(at).strftime("%Y-%m-%d %H:%M:%S")
        for cron in (
            "* * * * * */15",
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@quarterly",
            "@yearly",
            "@annually",
            "0 12 L * *",
            "0 12 * * 5#2",
            "0 12 * * L5",
            "0 12 13 * fri",
        )
    }
    assert after == {
        "* * * * * */15": "2026-05-01 12:00:15",
        "@hourly": "2026-05-01 13:00:00",
        "@daily": "2026-05-02 00:00:00",
        "@midnight": "2026-05-02 00:00:00",
        "@weekly": "2026-05-03 00:00:00",
        "@monthly": "2026-06-01 00:00:00",
        "@quarterly": "2026-07-01 00:00:00",
        "@yearly": "2027-01-01 00:00:00",
        "@annually": "2027-01-01 00:00:00",
        "0 12 L * *": "2026-05-31 12:00:00",
        "0 12 * * 5#2": "2026-05-08 12:00:00",
        "0 12 * * L5": "2026-05-29 12:00:00",
        "0 12 13 * fri": "2026-05-08 12:00:00",
    }


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("every day", "it has 5 fields"),
        ("* * * * * * *", "it has 5 fields"),
        ("61 * * * *", "is no cron expression"),
        ("R * * * *", "'R' cannot be read"),
        ("H 3 * * *", "'H' cannot be read"),
        ("0 0 15W * *", "'15W' cannot be read"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 1-7 * 1#1", "use one of the two"),
    ],
)
def test_what_is_no_cron_says_why(cron: str, why: str) -> None:
    with pytest.raises(BadTimetable, match=why):
        CronDataIntervalTimetable(cron, "UTC")


def test_a_zone_is_a_name_or_a_tzinfo_and_goes_there_and_back() -> None:
    from dateutil import tz

    zones = [
        ATHENS,
        "UTC",
        "utc",
        "+02:00",
        "UTC-03:30",
        zone_of(NEW_YORK),
        UTC,
        tz.tzutc(),
    ]
    zones.append(tz.tzoffset(None, 5400))
    assert [zone_text(zone_of(zone)) for zone in zones] == [
        *(ATHENS, "UTC", "UTC", "+02:00", "-03:30", NEW_YORK, "UTC", "UTC", "+01:30")
    ]
    assert all(zone_of(zone_text(zone_of(zone))) == zone_of(zone) for zone in zones)
    for wrong in ("Europe/Athina", "../etc/passwd", "Europe", "", "+25:00", 5):
        with pytest.raises(BadZone):
            zone_of(wrong)  # type: ignore[arg-type]
    with pytest.raises(BadZone, match="Did you mean 'Europe/Athens'"):
        zone_of("Europe/Athenz")
    with pytest.raises(BadZone, match="has no name"):
        zone_of(tz.gettz("Europe/Athens"))
