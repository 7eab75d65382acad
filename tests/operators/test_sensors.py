"""Sensors of this machine: functions, files, commands, moments, weekdays."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from mlflowkit import DAG
from mlflowkit.errors import (
    BadOption,
    ConnectionMissing,
    InvalidConnection,
    MissingParameter,
    NoRunDate,
    TaskFailedForGood,
    UnknownParameter,
)
from mlflowkit.operators.sensors import (
    BashSensor,
    DateTimeSensor,
    DayOfWeekSensor,
    FileSensor,
    PokeReturnValue,
    PythonSensor,
    TimeDeltaSensor,
    TimeSensor,
    WeekDay,
)
from tests.operators.waiting_world import NOON, World

HOUR = timedelta(hours=1)


# ── PythonSensor ────────────────────────────────────────────────────────────


def test_a_function_is_asked_with_its_arguments_and_the_context(world: World) -> None:
    seen: list[object] = []

    def ready(a: int, *, b: str, run_id: str, templates_dict: object) -> object:
        seen.append((a, b, run_id, templates_dict))
        return "yes" if len(seen) == 2 else ""

    sensor = PythonSensor(
        "s",
        python_callable=ready,
        op_args=[1],
        op_kwargs={"b": "x"},
        templates_dict={"k": 1},
    )
    assert world.run(sensor) is None
    assert seen == [(1, "x", "d/1", {"k": 1})] * 2


def test_a_function_may_give_the_xcom(world: World) -> None:
    sensor = PythonSensor("s", python_callable=lambda: PokeReturnValue(True, [1, 2]))
    assert world.run(sensor) == [1, 2]


def test_arguments_that_do_not_fit_are_refused_when_the_dag_is_written() -> None:
    def ready(a: int) -> bool:
        return bool(a)

    with pytest.raises(MissingParameter):
        PythonSensor("s", python_callable=ready).check_arguments()
    with pytest.raises(UnknownParameter):
        PythonSensor("s", python_callable=ready, op_kwargs={"b": 1}).check_arguments()
    with pytest.raises(BadOption, match="a sensor has one XCom"):
        PythonSensor("s", python_callable=ready, multiple_outputs=True)


# ── FileSensor ──────────────────────────────────────────────────────────────


def _found(world: World, path: object, **options: Any) -> bool:
    sensor = FileSensor("s", filepath=path, **options)  # type: ignore[arg-type]
    return sensor.poke(world.context)


def test_a_file_counts_and_a_folder_counts_when_a_file_is_somewhere_in_it(
    world: World, tmp_path: Path
) -> None:
    deep = tmp_path / "in" / "deep"
    deep.mkdir(parents=True)
    assert not _found(world, tmp_path / "in")
    assert not _found(world, str(deep / "a.csv"))
    (deep / "a.csv").touch()
    assert _found(world, tmp_path / "in")
    assert _found(world, str(deep / "a.csv"))


def test_a_pattern_needs_one_match_and_recursive_for_any_depth(
    world: World, tmp_path: Path
) -> None:
    deep = tmp_path / "in" / "very" / "deep"
    deep.mkdir(parents=True)
    (deep / "a.csv").touch()
    assert _found(world, f"{deep}/*.csv")
    assert not _found(world, f"{deep}/*.txt")
    assert not _found(world, f"{tmp_path}/in/**/*.csv")
    assert _found(world, f"{tmp_path}/in/**/*.csv", recursive=True)


def test_a_relative_path_starts_at_the_connections_folder(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").touch()
    monkeypatch.setenv("MLFLOWKIT_CONN_FILES", f"fs://?path={tmp_path}")
    monkeypatch.setenv("MLFLOWKIT_CONN_NO_PATH", "fs://")
    assert _found(world, "a.csv", fs_conn_id="files")
    assert not _found(world, "b.csv", fs_conn_id="files")
    with pytest.raises(InvalidConnection, match="needs its folder as `path`"):
        _found(world, "a.csv", fs_conn_id="no_path")
    with pytest.raises(ConnectionMissing):
        _found(world, "a.csv", fs_conn_id="unknown")
    monkeypatch.chdir(tmp_path)
    assert _found(world, "a.csv")
    below_root = str(tmp_path / "a.csv").removeprefix("/")
    assert not _found(world, below_root)
    assert _found(world, below_root, fs_conn_id="fs_default")


# ── BashSensor ──────────────────────────────────────────────────────────────


def test_a_command_is_tried_until_its_status_is_0(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = tmp_path / "count"
    command = (
        f'echo x >> {count}; echo "look $(wc -l < {count})"; test $(wc -l < {count}) = 3'
    )
    assert world.run(BashSensor("s", bash_command=command)) is None
    assert capsys.readouterr().out == "look 1\nlook 2\nlook 3\n"


def test_only_the_retry_exit_code_means_not_yet(world: World) -> None:
    assert not BashSensor("s", bash_command="exit 7", retry_exit_code=7).poke({})
    with pytest.raises(TaskFailedForGood, match="ended with exit status 8"):
        BashSensor("s", bash_command="exit 8", retry_exit_code=7).poke({})
    assert not BashSensor("s", bash_command="exit 8").poke({})


def test_a_command_has_its_environment_and_an_empty_folder(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = BashSensor("s", bash_command='echo "$A"; ls -A | wc -l', env={"A": 5})
    assert sensor.poke({})
    assert capsys.readouterr().out.split() == ["5", "0"]


# ── moments ─────────────────────────────────────────────────────────────────


def _waited(world: World, sensor: Any) -> float:
    world.run_on(sensor)
    return world.clock.elapsed()


def test_a_time_delta_counts_from_the_end_of_the_data_interval(world: World) -> None:
    world.context["data_interval_end"] = NOON
    sensor = TimeDeltaSensor("s", delta=2 * HOUR, poke_interval=600)
    assert _waited(world, sensor) == 7800  # the first look that is later than 2 hours
    assert world.run(TimeDeltaSensor("s", delta=HOUR)) is None


def test_without_a_data_interval_it_counts_from_when_the_run_could_start(
    world: World,
) -> None:
    sensor = TimeDeltaSensor("s", delta=HOUR, poke_interval=600, mode="reschedule")
    assert _waited(world, sensor) == 4200
    del world.context["dag_run"], world.context["logical_date"]
    with pytest.raises(NoRunDate, match="needs the data interval of its DAG run"):
        world.run(sensor)


@pytest.mark.parametrize(
    ("target", "waited"),
    [
        (NOON + HOUR, 4200),
        ("2026-03-02T13:00:00+00:00", 4200),
        ("2026-03-02T13:00:00Z", 4200),
        ("2026-03-02 13:00", 4200),  # without a zone: UTC
        ("2026-03-02T13:00:00+01:00", 600),
        (datetime(2026, 3, 2, 13), 4200),  # noqa: DTZ001 - without a zone: UTC
        ("1970-01-01", 0),
    ],
)
def test_a_date_is_waited_for(world: World, target: Any, waited: float) -> None:
    sensor = DateTimeSensor("s", target_time=target, poke_interval=600)
    assert _waited(world, sensor) == waited


def test_a_date_that_is_none_is_refused_when_the_dag_is_written() -> None:
    with pytest.raises(BadOption, match="must be a moment like"):
        DateTimeSensor("s", target_time="tomorrow")
    DateTimeSensor("s", target_time="{{ data_interval_end }}")
    with pytest.raises(BadOption, match="must be a timedelta"):
        TimeDeltaSensor("s", delta=60)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match=r"must be a datetime\.time"):
        TimeSensor("s", target_time="13:00")  # type: ignore[arg-type]


def test_a_time_of_day_is_one_of_the_day_on_which_it_first_looked(world: World) -> None:
    assert _waited(world, TimeSensor("s", target_time=time(13), poke_interval=600)) == 4200
    assert world.run(TimeSensor("s", target_time=time(11))) is None


def test_a_time_of_day_is_in_its_own_zone_or_that_of_the_dag(world: World) -> None:
    with DAG("d", timezone="Europe/Athens"):  # 14:00 there is noon
        sensor = TimeSensor("s", target_time=time(15), poke_interval=600)
    away = cloudpickle.loads(cloudpickle.dumps(sensor))
    for one in (sensor, away):
        world.clock.moment = NOON
        assert _waited(world, one) == 4200
    world.clock.moment = NOON
    sensor = TimeSensor("s", target_time=time(13, tzinfo=UTC), poke_interval=600)
    assert _waited(world, sensor) == 4200


def test_a_sensor_of_a_late_hour_does_not_wait_for_the_next_day(world: World) -> None:
    sensor = TimeSensor(
        "s", target_time=time(23, 59), poke_interval=3600, mode="reschedule"
    )
    assert _waited(world, sensor) == 12 * 3600


@pytest.mark.parametrize(
    ("days", "waited"),
    [
        ("Monday", 0),
        ("TUESDAY", 1),
        (WeekDay.SUNDAY, 6),
        ({"Saturday", "sunday"}, 5),
        ([WeekDay.FRIDAY, WeekDay.THURSDAY], 3),
    ],
)
def test_a_day_of_the_week_is_waited_for(world: World, days: Any, waited: int) -> None:
    sensor = DayOfWeekSensor("s", week_day=days, poke_interval=86400)
    assert _waited(world, sensor) == waited * 86400


def test_a_day_of_the_week_may_be_that_of_the_logical_date(world: World) -> None:
    world.clock.moment += timedelta(days=3)
    sensor = DayOfWeekSensor("s", week_day="Monday", use_task_logical_date=True)
    assert sensor.poke(world.context)
    world.context["logical_date"] = None
    with pytest.raises(NoRunDate, match="logical date"):
        sensor.poke(world.context)
    with pytest.raises(BadOption, match="must be of MONDAY, TUESDAY"):
        DayOfWeekSensor("s", week_day="Mon")
    with pytest.raises(BadOption, match="at least one day"):
        DayOfWeekSensor("s", week_day=[])
