"""A person's own timetables, asked in real workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, task
from mlflowkit.timetables import DagRunInfo, DataInterval, Timetable
from tests.engine.scheduling import DAY, HOUR, NOON, Clock, Office


@task
def work() -> str:
    return "done"


class Every(Timetable):
    """Each hour, for the hour before; or what `what` says."""

    def __init__(self, what: str = "", folder: str = "") -> None:
        self.what, self.folder = what, folder

    def next_dagrun_info(
        self, *, last_automated_data_interval: Any, restriction: Any
    ) -> Any:
        last = last_automated_data_interval
        if self.what == "raises":
            raise ValueError("no calendar for 2026")
        if self.what == "none" or (self.what == "once" and last is not None):
            return None
        if self.what == "text":
            return "tomorrow"
        if self.what == "back":
            return DagRunInfo.interval(NOON - HOUR, NOON)
        if self.what == "reversed":
            return DagRunInfo(NOON, DataInterval(NOON, NOON - HOUR))
        if self.what == "dies" and not Path(self.folder, "died").exists():
            Path(self.folder, "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        start = last.end if last else NOON
        return DagRunInfo.interval(start, start + HOUR)

    def infer_manual_data_interval(self, *, run_after: Any) -> Any:
        return DataInterval(run_after - HOUR, run_after)


def made(timetable: Timetable, **options: Any) -> DAG:
    with DAG("d", schedule=timetable, **options) as dag:
        work()
    return dag


@pytest.fixture
def office(home: Path) -> Iterator[Office]:
    found = Office(home, Clock())
    yield found
    found.close()


def test_its_runs_start_when_it_says(office: Office) -> None:
    office.publish(made(Every()))
    office.settle()
    assert office.states("d") == {}
    office.pass_time(HOUR)
    office.pass_time(2 * HOUR)
    days = {f"03-03T{hour}:00": "success" for hour in (12, 13, 14)}
    assert office.states("d") == days
    assert office.line("d").next == DagRunInfo.interval(NOON + 3 * HOUR, NOON + 4 * HOUR)


def test_when_it_ends_nothing_comes_and_that_is_no_problem(office: Office) -> None:
    office.publish(made(Every("once")))
    office.settle()
    office.pass_time(DAY)
    assert office.states("d") == {"03-03T12:00": "success"}
    assert (office.line("d").next, office.line("d").problem) == (None, "")


def test_one_that_fails_or_answers_nonsense_is_named_and_harms_nobody(
    office: Office,
) -> None:
    wrong = {
        "raises": "no calendar for 2026",
        "text": "its timetable failed",
        "reversed": "ends before it begins",
    }
    for what, said in wrong.items():
        office.publish(made(Every(what)))
        office.settle()
        assert office.line("d").next is None
        assert said in office.line("d").problem
    office.publish(made(Every()))
    office.pass_time(HOUR)
    assert office.states("d") == {"03-03T12:00": "success"}
    assert office.line("d").problem == ""


def test_one_that_does_not_lead_on_starts_no_runs_without_end(office: Office) -> None:
    office.publish(made(Every("back")))
    office.settle()
    office.pass_time(DAY)
    assert list(office.states("d").values()) == ["success"]
    assert "does not come after the one before" in office.line("d").problem


def test_one_whose_process_dies_is_named_and_asked_again_when_it_is_unpaused(
    office: Office, tmp_path: Path
) -> None:
    office.publish(made(Every("dies", str(tmp_path))))
    office.settle()
    assert "died of SIGKILL" in office.line("d").problem
    office.engine.dags.pause("d", True)
    office.engine.dags.pause("d", False)
    office.settle()
    assert office.line("d").next == DagRunInfo.interval(NOON, NOON + HOUR)
    assert office.line("d").problem == ""


def test_an_answer_about_a_schedule_that_was_changed_meanwhile_does_not_count(
    office: Office,
) -> None:
    office.publish(made(Every()))
    office.publish(made(Every("none")))
    office.settle()
    assert (office.line("d").next, office.line("d").problem) == (None, "")


def test_changed_code_of_a_timetable_is_asked_anew(office: Office) -> None:
    office.publish(made(Every("none")))
    office.settle()
    office.publish(made(Every()))
    office.settle()
    assert office.line("d").next == DagRunInfo.interval(NOON, NOON + HOUR)


def test_a_failed_one_is_asked_again_by_the_next_scheduler(
    office: Office, tmp_path: Path
) -> None:
    office.publish(made(Every("raises")))
    office.settle()
    assert office.line("d").problem
    office.engine.schedules.rest()
    office.engine.schedules.plan()
    office.settle()
    assert "no calendar" in office.line("d").problem
