"""`schedule=` as people write it: what it means, in which zone, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta

from mlflowkit import DAG
from mlflowkit.authoring import machine_zone
from mlflowkit.authoring.assets import Asset
from mlflowkit.authoring.schedule import (
    aware,
    schedule_of,
    schedule_text,
    schedule_zone,
    timetable_of,
)
from mlflowkit.core.timetable import (
    AllOf,
    AnyOf,
    AssetTriggeredTimetable,
    AssetUri,
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    OnceTimetable,
    Timetable,
    timetable_from_json,
)
from mlflowkit.errors import BadOption, BadSchedule, BadZone

ATHENS = ZoneInfo("Europe/Athens")
A, B = Asset("s3://a"), Asset("s3://b")


class Weird(Timetable):
    @property
    def summary(self) -> str:
        return "on full moons"


def test_each_way_to_write_a_schedule_has_a_text_and_a_timetable() -> None:
    given: list[object] = [
        "0 6 * * *",
        "*/10 * * * * 30",
        "@daily",
        "@once",
        "@continuous",
        timedelta(hours=1),
        relativedelta(months=1),
        CronTriggerTimetable("@hourly", timezone="UTC"),
        A,
        A | B,
        [A, B],
    ]
    found = [schedule_of("d", one, "Europe/Athens") for one in given]
    assert [(text, timetable_from_json(data)) for text, data in found] == [
        ("0 6 * * *", CronDataIntervalTimetable("0 6 * * *", ATHENS)),
        ("*/10 * * * * 30", CronDataIntervalTimetable("*/10 * * * * 30", ATHENS)),
        ("@daily", CronDataIntervalTimetable("@daily", ATHENS)),
        ("@once", OnceTimetable()),
        ("@continuous", ContinuousTimetable()),
        ("every 1:00:00", DeltaDataIntervalTimetable(timedelta(hours=1))),
        ("every 1 month", DeltaDataIntervalTimetable(relativedelta(months=1))),
        ("@hourly", CronTriggerTimetable("@hourly", timezone="UTC")),
        ("s3://a", AssetTriggeredTimetable(AssetUri("s3://a"))),
        (
            "s3://a | s3://b",
            AssetTriggeredTimetable(AnyOf((AssetUri("s3://a"), AssetUri("s3://b")))),
        ),
        (
            "s3://a & s3://b",
            AssetTriggeredTimetable(AllOf((AssetUri("s3://a"), AssetUri("s3://b")))),
        ),
    ]


def test_no_schedule_is_no_text_and_no_timetable() -> None:
    assert [schedule_of("d", one) for one in (None, "@none", NullTimetable())] == [
        *((None, ""), (None, ""), (None, ""))
    ]
    assert schedule_text("d", "@daily") == "@daily"


def test_a_persons_own_timetable_keeps_its_summary_and_its_class() -> None:
    mine = Weird()
    text, data = schedule_of("d", mine)
    assert text == "on full moons"
    assert json.loads(data)["class"] == f"{__name__}.Weird"
    assert timetable_of("d", mine) is mine


def test_airflow_3_means_a_trigger_by_cron_and_by_span() -> None:
    found = [
        timetable_of("d", one, "UTC", data_intervals=False)
        for one in ("@daily", timedelta(hours=1), "@once")
    ]
    assert found == [
        CronTriggerTimetable("@daily", timezone="UTC"),
        DeltaTriggerTimetable(timedelta(hours=1)),
        OnceTimetable(),
    ]


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("every day", "it has 5 fields"),
        ("61 * * * *", "is no cron expression"),
        ("@dayly", "is no alias that is known (did you mean '@daily'?)"),
        ("0 0 31 2 *", "never comes"),
        (timedelta(), "is not a time span above zero"),
        (relativedelta(days=-1), "is not a time span above zero"),
        (5, "is an int"),
        ([], "empty list of assets"),
        ([A, "s3://b"], "has 's3://b' among its assets"),
        (ATHENS, "is a ZoneInfo"),
    ],
)
def test_what_cannot_be_a_schedule_says_which_dag_and_why(
    schedule: object, why: str
) -> None:
    with pytest.raises(BadSchedule) as caught:
        schedule_of("d", schedule)
    assert "DAG 'd' has the schedule" in str(caught.value)
    assert why in str(caught.value)


# ── zones ──


def test_the_dags_own_zone_wins_then_the_start_dates_then_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    start, naive = datetime(2026, 1, 1, tzinfo=ATHENS), datetime(2026, 1, 1)  # noqa: DTZ001
    zones = [
        schedule_zone("Asia/Kolkata", start),
        schedule_zone(None, start),
        schedule_zone(None, naive),
        schedule_zone(None, None),
    ]
    assert zones == [ZoneInfo("Asia/Kolkata"), ATHENS, None, None]
    found = [timetable_of("d", "@daily", zone) for zone in zones]
    assert [json.loads(schedule_of("d", t)[1])["timezone"] for t in found] == [
        *("Asia/Kolkata", "Europe/Athens", "America/New_York", "America/New_York")
    ]
    with pytest.raises(BadZone, match="Did you mean 'Europe/Athens'"):
        timetable_of("d", "@daily", "Europe/Athen")


def test_a_start_date_without_a_zone_has_the_dags_or_the_machines_with_its_summer_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Athens")
    winter, summer = datetime(2026, 1, 1), datetime(2026, 7, 1)  # noqa: DTZ001
    assert aware("DAG 'd'", None) is None
    assert aware("DAG 'd'", winter.replace(tzinfo=UTC)) == winter.replace(tzinfo=UTC)
    found = [aware("DAG 'd'", moment) for moment in (winter, summer)]
    assert [at.isoformat() for at in found if at] == [
        "2026-01-01T00:00:00+02:00",
        "2026-07-01T00:00:00+03:00",
    ]
    other = aware("DAG 'd'", winter, "+05:30")
    assert other is not None
    assert other.tzinfo == timezone(timedelta(hours=5, minutes=30))
    with pytest.raises(
        BadOption, match="'end_date' of DAG 'd' must be a datetime, not a str"
    ):
        aware("DAG 'd'", "2026-01-01", option="end_date")


def test_the_machines_zone_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link, file = tmp_path / "localtime", tmp_path / "timezone"
    monkeypatch.setattr(machine_zone, "LOCALTIME", link)
    monkeypatch.setattr(machine_zone, "TIMEZONE", file)
    monkeypatch.delenv("TZ", raising=False)
    seen = [machine_zone.machine_zone()]
    file.write_text("Asia/Kolkata\n")
    seen.append(machine_zone.machine_zone())
    link.symlink_to("/usr/share/zoneinfo/America/New_York")
    seen.append(machine_zone.machine_zone())
    for value in (
        ":Europe/Athens",
        "/usr/share/zoneinfo/Europe/Athens",
        "EET-2EEST,M3.5.0",
    ):
        monkeypatch.setenv("TZ", value)
        seen.append(machine_zone.machine_zone())
    assert [str(zone) for zone in seen] == [
        "UTC",
        "Asia/Kolkata",
        "America/New_York",
        "Europe/Athens",
        "Europe/Athens",
        "America/New_York",
    ]


def test_a_date_that_is_a_text_is_refused() -> None:
    with pytest.raises(
        BadOption, match="'start_date' of DAG 'd' must be a datetime, not a str"
    ):
        DAG("d", start_date="2026-01-01")  # type: ignore[arg-type]
