"""Branches by the calendar: which way is taken when."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from mlflowkit import DAG
from mlflowkit.errors import BadOption, NoRunDate
from mlflowkit.operators.branch_time import BranchDateTimeOperator, BranchDayOfWeekOperator
from mlflowkit.operators.sensors import WeekDay
from tests.operators.waiting_world import NOON, World

WAYS = {"follow_task_ids_if_true": "yes", "follow_task_ids_if_false": ["no"]}
HOUR = timedelta(hours=1)


def _way(world: World, kind: Any, *, timezone: str = "UTC", **options: Any) -> str:
    with DAG("d", timezone=timezone):
        task = kind("branch", **WAYS, **options)
    return task.choose_branch(world.context)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("days", "way"),
    [
        ("Monday", "yes"),
        ({WeekDay.SATURDAY, WeekDay.SUNDAY}, "no"),
        (["tuesday", "MONDAY"], "yes"),
    ],
)
def test_a_day_of_the_week_decides(world: World, days: Any, way: str) -> None:
    # now, for the clock of the test stands at noon of a Monday
    def there(**options: Any) -> str:
        from mlflowkit.authoring import waiting

        with waiting.using_clock(world.clock):
            return _way(world, BranchDayOfWeekOperator, week_day=days, **options)

    assert there() == way
    world.clock.moment += timedelta(days=4)  # Friday
    assert there() == "no"
    assert there(use_task_logical_date=True) == way


def test_the_day_is_that_of_the_dags_zone(world: World) -> None:
    world.context["logical_date"] = datetime(2026, 3, 2, 20, tzinfo=UTC)
    options: dict[str, Any] = {"week_day": "Tuesday", "use_task_logical_date": True}
    assert _way(world, BranchDayOfWeekOperator, **options) == "no"
    assert _way(world, BranchDayOfWeekOperator, timezone="Asia/Tokyo", **options) == "yes"


@pytest.mark.parametrize(
    ("lower", "upper", "way"),
    [
        (NOON, NOON, "yes"),
        (NOON + HOUR, None, "no"),
        (None, NOON - HOUR, "no"),
        (NOON - HOUR, None, "yes"),
        (time(11), time(13), "yes"),
        (time(13), time(14), "no"),
        (time(11), time(2), "yes"),  # until 2 o'clock of the next day
        (time(13), time(2), "no"),
        (NOON - 48 * HOUR, time(13), "yes"),
        (datetime(2026, 3, 2, 11), datetime(2026, 3, 2, 13), "yes"),  # noqa: DTZ001
        (NOON + HOUR, NOON - HOUR, "no"),
    ],
)
def test_a_moment_decides(world: World, lower: Any, upper: Any, way: str) -> None:
    found = _way(
        world,
        BranchDateTimeOperator,
        target_lower=lower,
        target_upper=upper,
        use_task_logical_date=True,
    )
    assert found == way


def test_times_of_day_are_in_the_dags_zone(world: World) -> None:
    options: dict[str, Any] = {
        "target_lower": time(13, 30),
        "target_upper": None,
        "use_task_logical_date": True,
    }
    assert _way(world, BranchDateTimeOperator, **options) == "no"
    assert _way(world, BranchDateTimeOperator, timezone="Europe/Athens", **options) == "yes"


def test_what_cannot_be_is_refused(world: World) -> None:
    with pytest.raises(BadOption, match="cannot both be None"):
        _way(world, BranchDateTimeOperator, target_lower=None, target_upper=None)
    with pytest.raises(BadOption, match="must be a datetime or a time, not '11:00'"):
        _way(world, BranchDateTimeOperator, target_lower="11:00", target_upper=None)
    with pytest.raises(BadOption, match="must be of MONDAY"):
        _way(world, BranchDayOfWeekOperator, week_day="Montag")
    world.context["logical_date"] = world.context["dag_run"] = None
    with pytest.raises(NoRunDate):
        _way(world, BranchDayOfWeekOperator, week_day="Monday", use_task_logical_date=True)
