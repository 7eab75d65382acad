"""ExternalTaskSensor: what it asks, and what it makes of the states it is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlflowkit.errors import (
    BadOption,
    ExternalTaskFailed,
    ExternalTaskMissing,
    NoRunDate,
    SensorTimeout,
    TaskSkipped,
)
from mlflowkit.operators.sensors import ExternalTaskSensor
from tests.operators.waiting_world import NOON, World

TASKS = {"load": "success", "fit.train": "success", "fit.deep.score": "skipped"}
FACTS = {
    "paused": False,
    "tasks": list(TASKS),
    "groups": {"fit": ["fit.train", "fit.deep.score"], "fit.deep": ["fit.deep.score"]},
}


def _run(state: str, tasks: Mapping[str, str] = TASKS) -> dict[str, Any]:
    return {"run_id": "other/1", "state": state, "tasks": dict(tasks)}


def _sensor(**options: Any) -> ExternalTaskSensor:
    return ExternalTaskSensor("s", external_dag_id="other", **options)


def _looks(world: World, answer: object, **options: Any) -> bool:
    """One look, at a home whose run of that date is `answer`."""
    world.answers = {"run_states": lambda **_: answer, "dag_facts": lambda dag_id: FACTS}
    world.asked.clear()

    class Once(ExternalTaskSensor):
        def execute(self, context: Mapping[str, Any]) -> object:
            return self.poke(context)

    return bool(world.run(Once("s", external_dag_id="other", **options)))


@pytest.mark.parametrize(
    ("state", "done"),
    [("success", True), ("failed", False), ("running", False), ("queued", False)],
)
def test_a_dag_is_done_when_its_run_of_that_date_is(
    world: World, state: str, done: bool
) -> None:
    assert _looks(world, _run(state)) is done
    assert world.asked == [
        (
            "run_states",
            {"dag_id": "other", "logical_date": NOON.isoformat(), "run_id": None},
        )
    ]


def test_without_a_run_of_that_date_it_waits(world: World) -> None:
    assert not _looks(world, None)
    world.answers["run_states"] = lambda **_: None
    with pytest.raises(SensorTimeout):
        world.run(_sensor(timeout=100))


@pytest.mark.parametrize(
    ("options", "done"),
    [
        ({"external_task_id": "load"}, True),
        ({"external_task_id": "fit.deep.score"}, False),
        ({"external_task_ids": ["load", "fit.train"]}, True),
        ({"external_task_ids": ["load", "unknown"]}, False),
        ({"external_task_group_id": "fit"}, False),
        ({"external_task_group_id": "fit", "allowed_states": ["success", "skipped"]}, True),
        ({"external_task_group_id": "fit.deep", "allowed_states": ["skipped"]}, True),
        ({"external_task_group_id": "unknown"}, False),
    ],
)
def test_tasks_and_groups_are_done_when_all_of_them_are(
    world: World, options: dict[str, Any], done: bool
) -> None:
    assert _looks(world, _run("running"), **options) is done


def test_a_failure_is_waited_out_unless_it_is_a_failed_state(world: World) -> None:
    failed = _run("failed", {**TASKS, "fit.train": "failed", "load": "upstream_failed"})
    options: dict[str, Any] = {"failed_states": ["failed", "upstream_failed"]}
    assert not _looks(world, failed, external_task_id="fit.train")
    with pytest.raises(ExternalTaskFailed) as caught:
        _looks(world, failed, external_task_ids=["fit.train", "load"], **options)
    assert caught.value.found == {"fit.train": "failed", "load": "upstream_failed"}
    with pytest.raises(
        ExternalTaskFailed, match="waits for task group 'fit' of DAG 'other'"
    ):
        _looks(world, failed, external_task_group_id="fit", **options)
    with pytest.raises(ExternalTaskFailed, match="in run other/1: other is failed"):
        _looks(world, failed, failed_states=["failed"])
    with pytest.raises(TaskSkipped, match="skipped by soft_fail"):
        _looks(world, failed, failed_states=["failed"], soft_fail=True)


def test_a_skipped_state_skips_and_a_failed_one_goes_before_it(world: World) -> None:
    options: dict[str, Any] = {
        "external_task_group_id": "fit",
        "skipped_states": ["skipped"],
        "failed_states": ["failed"],
    }
    with pytest.raises(TaskSkipped, match=r"fit\.deep\.score of run other/1"):
        _looks(world, _run("running"), **options)
    both = {**TASKS, "fit.train": "failed"}
    with pytest.raises(ExternalTaskFailed):
        _looks(world, _run("running", both), **options)


def test_the_other_date_may_be_earlier_or_worked_out(world: World) -> None:
    def asked() -> list[object]:
        return [arguments["logical_date"] for _, arguments in world.asked]

    hour = timedelta(hours=1)
    _looks(world, _run("success"), execution_delta=hour)
    assert asked() == [(NOON - hour).isoformat()]
    _looks(world, _run("success"), execution_date_fn=lambda date: date - 2 * hour)
    assert asked() == [(NOON - 2 * hour).isoformat()]

    def both(date: datetime, run_id: str) -> list[datetime]:
        return [date, date + hour] if run_id == "d/1" else []

    assert _looks(world, _run("success"), execution_date_fn=both)
    assert asked() == [NOON.isoformat(), (NOON + hour).isoformat()]


def test_all_of_several_dates_must_be_done(world: World) -> None:
    answers = {NOON.isoformat(): _run("success")}
    later = NOON + timedelta(hours=1)
    sensor = _sensor(execution_date_fn=lambda date: [date, later])

    def come(**arguments: Any) -> object:
        if world.clock.elapsed() >= 120:
            answers[later.isoformat()] = _run("success")
        return answers.get(arguments["logical_date"])

    world.answers["run_states"] = come
    assert world.run(sensor) is None
    assert world.clock.waits == [60, 60]


def test_a_name_that_does_not_exist_is_an_error_if_asked_for(world: World) -> None:
    check: dict[str, Any] = {"check_existence": True}
    assert not _looks(world, None, **check)
    assert _looks(world, _run("running"), external_task_id="load", **check)
    with pytest.raises(ExternalTaskMissing, match=r"'lod' of DAG 'other', which does not"):
        _looks(world, None, external_task_id="lod", **check)
    with pytest.raises(ExternalTaskMissing, match="task group 'load' of DAG 'other'"):
        _looks(world, None, external_task_group_id="load", **check)
    world.answers = {"run_states": lambda **_: None, "dag_facts": lambda dag_id: None}
    with pytest.raises(ExternalTaskMissing, match="DAG 'other', which does not exist"):
        world.run(_sensor(**check))


def test_deferrable_is_mode_reschedule_with_its_own_interval() -> None:
    def waits(**options: Any) -> tuple[str, float]:
        sensor = _sensor(**options)
        return sensor.mode, sensor.poke_interval

    assert waits(deferrable=True, poll_interval=5) == ("reschedule", 5)
    assert waits(deferrable=True) == ("reschedule", 60)
    assert waits(poll_interval=5) == ("poke", 60)


def test_a_run_without_a_date_has_nothing_to_compare(world: World) -> None:
    del world.context["logical_date"], world.context["dag_run"]
    with pytest.raises(NoRunDate):
        _looks(world, None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"external_task_id": "a", "external_task_ids": ["b"]},
            "together with external_task_id",
        ),
        ({"external_task_id": "a", "external_task_group_id": "g"}, "together with"),
        (
            {"execution_delta": timedelta(1), "execution_date_fn": lambda date: date},
            "together with execution_delta",
        ),
        (
            {"allowed_states": ["skipped"]},
            "the states are queued, running, success, failed",
        ),
        (
            {"external_task_id": "a", "failed_states": ["bad"]},
            "has 'bad'; the states are none",
        ),
        ({"failed_states": ["success"]}, "has 'success', as allowed_states has"),
    ],
)
def test_options_that_cannot_be_are_refused_when_the_dag_is_written(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadOption) as caught:
        _sensor(**options)
    assert told in str(caught.value)
