"""The public timetables, and a person's own one as the examples have it."""

from __future__ import annotations

import importlib.util
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

import mlflowkit.timetables as tt
from mlflowkit.core.planner import Plan, backfill_infos, due, next_due
from mlflowkit.core.timetable import TimeRestriction as CoreRestriction
from mlflowkit.core.timetable import is_custom
from mlflowkit.errors import BadTimetable

ROOT = Path(__file__).parent.parent


def test_airflows_names_are_there() -> None:
    assert set(tt.__all__) == {
        "AssetOrTimeSchedule",
        "AssetTriggeredTimetable",
        "ContinuousTimetable",
        "CronDataIntervalTimetable",
        "CronTriggerTimetable",
        "DagRunInfo",
        "DataInterval",
        "DeltaDataIntervalTimetable",
        "DeltaTriggerTimetable",
        "EventsTimetable",
        "MultipleCronTriggerTimetable",
        "NullTimetable",
        "OnceTimetable",
        "TimeRestriction",
        "Timetable",
    }
    assert all(hasattr(tt, name) for name in tt.__all__)


def test_a_restriction_of_three_parts_is_about_now() -> None:
    before = datetime.now(UTC)
    restriction = tt.TimeRestriction(earliest=None, latest=None, catchup=False)
    assert isinstance(restriction, CoreRestriction)
    assert before <= restriction.now <= datetime.now(UTC)
    info = tt.CronDataIntervalTimetable("@hourly", timezone="UTC").next_dagrun_info(
        last_automated_data_interval=None, restriction=restriction
    )
    assert info is not None
    assert timedelta() <= restriction.now - info.run_after < timedelta(hours=1)
    fixed = datetime(2026, 5, 1, tzinfo=UTC)
    assert tt.TimeRestriction(None, None, True, fixed, fixed)[3:] == (fixed, fixed)
    with pytest.raises(BadTimetable, match="say the moment"):
        assert CoreRestriction(None, None, catchup=False).moment


def test_a_base_timetable_says_what_a_subclass_has_to_write() -> None:
    class Empty(tt.Timetable):
        pass

    restriction = tt.TimeRestriction(None, None, catchup=False)
    with pytest.raises(NotImplementedError, match=r"Empty has no next_dagrun_info\(\)"):
        Empty().next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    with pytest.raises(NotImplementedError, match="infer_manual_data_interval"):
        Empty().infer_manual_data_interval(run_after=restriction.now)
    assert (Empty().summary, repr(Empty())) == ("Empty", "<Empty: Empty>")


# ── pipelines/workdays.py ──


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = ROOT / "pipelines" / "workdays.py"
    spec = importlib.util.spec_from_file_location("workdays_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dates(infos: list[tt.DagRunInfo]) -> list[str]:
    return [f"{info.logical_date:%a %m-%d}" for info in infos]


def test_workdays_leave_out_weekends_and_holidays(example: ModuleType) -> None:
    """1 January 2026 is a Thursday, and Epiphany a Tuesday."""
    table = example.AfterWorkdayTimetable([date(2026, 1, 1), date(2026, 1, 6)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    now = datetime(2026, 1, 10, 9, tzinfo=UTC)
    plan = Plan(timetable=table, start_date=start, catchup=True)
    infos = due(plan, now, 100)
    assert dates(infos) == ["Fri 01-02", "Mon 01-05", "Wed 01-07", "Thu 01-08", "Fri 01-09"]
    assert all(info.run_after - info.logical_date == timedelta(days=1) for info in infos)
    last = infos[-1].data_interval
    done = Plan(timetable=table, start_date=start, catchup=True, last=last)
    assert next_due(done, now) == datetime(2026, 1, 13, tzinfo=UTC)
    assert dates(due(Plan(timetable=table), now, 100)) == ["Fri 01-09"]
    assert dates(backfill_infos(table, start, start + timedelta(days=5))) == [
        *("Fri 01-02", "Mon 01-05")
    ]
    manual = table.infer_manual_data_interval(run_after=now)
    assert (
        f"{manual.start:%m-%d %H:%M}, {manual.end:%m-%d %H:%M}"
        == "01-09 00:00, 01-10 00:00"
    )
    assert is_custom(table)


def test_the_example_runs(example: ModuleType) -> None:
    run = example.d.test()
    assert run.state == "success"
    assert run.result("count_orders").startswith("orders of ")


# ── docs/how-to/time.md ──

PAGE = (ROOT / "docs" / "how-to" / "time.md").read_text()
ROWS = re.findall(
    r"^\| (\w+/\w+), [^|]+ \| `([^`]+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.M
)


def test_the_page_about_time_has_a_table() -> None:
    assert len(ROWS) == 19
    assert {zone for zone, *_ in ROWS} == {
        *("Europe/Athens", "America/New_York", "Australia/Lord_Howe")
    }


@pytest.mark.parametrize(("zone", "cron", "before", "at", "after"), ROWS)
def test_a_row_of_the_page_about_time_is_what_runs(
    zone: str, cron: str, before: str, at: str, after: str
) -> None:
    written = [
        datetime.strptime(f"2026 {text} +0000", "%Y %d %B %H:%M %z")
        for text in (before, at, after)
    ]
    plan = Plan(
        timetable=tt.CronDataIntervalTimetable(cron, timezone=zone),
        start_date=written[0] - timedelta(days=3),
        catchup=True,
    )
    runs = [info.run_after for info in due(plan, written[-1], 1000)]
    assert runs[-3:] == written
