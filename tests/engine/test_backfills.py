"""Backfills: what is missing is run, what is there is left or run again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlflowkit.handles.run import RunHandle
from tests.engine.scheduling import Office
from tests.engine.test_schedules import Offices, made, office, offices

__all__ = ["office", "offices"]
MAY = [datetime(2025, 5, day, tzinfo=UTC) for day in range(1, 8)]


def dates(office: Office) -> list[str]:
    """The days of the runs that were begun, in the order in which that was."""
    rows = {row.run_id: row for row in office.rows("d")}
    begun = (rows[str(a.run_id)] for a in office.executor.launched)
    return [f"{row.logical_date:%d}" for row in begun]


def test_a_backfill_runs_its_span_in_order(office: Office) -> None:
    outcome = office.backfill(made(), MAY[:3], max_active=1)
    office.settle()
    assert (len(outcome.created), outcome.again, outcome.left) == (3, [], [])
    assert dates(office) == ["01", "02", "03"]
    assert {row.run_type for row in office.rows("d")} == {"backfill"}
    assert set(office.states("d").values()) == {"success"}


def test_a_backfill_in_reverse_begins_with_the_latest(office: Office) -> None:
    office.backfill(made(), MAY[:3][::-1], max_active=1)
    office.settle()
    assert dates(office) == ["03", "02", "01"]


def test_no_more_runs_than_a_backfill_allows_are_under_way(office: Office) -> None:
    office.executor.hold = True
    office.backfill(made(), MAY, max_active=3)
    for out in (3, 3, 1):
        office.until_out(out)
        office.executor.release()
    office.settle()
    assert len(office.executor.launched) == 7


def test_the_limit_of_a_dag_does_not_hold_for_its_backfills_nor_they_for_it(
    office: Office,
) -> None:
    office.executor.hold = True
    dag = made(max_active_runs=1, start_date=MAY[0])
    office.backfill(dag, MAY, max_active=3)
    office.publish(dag)
    office.until(lambda: len(office.executor.out) == 4)
    running = [r for r in office.rows("d") if r.state == "running"]
    assert sorted(r.run_type for r in running) == ["backfill"] * 3 + ["scheduled"]


def test_the_same_backfill_again_makes_nothing_twice(office: Office) -> None:
    office.backfill(made(), MAY[:3])
    office.settle()
    again = office.backfill(made(), MAY[:5])
    office.settle()
    assert [run_id for run_id, _ in again.left] == ["d/1", "d/2", "d/3"]
    assert again.created == ["d/4", "d/5"]
    assert dates(office) == ["01", "02", "03", "04", "05"]


def test_only_failed_runs_are_run_again(office: Office) -> None:
    office.executor.failing = {"d/2 work"}
    office.backfill(made(), MAY[:3])
    office.settle()
    assert list(office.states("d").values()) == ["success", "failed", "success"]
    office.executor.failing = set()
    outcome = office.backfill(made(), MAY[:3], rerun="failed")
    office.settle()
    assert outcome.again == ["d/2"]
    assert list(office.states("d").values()) == ["success"] * 3
    assert dates(office) == ["01", "02", "03", "02"]


def test_all_runs_are_run_again_as_many_at_once_as_allowed(office: Office) -> None:
    office.backfill(made(), MAY)
    office.settle()
    office.executor.hold = True
    outcome = office.backfill(made(), MAY, rerun="all", max_active=3)
    assert len(outcome.again) == 7
    for out in (3, 3, 1):
        office.until_out(out)
        office.executor.release()
    office.settle()
    assert len(office.executor.launched) == 14


def test_what_has_not_begun_can_be_taken_back_and_made_anew(office: Office) -> None:
    office.executor.hold = True
    outcome = office.backfill(made(), MAY[:4], max_active=1)
    office.until(lambda: office.executor.out)
    gone = office.engine.backfills.withdraw(outcome.backfill_id)
    assert gone == ["d/2", "d/3", "d/4"]
    assert office.states("d") == {"05-01T00:00": "running"}
    office.executor.hold = False
    office.executor.release()
    office.settle()
    again = office.backfill(made(), MAY[:4])
    office.settle()
    assert (len(again.created), again.left) == (3, [("d/1", "success")])
    assert list(office.states("d").values()) == ["success"] * 4


def test_a_backfill_whose_engine_died_goes_on_with_the_same_command(
    offices: Offices,
) -> None:
    office = offices.open(plan=False)
    office.executor.hold = True
    office.backfill(made(), MAY[:3], max_active=1)
    office.until(lambda: office.executor.out)
    office = offices.open(plan=False)
    office.rounds()
    assert list(office.states("d").values()) == ["running", "queued", "queued"]
    outcome = office.backfill(made(), MAY[:4], max_active=1)
    assert (outcome.unended, outcome.created) == (["d/1", "d/2", "d/3"], ["d/4"])
    office.settle()
    assert list(office.states("d").values()) == ["success"] * 4


def test_the_next_scheduler_goes_on_with_a_backfill_within_its_limit(
    offices: Offices,
) -> None:
    office = offices.open(plan=False)
    office.executor.hold = True
    office.backfill(made(), MAY, max_active=2)
    office.until(lambda: len(office.executor.out) == 2)
    office = offices.open(plan=False)
    office.executor.hold = True
    office.engine.schedules.plan()
    office.until(lambda: len(office.executor.out) == 2)
    office.rounds()
    assert len(office.executor.out) == 2
    office.executor.hold = False
    office.executor.release()
    office.settle()
    assert list(office.states("d").values()) == ["success"] * 7


# ── the past ──


def test_a_task_waits_for_itself_in_the_run_before(office: Office) -> None:
    office.executor.hold = True
    dag = made(start_date=datetime(2026, 3, 1, tzinfo=UTC), catchup=True)
    dag.get_task("work").depends_on_past = True
    office.publish(dag)
    office.until(lambda: office.executor.out)
    office.rounds()
    assert list(office.states("d").values()) == ["running", "running"]
    assert [a.run_id for a in office.executor.out] == ["d/1"]
    office.executor.release()
    office.until(lambda: office.executor.out)
    assert [a.run_id for a in office.executor.out] == ["d/2"]


def test_what_waits_for_a_failed_past_goes_on_when_that_was_tried_again(
    office: Office,
) -> None:
    office.executor.failing = {"d/1 work"}
    dag = made(start_date=datetime(2026, 3, 1, tzinfo=UTC), catchup=True)
    dag.get_task("work").depends_on_past = True
    office.publish(dag)
    office.until(lambda: "failed" in office.states("d").values())
    office.rounds()
    assert list(office.states("d").values()) == ["failed", "running"]
    assert len(office.executor.launched) == 1
    office.executor.failing = set()
    office.engine.retry(office.rows("d")[0].run_id)
    office.settle()
    assert list(office.states("d").values()) == ["success", "success"]


def test_what_was_cancelled_before_its_past_was_settled_goes_on_with_a_retry(
    office: Office,
) -> None:
    """The news of its past came when it had ended, and is told again."""
    office.executor.hold = True
    dag = made(start_date=datetime(2026, 3, 1, tzinfo=UTC), catchup=True)
    dag.get_task("work").depends_on_past = True
    office.publish(dag)
    office.until(lambda: office.executor.out)
    office.rounds()
    second = office.rows("d")[1].run_id
    office.engine.cancel(second)
    office.until(lambda: list(office.states("d").values()) == ["running", "failed"])
    office.executor.hold = False
    office.executor.release()
    office.settle()
    assert list(office.states("d").values()) == ["success", "failed"]
    office.engine.retry(second)
    office.settle()
    assert list(office.states("d").values()) == ["success", "success"]


def test_a_run_that_a_person_starts_has_no_past_and_is_none(office: Office) -> None:
    office.executor.failing = {"d/1 work"}
    dag = made(start_date=datetime(2026, 3, 2, tzinfo=UTC), catchup=True)
    dag.get_task("work").depends_on_past = True
    office.publish(dag)
    office.settle()
    office.executor.failing = set()
    office.trigger("d")
    office.settle()
    assert [(r.run_type, r.state) for r in office.rows("d")] == [
        ("scheduled", "failed"),
        ("manual", "success"),
    ]


def test_the_past_is_remembered_by_the_next_engine(offices: Offices) -> None:
    office = offices.open()
    office.executor.hold = True
    dag = made(start_date=datetime(2026, 3, 1, tzinfo=UTC), catchup=True)
    dag.get_task("work").depends_on_past = True
    office.publish(dag)
    office.until(lambda: office.executor.out)
    office.rounds()
    office = offices.open(plan=False)
    office.executor.hold = True
    office.engine.schedules.plan()
    office.until(lambda: office.executor.out)
    office.rounds()
    assert [a.run_id for a in office.executor.out] == ["d/1"]
    office.executor.hold = False
    office.executor.release()
    office.settle()
    assert list(office.states("d").values()) == ["success", "success"]


@pytest.mark.parametrize("name", ["5", "by_hand", "2026-03-01T00:00:00+00:00"])
def test_a_run_may_have_a_name_of_its_own(office: Office, name: str) -> None:
    office.publish(made(schedule=None))
    office.trigger("d", run_id=f"d/{name}")
    office.settle()
    assert RunHandle(f"d/{name}", office.home).state == "success"
