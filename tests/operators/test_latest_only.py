"""LatestOnlyOperator: which runs count as the latest, with real timetables."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from mlflowkit import DAG
from mlflowkit.core.timetable import DagRunInfo, DataInterval, Timetable
from mlflowkit.errors import BadOption
from mlflowkit.operators.latest_only import LatestOnlyOperator
from mlflowkit.timetables import CronTriggerTimetable
from tests.operators.waiting_world import World

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def _skips(
    folder: Path,
    now: datetime,
    *,
    schedule: object = "@daily",
    interval: timedelta = DAY,
    run_type: str = "scheduled",
) -> bool:
    with DAG("d", schedule=schedule, timezone="UTC"):
        task = LatestOnlyOperator("latest")
    world = World(folder, data_interval_start=START, data_interval_end=START + interval)
    world.context["dag_run"] = SimpleNamespace(
        run_type=run_type, run_after=START + interval
    )
    world.clock.moment = now
    world.run(task)
    assert world.halted in ([], [True])  # only what is directly below
    return bool(world.halted)


def test_a_run_is_the_latest_until_the_end_of_the_next_ones_interval(
    tmp_path: Path,
) -> None:
    assert not _skips(tmp_path, START + DAY)
    assert not _skips(tmp_path, START + 1.5 * DAY)
    assert not _skips(tmp_path, START + 2 * DAY)
    assert _skips(tmp_path, START + 2 * DAY + timedelta(seconds=1))
    assert _skips(tmp_path, START + 30 * DAY)


def test_the_same_holds_for_intervals_that_are_empty(tmp_path: Path) -> None:
    empty: dict[str, Any] = {
        "schedule": CronTriggerTimetable("0 0 * * *", timezone="UTC"),
        "interval": timedelta(),
    }
    assert not _skips(tmp_path, START + timedelta(hours=1), **empty)
    assert not _skips(tmp_path, START + DAY, **empty)
    assert _skips(tmp_path, START + DAY + timedelta(seconds=1), **empty)


@pytest.mark.parametrize(
    ("run_type", "skips"),
    [
        ("scheduled", True),
        ("backfill", True),
        ("manual", False),
        ("operator_triggered", False),
        ("test", False),
    ],
)
def test_runs_that_a_person_started_always_go_on(
    tmp_path: Path, run_type: str, skips: bool
) -> None:
    assert _skips(tmp_path, START + 30 * DAY, run_type=run_type) is skips


def test_the_last_run_of_a_schedule_goes_on(tmp_path: Path) -> None:
    for schedule in (None, "@once"):
        assert not _skips(tmp_path, START + 30 * DAY, schedule=schedule)


def test_it_knows_the_schedule_in_a_worker_too(tmp_path: Path) -> None:
    with DAG("d", schedule=timedelta(hours=1)):
        task = LatestOnlyOperator("latest")
    away = copy.copy(cloudpickle.loads(cloudpickle.dumps(task)))
    assert away.dag is None
    world = World(
        tmp_path, data_interval_start=START, data_interval_end=START + timedelta(hours=1)
    )
    for hours, skips in ((1.5, []), (2.5, [True])):
        world.clock.moment = START + timedelta(hours=hours)
        world.halted.clear()
        world.run(away)
        assert world.halted == skips


class Workdays(Timetable):
    """A timetable of a person."""

    def next_dagrun_info(self, **_: Any) -> DagRunInfo | None:
        return None

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return DataInterval.exact(run_after)


def test_a_timetable_that_it_cannot_ask_is_refused_when_the_dag_is_written() -> None:
    with DAG("d", schedule=Workdays()), pytest.raises(BadOption, match="cannot ask"):
        LatestOnlyOperator("latest")
