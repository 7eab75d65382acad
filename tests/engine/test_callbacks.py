"""Callbacks of tasks and runs, in real workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, TaskSkipped, task
from mlflowkit.engine.carrying_out import CarryingOut
from tests.engine.conftest import World


class Note:
    """A callback that writes down what it was called for."""

    def __init__(self, file: Path, kind: str) -> None:
        self.file, self.kind = str(file), kind

    def __call__(self, context: Any) -> None:
        ti = context.get("ti")
        error = context.get("exception")
        about = ti.task_id if ti is not None and self.kind[0] != "R" else "run"
        with open(self.file, "a") as out:
            out.write(f"{self.kind} {about} {error or ''}".strip() + "\n")


def noted(file: Path) -> list[str]:
    return sorted(file.read_text().splitlines()) if file.exists() else []


def options(file: Path) -> dict[str, Any]:
    kinds = ("execute", "success", "failure", "retry", "skipped")
    return {f"on_{kind}_callback": Note(file, kind) for kind in kinds}


def made(file: Path, function: Callable[..., Any], **more: Any) -> DAG:
    runs: dict[str, Any] = {
        f"on_{k}_callback": Note(file, f"Run-{k}") for k in ("success", "failure")
    }
    with DAG("d", **runs) as dag:
        task(task_id="work", **options(file), **more)(function)()
    return dag


def fine() -> int:
    return 1


def skips() -> None:
    raise TaskSkipped("not today")


def fails() -> None:
    raise ValueError("broken")


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("function", "more", "expected"),
    [
        (fine, {}, ["Run-success run", "execute work", "success work"]),
        (skips, {}, ["Run-success run", "execute work", "skipped work not today"]),
        (fails, {}, ["Run-failure run", "execute work", "failure work broken"]),
        (
            fails,
            {"retries": 1, "retry_delay": 0},
            [
                "Run-failure run",
                "execute work",
                "execute work",
                "failure work broken",
                "retry work broken",
            ],
        ),
    ],
)
def test_each_end_calls_its_callbacks(
    world: World,
    tmp_path: Path,
    function: Callable[..., Any],
    more: dict[str, Any],
    expected: list[str],
) -> None:
    file = tmp_path / "notes"
    world.run(made(file, function, **more))
    world.until(lambda: not world.engine.busy)
    assert noted(file) == expected


def test_a_task_whose_process_was_killed_calls_its_failure_callback(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "notes"
    world.run(made(file, is_killed))
    world.until(lambda: not world.engine.busy)
    found = noted(file)
    assert [line.split()[:2] for line in found] == [
        ["Run-failure", "run"],
        ["execute", "work"],
        ["failure", "work"],
    ]
    assert "SIGKILL" in found[-1]


def broken_callback(context: Any) -> None:
    raise RuntimeError("nobody answers")


def test_a_callback_that_fails_changes_nothing_and_is_in_its_log(
    world: World, tmp_path: Path
) -> None:
    with DAG("d") as dag:
        task(task_id="work", on_success_callback=broken_callback)(fine)()
    run = world.run(dag)
    world.until(lambda: not world.engine.busy)
    assert run.state == "success"
    logs = "".join(p.read_text() for p in sorted(run.path.glob("logs/*callback*.log")))
    assert "nobody answers" in logs


def test_a_callback_that_an_engine_did_not_come_to_is_called_by_the_next_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflowkit.app import make_engine

    file = tmp_path / "notes"
    engine = make_engine(home)
    world = World(home, engine)
    monkeypatch.setattr(CarryingOut, "_call_back", lambda *_: None)  # as if it died before
    run = world.submit(made(file, fine))
    world.until(lambda: run.view().ended)
    engine.close()
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
    engine = make_engine(home)
    try:
        engine.carrying_out.take_up_calls()
        World(home, engine).until(lambda: not engine.busy)
    finally:
        engine.close()
    assert [x for x in noted(file) if "execute" not in x] == [
        "Run-success run",
        "success work",
    ]


def test_a_slow_callback_does_not_hold_up_the_run(world: World, tmp_path: Path) -> None:
    file = tmp_path / "go"

    def waits(context: Any) -> None:
        while not file.exists():
            time.sleep(0.01)

    with DAG("d") as dag:
        task(task_id="work", on_success_callback=waits)(fine)()
    run = world.submit(dag)
    world.until(lambda: run.view().ended)
    assert world.engine.busy
    file.touch()
    world.until(lambda: not world.engine.busy)
