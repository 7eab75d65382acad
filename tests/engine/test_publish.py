"""`d.publish()`, `d.backfill()` and `mlflowkit.schedule(...)`, with an engine in the background."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest

import mlflowkit
from mlflowkit import DAG, task
from mlflowkit.authoring import opened
from mlflowkit.engine.client import EngineClient
from mlflowkit.errors import (
    BadBackfill,
    DagNotPublished,
    EngineRefused,
    RunWhileLoading,
)
from mlflowkit.timetables import DagRunInfo, DataInterval, Timetable
from tests.engine.test_schedules import made

SPAN = ("2025-05-01", "2025-05-03")


def test_a_published_dag_says_when_it_runs_in_its_zone_and_that_nobody_plans(
    home: Path,
) -> None:
    with DAG("report", schedule="0 6 * * *", timezone="Europe/Athens") as dag:
        task(task_id="work")(str)()
    schedule = dag.publish()
    when, interval = schedule.next, schedule.interval
    assert when is not None and interval is not None
    assert (when.hour, str(when.tzinfo)) == (6, "Europe/Athens")
    assert interval == (when - timedelta(days=1), when)
    head, first, *_, last = repr(schedule).splitlines()
    assert head == "Schedule of DAG report: 0 6 * * * (Europe/Athens)"
    assert first.startswith(f"  runs at {when:%Y-%m-%d} 06:00 EE")
    assert last == "  no scheduler is alive: `mlflowkit scheduler` starts one"
    client = EngineClient(home)
    client.call("plan")
    assert "no scheduler" not in repr(schedule)
    client.close()


def test_a_schedule_is_paused_unpaused_and_deleted(home: Path) -> None:
    schedule = made().publish(paused=True)
    assert (schedule.paused, schedule.next) == (True, None)
    assert "paused: .unpause() starts it" in repr(schedule)
    schedule.unpause()
    assert schedule.next is not None
    assert made(description="newer").publish().paused is False
    assert made().publish(paused=True).paused is True
    schedule.delete()
    assert repr(schedule) == "Schedule of DAG d: deleted"
    with pytest.raises(DagNotPublished):
        _ = schedule.next


def test_a_file_that_is_only_being_loaded_publishes_nothing(home: Path) -> None:
    with opened.loading("p.py"), pytest.raises(RunWhileLoading):
        made().publish()
    assert not (home / "engine.sock").exists()


def test_a_dag_of_another_file_is_replaced_only_if_asked(home: Path) -> None:
    made().publish()
    other = made()
    other.origin = "/elsewhere.py"
    with pytest.raises(EngineRefused, match="publish\\(replace=True\\)"):
        other.publish()
    assert other.publish(replace=True).known().origin == "/elsewhere.py"


def test_a_notebook_is_scheduled_without_a_dag(home: Path, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell('region = "US"', metadata={"tags": ["parameters"]})  # type: ignore[no-untyped-call]
    notebook.cells = [cell]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "the report.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    schedule = mlflowkit.schedule(path, cron="0 6 * * *", tz="Europe/Athens", region="EU")
    assert schedule.dag_id == "the_report"
    assert schedule.next is not None and schedule.next.hour == 6
    assert schedule.known().origin == str(path)


def test_a_backfill_runs_what_is_missing_and_says_what_it_left(home: Path) -> None:
    dag = made()
    plan = dag.backfill(*SPAN, dry_run=True)
    assert [one.run_id for one in plan] == [None] * 3
    assert not (home / "engine.sock").exists()
    first = dag.backfill("2025-05-02", "2025-05-02", wait=True)
    assert first.states() == {"d/1": "success"}
    ended: list[str] = []
    again = dag.backfill(*SPAN, wait=False).wait(each=lambda one: ended.append(one.run_id))
    assert again.left == {"d/1": "success"}
    assert sorted(ended) == ["d/2", "d/3"]
    assert repr(again) == "Backfill of DAG d: 3 success"


class Hourly(Timetable):
    def next_dagrun_info(
        self, *, last_automated_data_interval: Any, restriction: Any
    ) -> Any:
        last = last_automated_data_interval
        start = last.end if last else restriction.earliest
        if restriction.latest is not None and start > restriction.latest:
            return None
        return DagRunInfo.interval(start, start + timedelta(hours=1))

    def infer_manual_data_interval(self, *, run_after: Any) -> Any:
        return DataInterval(run_after, run_after)


def test_a_persons_own_timetable_is_asked_in_their_own_process(home: Path) -> None:
    found = made(schedule=Hourly()).backfill(
        datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 5, 1, 3, tzinfo=UTC), dry_run=True
    )
    assert [one.start.hour for one in found] == [0, 1, 2, 3]


def test_a_backfill_that_cannot_be_is_refused(home: Path) -> None:
    with pytest.raises(BadBackfill, match="no interval"):
        made(schedule=None).backfill(*SPAN)
    waits = made()
    waits.get_task("work").depends_on_past = True
    with pytest.raises(BadBackfill, match="in reverse"):
        waits.backfill(*SPAN, reverse=True)
    with pytest.raises(BadBackfill, match="rerun"):
        made().backfill(*SPAN, rerun="some")
