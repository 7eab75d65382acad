"""TriggerDagRunOperator: one run for one try, however often the task is started again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.errors import (
    BadOption,
    DagIsPaused,
    DagRunAlreadyExists,
    DagToTriggerMissing,
    NotInTask,
    TaskRescheduled,
    TaskSkipped,
    TriggeredRunFailed,
)
from mlflowkit.operators.trigger_dag import TriggerDagRunOperator
from tests.operators.waiting_world import NOON, World


class Engine:
    """Keeps runs of one DAG, and answers as the engine does."""

    def __init__(self, world: World, *, known: bool = True, paused: bool = False) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.known, self.paused = known, paused
        self.dies_before_starting = self.dies_after_starting = False
        world.answers = {
            "trigger_run": self.trigger_run,
            "run_state": lambda run_id: self.runs.get(run_id, {}).get("state"),
            "run_states": self.run_states,
            "dag_facts": lambda dag_id: {"paused": self.paused} if self.known else None,
        }

    def trigger_run(
        self,
        dag_id: str,
        run_id: str | None,
        conf: object,
        logical_date: object,
        reset: bool,
    ) -> Mapping[str, str] | None:
        if not self.known:
            return None
        if self.dies_before_starting:
            self.dies_before_starting = False
            raise ConnectionResetError("the worker is gone")
        run_id = run_id or f"{dag_id}/{len(self.runs) + 1}"
        self.runs[run_id] = {
            "state": "running",
            "conf": conf,
            "logical_date": logical_date,
            "reset": reset,
        }
        if self.dies_after_starting:
            self.dies_after_starting = False
            raise ConnectionResetError("the worker is gone")
        return {"run_id": run_id}

    def run_states(
        self, dag_id: str, logical_date: str | None, run_id: str | None
    ) -> Mapping[str, object] | None:
        for name, run in self.runs.items():
            if name == run_id or (run_id is None and run["logical_date"] == logical_date):
                return {"run_id": name, "state": run["state"], "tasks": {}}
        return None


@pytest.fixture
def engine(world: World) -> Engine:
    return Engine(world)


def _task(**options: Any) -> TriggerDagRunOperator:
    return TriggerDagRunOperator("start", trigger_dag_id="child", **options)


def test_it_starts_a_run_and_gives_its_id(world: World, engine: Engine) -> None:
    assert world.run(_task(conf={"n": 1})) is None
    assert engine.runs == {
        "child/1": {
            "state": "running",
            "conf": {"n": 1},
            "logical_date": NOON.isoformat(),
            "reset": False,
        }
    }
    assert world.pushed == {"trigger_run_id": "child/1", "trigger_dag_id": "child"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, None),
        ("2026-01-01T06:00:00+02:00", "2026-01-01T06:00:00+02:00"),
        ("2026-01-01", "2026-01-01T00:00:00+00:00"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
    ],
)
def test_the_logical_date_is_as_given(
    world: World, engine: Engine, given: Any, told: str | None
) -> None:
    world.run(_task(logical_date=given, trigger_run_id="mine"))
    assert engine.runs["mine"]["logical_date"] == told


def test_it_gives_its_place_back_while_it_waits_and_starts_no_second_run(
    world: World, engine: Engine
) -> None:
    task = _task(wait_for_completion=True, poke_interval=20)
    for _ in range(3):
        with pytest.raises(TaskRescheduled) as caught:
            world.run(task)
        world.ti.poke_count += 1
        assert caught.value.when == world.clock.now() + timedelta(seconds=20)
    assert list(engine.runs) == ["child/1"]
    engine.runs["child/1"]["state"] = "success"
    world.pushed.clear()
    assert world.run(task) is None
    assert world.pushed == {"trigger_run_id": "child/1", "trigger_dag_id": "child"}
    assert (list(engine.runs), world.clock.waits) == (["child/1"], [])


def test_a_retry_starts_a_new_run(world: World, engine: Engine) -> None:
    task = _task(wait_for_completion=True)
    with pytest.raises(TaskRescheduled):
        world.run(task)
    engine.runs["child/1"]["state"] = "failed"
    with pytest.raises(TriggeredRunFailed, match="waited for run child/1, which is failed"):
        world.run(task)
    world.retry()
    with pytest.raises(TaskRescheduled):
        world.run(task)
    assert list(engine.runs) == ["child/1", "child/2"]


def test_a_late_word_of_its_start_starts_no_second_run(
    world: World, engine: Engine
) -> None:
    task = _task(wait_for_completion=True)
    with pytest.raises(TaskRescheduled):
        world.run(task)
    world.ti.first_started_at += timedelta(seconds=1)
    world.ti.poke_count += 1
    with pytest.raises(TaskRescheduled):
        world.run(task)
    assert list(engine.runs) == ["child/1"]


def test_a_task_that_is_cleared_starts_a_new_run(world: World, engine: Engine) -> None:
    world.run(_task())
    world.ti.first_started_at += timedelta(hours=1)
    world.run(_task())
    assert list(engine.runs) == ["child/1", "child/2"]


@pytest.mark.parametrize(
    "options",
    [{}, {"trigger_run_id": "mine"}, {"logical_date": "2026-01-01T00:00:00+00:00"}],
    ids=["no id", "own id", "own date"],
)
def test_an_attempt_that_died_after_it_had_asked_starts_no_second_run(
    world: World, engine: Engine, options: dict[str, Any]
) -> None:
    task, engine.dies_after_starting = _task(**options), True
    with pytest.raises(ConnectionResetError):
        world.run(task)
    world.clock.wait(5)
    world.ti.first_started_at += timedelta(seconds=1)  # the engine heard of it late
    assert world.run(task) is None
    assert len(engine.runs) == 1
    assert world.pushed["trigger_run_id"] == next(iter(engine.runs))


def test_an_attempt_that_died_before_it_was_heard_resets_the_old_run_all_the_same(
    world: World, engine: Engine
) -> None:
    engine.runs["mine"] = {"state": "success", "logical_date": None, "reset": False}
    task, engine.dies_before_starting = (
        _task(trigger_run_id="mine", reset_dag_run=True),
        True,
    )
    with pytest.raises(ConnectionResetError):
        world.run(task)
    assert world.run(task) is None
    assert [(name, run["reset"]) for name, run in engine.runs.items()] == [("mine", True)]


def test_states_that_end_the_wait_can_be_chosen(world: World, engine: Engine) -> None:
    def ends(state: str, **options: Any) -> str:
        world.retry()
        task = _task(wait_for_completion=True, **options)
        with pytest.raises(TaskRescheduled):
            world.run(task)
        engine.runs[f"child/{len(engine.runs)}"]["state"] = state
        try:
            world.run(task)
        except TriggeredRunFailed as exc:
            return f"failed as {exc.state}"
        except TaskRescheduled:
            return "waits"
        return "success"

    assert ends("success") == "success"
    assert ends("failed") == "failed as failed"
    assert ends("running") == "waits"
    assert ends("queued") == "waits"
    flipped = {"allowed_states": ["failed"], "failed_states": ["success"]}
    assert ends("success", **flipped) == "failed as success"
    assert ends("failed", **flipped) == "success"
    assert (
        ends("failed", allowed_states=["success", "failed"], failed_states=[]) == "success"
    )
    assert ends("failed", failed_states=[]) == "failed as failed"
    assert ends("running", allowed_states=["running"]) == "success"


def test_a_run_that_is_no_longer_there_is_a_failure(world: World, engine: Engine) -> None:
    task = _task(wait_for_completion=True)
    with pytest.raises(TaskRescheduled):
        world.run(task)
    engine.runs.clear()
    with pytest.raises(TriggeredRunFailed, match="which is no longer there"):
        world.run(task)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"trigger_run_id": "mine"}, "trigger_run_id='mine'"),
        (
            {"logical_date": "2026-01-01T00:00:00+00:00"},
            "logical_date='2026-01-01T00:00:00+00:00'",
        ),
    ],
)
def test_a_run_that_exists_fails_skips_or_is_run_again(
    world: World, engine: Engine, options: dict[str, Any], asked: str
) -> None:
    world.run(_task(**options))
    world.retry()
    with pytest.raises(DagRunAlreadyExists) as caught:
        world.run(_task(**options))
    assert caught.value.asked == asked
    with pytest.raises(TaskSkipped, match="skipped by skip_when_already_exists"):
        world.run(_task(**options, skip_when_already_exists=True))
    world.run(_task(trigger_run_id=caught.value.run_id, reset_dag_run=True))
    assert [run["reset"] for run in engine.runs.values()] == [True]


def test_a_dag_that_is_paused_or_unknown_is_said(world: World, engine: Engine) -> None:
    engine.paused = True
    with pytest.raises(DagIsPaused):
        world.run(_task(fail_when_dag_is_paused=True))
    assert engine.runs == {}
    world.run(_task())
    engine.known = False
    world.retry()
    for options in ({}, {"fail_when_dag_is_paused": True}, {}):
        with pytest.raises(DagToTriggerMissing, match="DAG 'child', which this home"):
            world.run(_task(**options))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"allowed_states": ["done"]}, "'done'; the states of a run are queued, running"),
        ({"logical_date": "tomorrow"}, "must be a datetime, text in ISO format or None"),
        ({"poke_interval": -1}, "must be a timedelta or seconds"),
    ],
)
def test_what_cannot_be_is_refused_when_the_dag_is_written(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadOption) as caught:
        _task(**options)
    assert told in str(caught.value)
    _task(logical_date="{{ logical_date }}")


def test_a_conf_that_is_no_json_is_refused(world: World, engine: Engine) -> None:
    with pytest.raises(BadOption, match="must be what JSON can hold"):
        world.run(_task(conf={"n": object()}))
    assert engine.runs == {}


def test_outside_a_task_it_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(NotInTask):
        _task().execute(world.context)
