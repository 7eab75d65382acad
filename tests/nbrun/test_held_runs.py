# mypy: allow-untyped-calls
"""Held kernels in runs: what a person and the engine do with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from mlflowkit import Connection, RunFailed, dag, home_store, notebook
from mlflowkit.app import make_engine
from mlflowkit.authoring.notebook_attempt import kept_for
from mlflowkit.core.spec import TaskId
from mlflowkit.engine.process import EngineProcess
from mlflowkit.handles.request import make_request
from mlflowkit.handles.run import RunHandle
from mlflowkit.nbrun import held
from mlflowkit.store.vault import Vault
from mlflowkit.view import RunFeed
from tests.homes import fresh_home, wait_until
from tests.nbrun.conftest import code, save
from tests.nbrun.kernels import is_gone


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_home(tmp_path) as home:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        monkeypatch.chdir(tmp_path)
        try:
            yield home
        finally:
            for one in held.held_kernels(home):
                one.release()


def executed(run: RunHandle, name: str = "fit") -> Any:
    return nbformat.read(run.path / f"{name}.ipynb", as_version=4)


def statuses(run: RunHandle, name: str = "fit") -> list[str]:
    cells = executed(run, name).cells
    return [c.metadata.mlflowkit["status"] for c in cells if c.cell_type == "code"]


ASKS = """
import mlflowkit
from mlflowkit.hooks.base import BaseHook
word = BaseHook.get_connection("db").password
mlflowkit.push("asked", True)
"""


def test_a_run_of_a_person_holds_its_kernels_and_a_retry_goes_on_in_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOWKIT_KEEP_FAILED_KERNEL")
    kept = Connection("db", "postgres", "h", "me", "opensesame", 5, "s")
    Vault(home_store.database(home), home).put_connection(kept)
    path = tmp_path / "fit.ipynb"
    cells = [code("n = 0", "parameters"), code(ASKS)]
    save(path, *cells, code("y = 1 / n"))

    @dag
    def training() -> None:
        notebook.partial(str(path), returns=["y"]).expand(n=[1, 0])

    run = training().run(wait=False)
    with pytest.raises(RunFailed):
        run.wait(timeout=120)
    (kernel,) = held.held_kernels(home)
    assert (kernel.task, kernel.run_id) == ("fit[1]", "training/1")
    assert timedelta(minutes=14) < kernel.until - kernel.since <= timedelta(minutes=15)
    opened = run["fit"][1].open(lab=False)
    assert opened.kernel == kernel
    assert opened.connection_file.stat().st_mode & 0o077 == 0
    monkeypatch.setattr("mlflowkit.view.opened.find_spec", lambda _name: None)
    feed = RunFeed(home, run.run_id)  # as a viewer, where JupyterLab is not installed
    told = feed.request("open", {"task_id": "fit", "map_index": 1})
    assert (told["url"], told["command"]) == ("", opened.command)
    assert told["path"] == str(opened.notebook)
    told = feed.request("open", {"task_id": "fit", "map_index": 0})
    assert told["path"] == str(run["fit"][0].notebook().path)
    assert (told["url"], told["command"], "not held" in told["said"]) == ("", "", True)

    save(path, *cells, code("y = [n, word[:4]]; print(word)"))
    run.retry(resume="cell").wait(timeout=120)
    assert run["fit"][1].result("y") == [0, "open"]
    assert run["fit"][1].result("asked") is True
    assert statuses(run, "fit[1]") == ["kept", "kept", "kept", "completed"]
    assert executed(run, "fit[1]").cells[3].outputs[0].text == "***\n"
    said = "it goes on from its failed cell in the kernel of attempt 1"
    assert said in run["fit"][1].log()
    wait_until(lambda: is_gone(kernel.pid))
    assert held.held_kernels(home) == []


def test_only_runs_that_a_person_started_hold_kernels_unless_the_task_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOWKIT_KEEP_FAILED_KERNEL")
    said = {
        kind: kept_for(None, {"dag_run": SimpleNamespace(run_type=kind)})
        for kind in ("manual", "scheduled", "backfill", "test")
    }
    assert said.pop("manual") == timedelta(minutes=15)
    assert set(said.values()) == {None}
    scheduled = {"dag_run": SimpleNamespace(run_type="scheduled")}
    assert kept_for(timedelta(hours=1), scheduled) == timedelta(hours=1)
    assert kept_for(timedelta(), {"dag_run": SimpleNamespace(run_type="manual")}) == (
        timedelta()
    )


class Turned:
    """An engine in this process, whose clock a test turns."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = datetime.now(UTC)
        self.engine: EngineProcess = make_engine(home, lambda: self.now)

    def until(self, what: Callable[[], object]) -> None:
        """Let it work until something is so."""

        def worked() -> object:
            self.engine.serve(_one_round())
            return what()

        wait_until(worked, step=0)


def _one_round() -> Callable[[], bool]:
    rounds = iter([False, True])
    return lambda: next(rounds)


@pytest.fixture
def turned(home: Path) -> Iterator[Turned]:
    found = Turned(home)
    yield found
    found.engine.close()


def test_retries_wait_while_a_person_has_the_kernels_open_that_failed(
    turned: Turned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "fit.ipynb", code("x = 41"), code("1 / 0"))
    monkeypatch.setenv("MLFLOWKIT_HELD_KERNELS", "4")
    ends = ("closed", "released", "now", "given_up")

    @dag
    def training() -> None:
        options: Any = {"retries": 1, "retry_delay": 86400, "keep_failed_kernel": 600}
        for end in ends:
            notebook("fit.ipynb", task_id=end, **options)

    engine, home = turned.engine, turned.home
    run_id = engine.submit(make_request(training(), {}, {}, home))
    run = RunHandle(run_id, home)

    def states() -> dict[str, tuple[str, int]]:
        found = {task.task_id: task.instances for task in run.view().tasks}
        return {name: (str(i.state), i.attempt) for name, (i,) in found.items()}

    def reasons() -> dict[str, str]:
        return {task.task_id: task.instances[0].reason for task in run.view().tasks}

    waiting = dict.fromkeys(ends, ("up_for_retry", 1))
    turned.until(lambda: states() == waiting)
    kernels = {one.task_id: one for one in held.held_kernels(home)}
    assert not any(one.opened for one in kernels.values())
    terminal = BlockingKernelClient()
    terminal.load_connection_file(str(kernels["closed"].connection_file()))
    terminal.start_channels()
    terminal.wait_for_ready(timeout=120)
    servers = {end: held.reach(kernels[end].id) for end in ends[1:]}
    for server, name in servers.values():
        server.open(name)
    turned.now += timedelta(days=1, minutes=1)
    turned.until(lambda: all("is open" in reason for reason in reasons().values()))
    for end, reason in reasons().items():
        assert reason.endswith(
            "; its failed kernel is open: it retries when that is closed "
            f"(mlflowkit notebook release {run_id} {end})"
        )
        assert reason.startswith("CellFailed")
    turned.now += timedelta(minutes=2)  # it is looked again, and said once
    for _ in range(3):
        engine.serve(_one_round())
    assert states() == waiting
    assert [reason.count("is open") for reason in reasons().values()] == [1] * 4

    terminal.stop_channels()
    assert kernels["released"].release()
    for end, what in {"now": "retry_now", "given_up": "give_up"}.items():
        engine.ask_instance(run_id, TaskId(end), -1, what)
    turned.until(lambda: run.view().ended)
    again = dict.fromkeys(ends, ("failed", 2)) | {"given_up": ("failed", 1)}
    assert states() == again
    assert not any("is open" in reason for reason in reasons().values())
    assert reasons()["given_up"].endswith("(given up)")
    for server, _ in servers.values():
        server.close()


def test_a_cancelled_run_and_one_that_begins_anew_hold_nothing(
    turned: Turned, tmp_path: Path
) -> None:
    save(tmp_path / "fit.ipynb", code("x = 41"), code("1 / 0"))

    @dag
    def training() -> None:
        notebook("fit.ipynb", retries=1, retry_delay=86400, keep_failed_kernel=240)

    engine = turned.engine
    run_id = engine.submit(make_request(training(), {}, {}, turned.home))
    run = RunHandle(run_id, turned.home)

    def waits() -> bool:
        return str(run.view().task("fit").state) == "up_for_retry"

    turned.until(waits)
    (first,) = held.held_kernels(turned.home)
    engine.cancel(run_id)
    turned.until(lambda: run.view().ended and is_gone(first.pid))
    engine.retry(run_id)
    turned.until(waits)
    (second,) = held.held_kernels(turned.home)
    engine.ask_instance(run_id, TaskId("fit"), -1, "give_up")
    turned.until(lambda: run.view().ended)
    assert not is_gone(second.pid)
    engine.retry(run_id)
    wait_until(lambda: is_gone(second.pid))
