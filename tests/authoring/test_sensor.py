"""BaseSensorOperator: how long it waits, how it gives up, what an error in a look means."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.authoring import waiting
from mlflowkit.authoring.sensor import BaseSensorOperator, PokeReturnValue
from mlflowkit.errors import (
    BadOption,
    SensorTimeout,
    TaskFailedForGood,
    TaskRescheduled,
    TaskSkipped,
)
from tests.operators.waiting_world import NOON, World


class Looks(BaseSensorOperator):
    """Gives or raises one thing after the other; the last one for ever."""

    def __init__(self, task_id: str, *, sees: list[object], **options: Any) -> None:
        super().__init__(task_id, **options)
        self._sees, self.looked = sees, 0

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        found = self._sees[min(self.looked, len(self._sees) - 1)]
        self.looked += 1
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[return-value]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def outcome(act: Callable[[], object]) -> str:
    """How an attempt ended, in a word that a state map would have."""
    try:
        act()
    except TaskSkipped:
        return "skipped"
    except TaskRescheduled:
        return "up_for_reschedule"
    except (SensorTimeout, TaskFailedForGood) as exc:
        return f"failed without retry: {type(exc).__name__}"
    except Exception as exc:
        return f"failed: {type(exc).__name__}"
    return "success"


def test_it_looks_again_after_each_interval_until_it_is_there(world: World) -> None:
    sensor = Looks("s", sees=[False, False, False, True], poke_interval=30)
    assert world.run(sensor) is None
    assert (sensor.looked, world.clock.waits) == (4, [30, 30, 30])


def test_a_poke_return_value_is_the_xcom(world: World) -> None:
    sees: list[object] = [PokeReturnValue(False, "early"), PokeReturnValue(True, {"n": 3})]
    assert world.run(Looks("s", sees=sees)) == {"n": 3}
    assert world.run(Looks("s", sees=[PokeReturnValue(True)])) is None


def test_defaults_are_those_of_airflow() -> None:
    sensor = Looks("s", sees=[True])
    assert (sensor.poke_interval, sensor.timeout, sensor.mode) == (60, 7 * 86400, "poke")
    assert (sensor.soft_fail, sensor.exponential_backoff) == (False, False)
    assert (sensor.max_wait, sensor.silent_fail, sensor.never_fail) == (None, False, False)


def test_the_timeout_counts_the_waits_and_is_not_retried(world: World) -> None:
    sensor = Looks("s", sees=[False], poke_interval=30, timeout=60)
    with pytest.raises(SensorTimeout) as caught:
        world.run(sensor)
    assert (caught.value.waited, caught.value.timeout) == (90, 60)
    assert caught.value.retryable is False
    assert sensor.looked == 4  # at 0, 30, 60 and 90 s: not before it is longer than 60
    assert "has waited 90.0 s, longer than its timeout of 60 s" in str(caught.value)


def test_something_that_comes_at_the_last_look_is_a_success(world: World) -> None:
    sensor = Looks("s", sees=[False, False, True], poke_interval=100, timeout=60)
    assert outcome(lambda: world.run(sensor)) == "failed without retry: SensorTimeout"
    sensor = Looks("s", sees=[False, True], poke_interval=100, timeout=60)
    assert outcome(lambda: world.run(sensor)) == "success"


def test_reschedule_gives_its_place_back_and_names_its_next_time(world: World) -> None:
    sensor = Looks("s", sees=[False], poke_interval=timedelta(minutes=5), mode="reschedule")
    with pytest.raises(TaskRescheduled) as caught:
        world.run(sensor)
    assert caught.value.when == NOON + timedelta(minutes=5)
    assert (sensor.looked, world.clock.waits) == (1, [])


def test_rescheduled_attempts_share_one_timeout_over_retries(world: World) -> None:
    sees = [False, False, ConnectionError("cut off"), False]
    sensor = Looks("s", sees=sees, poke_interval=30, timeout=100, mode="reschedule")
    with pytest.raises(ConnectionError):
        world.run_on(sensor)
    assert world.clock.elapsed() == 60
    world.retry()
    with pytest.raises(SensorTimeout) as caught:
        world.run_on(sensor)
    assert caught.value.waited == 120


def test_in_poke_mode_a_retry_starts_the_timeout_anew(world: World) -> None:
    sees = [False, ConnectionError("cut off"), False]
    sensor = Looks("s", sees=sees, poke_interval=30, timeout=60)
    with pytest.raises(ConnectionError):
        world.run(sensor)
    world.clock.moment += timedelta(hours=1)
    with pytest.raises(SensorTimeout) as caught:
        world.run(sensor)
    assert caught.value.waited == 90


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize(
    ("options", "never_there", "for_good", "error"),
    [
        (
            {},
            "failed without retry: SensorTimeout",
            "failed without retry: TaskFailedForGood",
            "failed: ValueError",
        ),
        ({"soft_fail": True}, "skipped", "skipped", "failed: ValueError"),
        (
            {"never_fail": True},
            "failed without retry: SensorTimeout",
            "skipped",
            "skipped",
        ),
        (
            {"silent_fail": True},
            "failed without retry: SensorTimeout",
            "failed without retry: TaskFailedForGood",
            "success",
        ),
        ({"soft_fail": True, "silent_fail": True}, "skipped", "skipped", "success"),
    ],
)
def test_what_each_option_makes_of_a_failure(
    world: World,
    mode: str,
    options: dict[str, Any],
    never_there: str,
    for_good: str,
    error: str,
) -> None:
    def ends(*sees: object) -> str:
        sensor = Looks("s", sees=list(sees), timeout=200, mode=mode, **options)
        world.clock.moment, world.ti.poke_count = NOON, 0
        return outcome(lambda: world.run_on(sensor))

    assert ends(False) == never_there
    assert ends(TaskFailedForGood("no")) == for_good
    assert ends(ValueError("odd"), True) == error
    assert ends(TaskSkipped("not today")) == "skipped"
    assert ends(False, True) == "success"


def test_backoff_doubles_with_a_jitter_of_its_own_for_each_task_instance(
    world: World, tmp_path: Path
) -> None:
    def waits(of: World, task_id: str = "s", **options: Any) -> list[float]:
        sensor = Looks(
            task_id, sees=[False] * 6 + [True], exponential_backoff=True, **options
        )
        of.run_on(sensor)
        return of.clock.waits

    first = waits(world)
    assert first == waits(World(tmp_path))
    assert first == waits(World(tmp_path), mode="reschedule")
    assert first != waits(World(tmp_path, run_id="d/2"))
    assert first != waits(World(tmp_path, map_index=1))
    assert first != waits(World(tmp_path), "other")
    for number, wait in enumerate(first):
        assert 30 * 2**number <= wait < 60 * 2**number
    assert max(waits(World(tmp_path), max_wait=100)) == 100
    assert max(waits(World(tmp_path), max_wait=timedelta(seconds=90))) == 90


def test_backoff_never_waits_beyond_the_timeout(world: World) -> None:
    sensor = Looks("s", sees=[False], exponential_backoff=True, timeout=500)
    with pytest.raises(SensorTimeout) as caught:
        world.run(sensor)
    assert 500 < caught.value.waited <= 502


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "sleep"}, "must be 'poke' or 'reschedule', not 'sleep'"),
        ({"poke_interval": -1}, "must be a timedelta or seconds, not -1"),
        ({"poke_interval": None}, "must be a timedelta or seconds, not None"),
        ({"timeout": "1h"}, "must be a timedelta or seconds, not '1h'"),
        ({"timeout": float("inf")}, "must be a timedelta or seconds, not inf"),
        ({"max_wait": True}, "must be a timedelta or seconds, not True"),
        ({"soft_fail": True, "never_fail": True}, "cannot be used together with soft_fail"),
    ],
)
def test_a_value_that_cannot_be_is_refused_when_the_dag_is_written(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadOption, match="of sensor 's'") as caught:
        Looks("s", sees=[True], **options)
    assert told in str(caught.value)


def test_deferrable_is_a_place_that_nobody_holds() -> None:
    assert Looks("s", sees=[True], deferrable=True).mode == "reschedule"


def test_how_it_waits_is_not_what_it_waits_for() -> None:
    sensor = Looks("s", sees=[True], poke_interval=5, mode="reschedule")
    assert set(sensor.arguments()) == {"looked"}


def test_a_wait_on_the_real_clock_is_as_long_as_asked_and_can_be_interrupted() -> None:
    started = time.monotonic()
    waiting.wait(0.05)
    assert time.monotonic() - started >= 0.05

    def interrupt() -> None:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        waiting.wait(300)
    helper.join()
    assert time.monotonic() - started < 120


def test_a_persons_own_sensor_may_raise_the_timeout_with_its_own_words() -> None:
    raised = SensorTimeout("nothing came until noon")
    assert (str(raised), raised.task_id, raised.waited) == (
        "nothing came until noon",
        "",
        None,
    )
    travelled = pickle.loads(pickle.dumps(SensorTimeout("s", 90.0, 60.0)))
    assert str(travelled) == str(SensorTimeout("s", 90.0, 60.0))
