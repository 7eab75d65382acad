"""When runs start: by a schedule, in an engine whose clock the test sets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mlflowkit import DAG, task
from mlflowkit.errors import DagNotPublished, PublishedElsewhere
from mlflowkit.home_store import database
from mlflowkit.store.tables import runs
from mlflowkit.timetables import CronTriggerTimetable
from tests.engine.scheduling import DAY, HOUR, MINUTE, NOON, Clock, Office


@task
def work() -> None: ...


def made(dag_id: str = "d", schedule: Any = "@daily", **options: Any) -> DAG:
    with DAG(dag_id, schedule=schedule, timezone="UTC", **options) as dag:
        work()
    return dag


@dataclass
class Offices:
    """One engine after the other in one home."""

    home: Path
    clock: Clock = field(default_factory=Clock)
    opened: list[Office] = field(default_factory=list)

    def open(self, *, plan: bool = True) -> Office:
        self.close()
        self.opened.append(Office(self.home, self.clock, eager=True, plan=plan))
        return self.opened[-1]

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()


@pytest.fixture
def offices(home: Path) -> Iterator[Offices]:
    found = Offices(home)
    yield found
    found.close()


@pytest.fixture
def office(offices: Offices) -> Office:
    return offices.open()


def test_a_run_starts_when_its_interval_ends(office: Office) -> None:
    office.publish(made(start_date=NOON - DAY, catchup=True))
    office.settle()
    assert office.states("d") == {}
    office.pass_time(datetime(2026, 3, 3, 23, 59, 59, tzinfo=UTC))
    assert office.states("d") == {}
    office.pass_time(datetime(2026, 3, 4, tzinfo=UTC))
    assert office.states("d") == {"03-03T00:00": "success"}
    (row,) = office.rows("d")
    assert (row.run_type, row.data_interval_end, row.started_at) == (
        "scheduled",
        datetime(2026, 3, 4, tzinfo=UTC),
        datetime(2026, 3, 4, tzinfo=UTC),
    )


def test_a_thousand_dags_that_are_due_start_once_each_in_the_order_of_their_times(
    office: Office,
) -> None:
    names = [f"d{i}" for i in range(1000)]
    cron = {
        n: CronTriggerTimetable(f"{int(n[1:]) % 7} 13 * * *", timezone="UTC") for n in names
    }
    office.publish_copies(made(), cron)
    office.pass_time(NOON + 2 * HOUR)
    with office.engine.database.reading() as tx:
        starts = list(tx.execute(select(runs.c.dag_id).order_by(runs.c.run_key)).scalars())
    assert sorted(starts) == sorted(names)
    minutes = [int(name[1:]) % 7 for name in starts]
    assert minutes == sorted(minutes)
    assert len(office.executor.launched) == 1000


def test_with_catchup_every_interval_since_the_start_has_its_run(office: Office) -> None:
    office.publish(made(start_date=datetime(2026, 2, 27, tzinfo=UTC), catchup=True))
    office.settle()
    days = ["02-27", "02-28", "03-01", "03-02"]
    assert office.states("d") == {f"{day}T00:00": "success" for day in days}


def test_without_catchup_only_the_latest_complete_interval_has_a_run(
    office: Office,
) -> None:
    office.publish(made(start_date=datetime(2026, 1, 1, tzinfo=UTC)))
    office.settle()
    assert office.states("d") == {"03-02T00:00": "success"}


def test_while_catching_up_the_next_run_begins_when_one_ends(office: Office) -> None:
    office.executor.hold = True
    start = datetime(2026, 2, 26, tzinfo=UTC)
    office.publish(made(start_date=start, catchup=True, max_active_runs=2))
    seen = []
    for at_once in (2, 2, 1):
        office.until_out(at_once)
        seen.append(list(office.states("d").values()))
        office.executor.release()
        office.rounds()
    office.settle()
    assert seen == [
        ["running"] * 2,
        ["success"] * 2 + ["running"] * 2,
        ["success"] * 4 + ["running"],
    ]
    assert list(office.states("d").values()) == ["success"] * 5


def test_a_paused_dag_starts_nothing_and_later_only_its_latest_interval(
    office: Office,
) -> None:
    office.publish(made(schedule="@hourly"), paused=True)
    office.pass_time(5 * HOUR)
    assert office.states("d") == {}
    office.engine.dags.pause("d", False)
    office.settle()
    assert office.states("d") == {"03-03T16:00": "success"}
    office.engine.dags.pause("d", True)
    office.pass_time(5 * HOUR)
    office.engine.dags.pause("d", False)
    office.settle()
    office.pass_time(HOUR)
    assert list(office.states("d")) == ["03-03T16:00", "03-03T21:00", "03-03T22:00"]


def test_of_what_was_due_while_it_was_paused_a_trigger_timetable_runs_the_latest(
    office: Office,
) -> None:
    office.publish(made(schedule=CronTriggerTimetable("0 * * * *", timezone="UTC")))
    office.pass_time(HOUR)
    office.engine.dags.pause("d", True)
    office.pass_time(5 * HOUR + MINUTE)
    office.engine.dags.pause("d", False)
    office.settle()
    assert list(office.states("d")) == ["03-03T13:00", "03-03T18:00"]
    office.pass_time(HOUR)
    assert list(office.states("d")) == ["03-03T13:00", "03-03T18:00", "03-03T19:00"]


def test_with_catchup_what_was_due_while_it_was_paused_is_made_up(office: Office) -> None:
    office.publish(made(schedule="@hourly", start_date=NOON, catchup=True))
    office.engine.dags.pause("d", True)
    office.pass_time(3 * HOUR)
    office.engine.dags.pause("d", False)
    office.settle()
    assert list(office.states("d")) == ["03-03T12:00", "03-03T13:00", "03-03T14:00"]


def test_a_changed_schedule_counts_at_once_and_does_nothing_again(office: Office) -> None:
    office.publish(made(start_date=NOON - DAY, catchup=True))
    office.pass_time(DAY)
    assert list(office.states("d")) == ["03-03T00:00"]
    office.publish(made(schedule="@hourly", start_date=NOON - DAY, catchup=True))
    office.settle()
    hours = [f"03-04T{hour:02}:00" for hour in range(12)]
    assert list(office.states("d")) == ["03-03T00:00", *hours]


def test_other_code_with_the_same_schedule_leaves_the_plan_as_it_is(
    office: Office,
) -> None:
    office.publish(made())
    office.settle()
    before = office.line("d").next
    office.publish(made(description="another one"))
    office.settle()
    assert office.line("d").next == before
    assert office.line("d").spec.description == "another one"
    assert len(office.rows("d")) == 1


def test_an_engine_that_was_off_for_days_goes_on_where_it_was(offices: Offices) -> None:
    office = offices.open()
    start = datetime(2026, 3, 3, tzinfo=UTC)
    office.publish(made("caught", start_date=start, catchup=True), made("latest"))
    office.settle()
    offices.close()
    offices.clock.now = NOON + 3 * DAY
    office = offices.open()
    office.settle()
    assert list(office.states("caught")) == ["03-03T00:00", "03-04T00:00", "03-05T00:00"]
    assert list(office.states("latest")) == ["03-02T00:00", "03-05T00:00"]


def test_an_engine_that_does_not_plan_starts_nothing(offices: Offices) -> None:
    office = offices.open(plan=False)
    office.publish(made())
    office.pass_time(DAY)
    assert office.states("d") == {}
    office.engine.schedules.plan()
    office.settle()
    assert office.states("d") == {"03-03T00:00": "success"}
    office.engine.schedules.rest()
    office.pass_time(DAY)
    office.rounds()
    assert office.states("d") == {"03-03T00:00": "success"}


def test_what_was_saved_and_not_begun_is_taken_up_by_the_next_scheduler(
    offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = offices.open()
    office.publish(made())
    begun: list[object] = []
    monkeypatch.setattr(office.engine, "begin", begun.append)  # as if it died before
    office.until(lambda: begun)
    assert list(office.states("d").values()) == ["queued"]
    office = offices.open()
    office.settle()
    assert office.states("d") == {"03-02T00:00": "success"}


def test_no_run_starts_after_the_end_date(office: Office) -> None:
    end = datetime(2026, 3, 4, tzinfo=UTC)
    office.publish(made(start_date=NOON - DAY, end_date=end, catchup=True))
    office.pass_time(10 * DAY)
    assert list(office.states("d")) == ["03-03T00:00", "03-04T00:00"]
    assert office.line("d").next is None
    assert office.line("d").problem == ""


def test_once_is_one_run(offices: Offices) -> None:
    office = offices.open()
    office.publish(made(schedule="@once"))
    office.pass_time(DAY)
    office = offices.open()
    office.pass_time(DAY)
    assert list(office.states("d").values()) == ["success"]


def test_continuous_runs_follow_one_another(office: Office) -> None:
    office.executor.hold = True
    office.publish(made(schedule="@continuous"))
    for number in range(1, 4):
        office.until(lambda: office.executor.out)
        office.rounds()
        assert [len(office.rows("d")), len(office.executor.out)] == [number, 1]
        office.clock.now += HOUR  # type: ignore[attr-defined]
        office.executor.release()
    office.until(lambda: len(office.rows("d")) == 4)
    intervals = [(r.data_interval_start, r.data_interval_end) for r in office.rows("d")]
    assert intervals == [
        (NOON, NOON),
        (NOON, NOON + HOUR),
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + 2 * HOUR, NOON + 3 * HOUR),
    ]


def test_an_interval_that_a_backfill_has_run_is_not_run_again(office: Office) -> None:
    dag = made(schedule="@daily", start_date=datetime(2026, 3, 3, tzinfo=UTC), catchup=True)
    office.publish(dag)
    office.backfill(
        dag, [datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)]
    )
    office.settle()
    office.pass_time(NOON + 3 * DAY)
    found = [(f"{r.logical_date:%d}", r.run_type) for r in office.rows("d")]
    assert found == [("03", "backfill"), ("04", "backfill"), ("05", "scheduled")]


def test_a_dag_of_another_file_is_not_replaced_unless_asked(office: Office) -> None:
    office.publish(made())
    other = made()
    other.origin = "/elsewhere/pipeline.py"
    with pytest.raises(PublishedElsewhere):
        office.publish(other)
    office.publish(other, replace=True)
    assert office.line("d").origin == "/elsewhere/pipeline.py"


def test_a_deleted_dag_starts_nothing_more_and_keeps_its_runs(office: Office) -> None:
    office.publish(made())
    office.settle()
    office.engine.dags.delete("d")
    office.pass_time(10 * DAY)
    assert office.states("d") == {"03-02T00:00": "success"}
    with pytest.raises(DagNotPublished):
        office.line("d")


def test_a_clock_that_was_set_back_starts_nothing_twice(office: Office) -> None:
    office.publish(made(schedule="@hourly", start_date=NOON - HOUR, catchup=True))
    office.pass_time(2 * HOUR)
    office.pass_time(NOON)
    office.pass_time(NOON + 3 * HOUR)
    assert list(office.states("d")) == [f"03-03T{h}:00" for h in (11, 12, 13, 14)]


def test_a_number_that_a_person_took_for_a_run_is_passed_over(office: Office) -> None:
    office.publish(made(schedule="@hourly"))
    office.settle()
    office.trigger("d", run_id="d/3")
    office.pass_time(HOUR)
    office.pass_time(HOUR)
    assert [r.run_id for r in office.rows("d")] == ["d/1", "d/3", "d/4", "d/5"]


def test_what_an_engine_writes_is_seen_by_others_though_its_process_reads_the_store_twice(
    offices: Offices,
) -> None:
    """Opening the file beside SQLite and closing it would take the locks of the process."""
    office = offices.open()
    database(offices.home)  # a second time in this process
    assert _runs_that_others_see(offices.home) == "[]"
    office.publish(made())
    office.settle()
    assert _runs_that_others_see(offices.home) == "['d/1']"


def test_what_a_scheduled_run_has_triggered_is_taken_up_with_it(offices: Offices) -> None:
    office = offices.open()
    office.executor.hold = True
    office.publish(made(schedule="@hourly"), made("below", schedule=None))
    office.until(lambda: office.executor.out)
    asking = office.rows("d")[0].run_id
    office.trigger("below", asked_by=asking)
    office.trigger("below")
    office.until(lambda: len(office.executor.out) == 3)
    office = offices.open()
    office.settle()
    assert [(r.run_type, r.state) for r in office.rows("below")] == [
        ("operator_triggered", "success"),
        ("manual", "running"),
    ]


def _runs_that_others_see(home: Path) -> str:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "print([r for r, in c.execute('select run_id from runs')]); c.close()"
    )
    path = str(home / "store.db")
    done = subprocess.run(
        [sys.executable, "-c", code, path], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
