"""`@task.sensor` and mapped sensors, in whole DAGs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit import DAG, dag, task
from mlflowkit.errors import BadOption, RunFailed, SensorTimeout, UnknownOption
from mlflowkit.operators import FileSensor, PokeReturnValue, PythonSensor


def test_a_function_waits_and_its_value_goes_on(tmp_path: Path) -> None:
    count = tmp_path / "count"

    @task.sensor(poke_interval=0, timeout=60)
    def ready(folder: str, run_id: str) -> PokeReturnValue:
        with Path(folder, "count").open("a") as file:
            file.write("x")
        looks = len(count.read_text())
        return PokeReturnValue(is_done=looks == 3, xcom_value=f"{run_id} after {looks}")

    @task
    def use(found: str) -> str:
        return f"used {found}"

    @dag
    def waits() -> None:
        use(ready(str(tmp_path)))

    run = waits().test()
    assert run.states() == {"ready": "success", "use": "success"}
    assert run.result("use") == "used waits/test after 3"


def test_a_bare_sensor_and_one_with_other_options() -> None:
    @task.sensor
    def ready() -> bool:
        return True

    with DAG("d") as d:
        ready()
        ready.override(task_id="other", mode="reschedule", poke_interval=5)()
    first, second = d.tasks
    assert isinstance(first, PythonSensor)
    assert isinstance(second, PythonSensor)
    assert (first.operator_name, first.mode, first.poke_interval) == (
        "@task.sensor",
        "poke",
        60,
    )
    assert (second.task_id, second.mode, second.poke_interval) == ("other", "reschedule", 5)


def test_wrong_options_are_refused_where_they_stand() -> None:
    with pytest.raises(UnknownOption, match="poke_intervall"):

        @task.sensor(poke_intervall=5)
        def misspelt() -> bool:
            return True

    @task.sensor(mode="sleep")
    def wrong() -> bool:
        return True

    with DAG("d"), pytest.raises(BadOption, match="must be 'poke' or 'reschedule'"):
        wrong()


def _gives_up(*, soft_fail: bool) -> DAG:
    @task.sensor(poke_interval=0, timeout=0, soft_fail=soft_fail, retries=3)
    def never() -> bool:
        return False

    @task
    def after() -> None: ...

    @task(trigger_rule="all_done")
    def always() -> None: ...

    with DAG("gives_up") as d:
        seen = never()
        seen >> after()
        seen >> always()
    return d


def test_a_sensor_that_times_out_is_skipped_or_failed_as_it_says() -> None:
    assert _gives_up(soft_fail=True).test().states() == {
        "never": "skipped",
        "after": "skipped",
        "always": "success",
    }
    with pytest.raises(RunFailed) as caught:
        _gives_up(soft_fail=False).test()
    assert isinstance(caught.value.__cause__, SensorTimeout)


def test_a_mapped_sensor_waits_for_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    with DAG("d") as d:
        FileSensor.partial(task_id="files", poke_interval=0).expand(
            filepath=[str(tmp_path / "a"), str(tmp_path / "b")]
        )
    assert d.test().states() == {"files[0]": "success", "files[1]": "success"}


def test_a_templated_field_is_rendered(tmp_path: Path) -> None:
    (tmp_path / "n=4").touch()
    with DAG("d", params={"n": 4}) as d:
        FileSensor(
            task_id="file",
            filepath=f"{tmp_path}/n={{{{ params.n }}}}",
            timeout=0,
            poke_interval=0,
        )
    assert d.test().states() == {"file": "success"}
