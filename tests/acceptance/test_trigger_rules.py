"""Every trigger rule against every pair of ends above it: two tasks, or one mapped task."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit import DAG, EmptyOperator, RunFailed, TaskSkipped, TriggerRule, task
from mlflowkit.inline import TestRun

#: How two tasks above end: success, failure, skip.
PAIRS = ("SS", "SF", "SK", "FF", "FK", "KK")
#: What a task below comes to, pair by pair, as Airflow 3 documents its rules.
OUTCOMES = {
    "all_success": "success failed-above skipped failed-above failed-above skipped",
    "all_failed": "skipped skipped skipped success skipped skipped",
    "all_done": "success success success success success success",
    "all_skipped": "skipped skipped skipped skipped skipped success",
    "one_success": "success success success failed-above failed-above skipped",
    "one_failed": "skipped success skipped success success skipped",
    "one_done": "success success success success success skipped",
    "none_failed": "success failed-above success failed-above failed-above success",
    "none_failed_min_one_success": "success failed-above success failed-above failed-above skipped",
    "none_skipped": "success success skipped success skipped skipped",
    "all_done_min_one_success": "success success skipped failed-above skipped skipped",
    "all_done_setup_success": "success success success success success success",
    "always": "success success success success success success",
}
ENDS = {"S": "success", "F": "failed", "K": "skipped"}


@task
def end(how: str) -> None:
    if how == "F":
        raise ValueError("as planned")
    if how == "K":
        raise TaskSkipped("as planned")


def states(d: DAG, folder: Path) -> dict[str, str]:
    """The states of the run, also of a DAG that fails."""
    run = TestRun(d, d.spec(), {}, folder)
    try:
        run.go()
    except RunFailed:
        assert run.state == "failed"
    return run.states()


def expected(rule: str, names: dict[str, tuple[str, str]]) -> dict[str, str]:
    outcomes = OUTCOMES[rule].replace("failed-above", "upstream_failed").split()
    found = dict(zip([f"below_{pair}" for pair in PAIRS], outcomes, strict=True))
    for pair, tasks in names.items():
        found |= {name: ENDS[how] for name, how in zip(tasks, pair, strict=True)}
    return found


def test_there_are_thirteen_rules_and_each_is_tried_here() -> None:
    assert set(OUTCOMES) == set(TriggerRule)
    assert len(OUTCOMES) == 13


@pytest.mark.parametrize("rule", OUTCOMES)
def test_the_rule_decides_by_how_two_tasks_above_have_ended(
    rule: str, tmp_path: Path
) -> None:
    names = {pair: (f"left_{pair}", f"right_{pair}") for pair in PAIRS}
    with DAG("d") as d:
        for pair, tasks in names.items():
            above = [
                end.override(task_id=t)(how) for t, how in zip(tasks, pair, strict=True)
            ]
            above >> EmptyOperator(task_id=f"below_{pair}", trigger_rule=rule)
    assert states(d, tmp_path) == expected(rule, names)


@pytest.mark.parametrize("rule", OUTCOMES)
def test_each_instance_of_a_mapped_task_above_counts_as_a_task(
    rule: str, tmp_path: Path
) -> None:
    names = {pair: (f"above_{pair}[0]", f"above_{pair}[1]") for pair in PAIRS}
    with DAG("d") as d:
        for pair in PAIRS:
            above = end.override(task_id=f"above_{pair}").expand(how=list(pair))
            above >> EmptyOperator(task_id=f"below_{pair}", trigger_rule=rule)
    assert states(d, tmp_path) == expected(rule, names)
