"""An engine in this process, in a home of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.app import make_engine, make_request
from mlflowkit.authoring.dag import DAG
from mlflowkit.core.spec import AttemptId, RunId
from mlflowkit.engine.process import EngineProcess
from mlflowkit.handles.run import RunHandle
from mlflowkit.ports import LaunchOrder
from tests.homes import DEADLINE_SECONDS, fresh_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MLFLOWKIT_PARALLELISM", "3")
    monkeypatch.setenv("MLFLOWKIT_KILL_GRACE", "PT0.3S")
    with fresh_home(tmp_path) as home:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        yield home


class World:
    """An engine, and a person who asks it for things."""

    def __init__(self, home: Path, engine: EngineProcess) -> None:
        self.home, self.engine = home, engine

    def submit(self, dag: DAG, /, **params: object) -> RunHandle:
        run_id = self.engine.submit(make_request(dag, params, {}, self.home))
        return RunHandle(run_id, self.home, dag)

    def until(self, what: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> None:
        """Let the engine work until `what` is true."""
        deadline = time.monotonic() + seconds
        self.engine.serve(lambda: bool(what()) or time.monotonic() > deadline)
        assert what(), f"not in {seconds} s"

    def rounds(self, count: int) -> None:
        """Let the engine go round so many times."""
        left = iter(range(count))
        self.engine.serve(lambda: next(left, None) is None)

    def finish(self, *runs: RunHandle) -> None:
        """Let the engine work until these runs have ended."""
        self.until(lambda: not self.engine.busy)
        assert all(run.view().ended for run in runs)

    def run(self, dag: DAG, /, **params: object) -> RunHandle:
        """A run from its start to its end."""
        run = self.submit(dag, **params)
        self.finish(run)
        return run


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    engine = make_engine(home)
    yield World(home, engine)
    engine.close()


class QuietExecutor:
    """`ports.Executor` that only remembers what it was told."""

    def __init__(self, free: int = 2) -> None:
        self.free = free
        self.launched: list[AttemptId] = []
        self.killed: list[AttemptId] = []

    def places(self) -> int:
        return self.free - len(self.launched)

    def launch(self, order: LaunchOrder) -> None:
        self.launched.append(order.attempt)

    def flush(self) -> None:
        pass

    def kill(self, attempt: AttemptId, why: str) -> None:
        self.killed.append(attempt)

    def close(self) -> None:
        pass


def attempt(run: RunHandle, task_id: str, number: int = 1) -> AttemptId:
    return AttemptId(RunId(run.run_id), task_id, -1, number)  # type: ignore[arg-type]
