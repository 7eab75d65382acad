"""One engine and real workers: retries, XComs, people who cancel and try again, timeouts."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mlflowkit import RunFailed, TaskSkipped, dag, get_current_context, task
from mlflowkit.app import make_engine
from mlflowkit.core.states import TaskState
from mlflowkit.engine.commands import CommandServer, socket_path
from mlflowkit.engine_commands import Commands
from mlflowkit.errors import (
    HomeBusy,
    RunNotFound,
    RunStillRunning,
    StoreDamaged,
    TaskNotInRun,
)
from tests.engine.conftest import World
from tests.homes import alive


def test_a_home_has_one_engine(world: World, home: Path) -> None:
    with pytest.raises(HomeBusy) as refused:
        make_engine(home)
    assert str(home) in str(refused.value)
    assert refused.value.pid > 0


# ── retries ─────────────────────────────────────────────────────────────────


def test_a_failed_task_is_tried_again_after_its_delay_with_backoff(world: World) -> None:
    @task(retries=3, retry_delay=0.1, retry_exponential_backoff=True)
    def third_time() -> int:
        number = get_current_context()["try_number"]
        if number < 3:
            raise ValueError(f"try {number}")
        return int(number)

    @dag
    def d() -> None:
        third_time()

    run = world.run(d())
    assert run.state == "success"
    assert run["third_time"].result() == 3
    tries = run["third_time"].attempts()
    assert [(a.number, a.outcome) for a in tries] == [
        (1, "failed"),
        (2, "failed"),
        (3, "succeeded"),
    ]
    assert [a.reason for a in tries] == ["ValueError: try 1", "ValueError: try 2", ""]
    waits = [_gap(tries[0], tries[1]), _gap(tries[1], tries[2])]
    assert (waits[0] >= 0.1, waits[1] >= 0.2) == (True, True)


def _gap(before: object, after: object) -> float:
    gap: timedelta = after.started_at - before.ended_at  # type: ignore[attr-defined]
    return gap.total_seconds()


def test_a_run_fails_when_its_tries_are_spent(world: World) -> None:
    class Mine(ValueError):
        pass

    @task(retries=1, retry_delay=0.01)
    def never() -> None:
        raise Mine("no luck")

    @task
    def after(_n: object) -> None:
        pass

    @dag
    def d() -> None:
        after(never())

    run = world.run(d())
    assert run.view().as_states() == {"never": "failed", "after": "upstream_failed"}
    with pytest.raises(RunFailed, match="never") as failed:
        run.wait()
    assert "no luck" in str(failed.value.__cause__)


def test_the_tasks_own_exception_is_the_cause(world: World) -> None:
    @task
    def opens() -> None:
        with open("/no/such/file"):
            pass

    @dag
    def d() -> None:
        opens()

    run = world.run(d())
    with pytest.raises(RunFailed) as failed:
        run.wait()
    assert isinstance(failed.value.__cause__, FileNotFoundError)
    assert failed.value.__cause__.filename == "/no/such/file"


# ── XComs ───────────────────────────────────────────────────────────────────


def test_an_xcom_of_a_failed_try_is_never_seen(world: World, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    @task(retries=1, retry_delay=0.01)
    def gives() -> str:
        context = get_current_context()
        context["ti"].xcom_push("half", context["try_number"])
        if context["try_number"] == 1:
            raise ValueError
        import os
        import time

        while not os.path.exists(gate):
            time.sleep(0.005)
        return "whole"

    @task
    def looks() -> list[object]:
        ti = get_current_context()["ti"]
        return [ti.xcom_pull("gives"), ti.xcom_pull("gives", key="half")]

    @dag
    def d() -> None:
        gives() >> looks()

    dag_ = d()
    run = world.submit(dag_)
    world.until(lambda: run["gives"].attempts())
    world.until(lambda: run["gives"].state == "running")
    database = world.engine.database
    with database.reading() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM xcoms").scalar() == 0
    Path(gate).touch()
    world.finish(run)
    assert run["looks"].result() == ["whole", 2]


def test_what_a_task_may_pull(world: World) -> None:
    @task
    def gives() -> int:
        get_current_context()["ti"].xcom_push("other", "x")
        return 1

    @task
    def skips() -> None:
        raise TaskSkipped("nothing to do")

    @task
    def nothing() -> None:
        pass

    @task
    def pulls() -> dict[str, object]:
        ti = get_current_context()["ti"]
        found: dict[str, object] = {
            "value": ti.xcom_pull("gives"),
            "other": ti.xcom_pull("gives", key="other"),
            "several": ti.xcom_pull(["gives", "nothing"]),
            "nothing": ti.xcom_pull("nothing"),
            "default": ti.xcom_pull("nothing", default=5),
            "later": ti.xcom_pull("later"),
        }
        asks: dict[str, Callable[[], object]] = {
            "task": lambda: ti.xcom_pull("give"),
            "key": lambda: ti.xcom_pull("gives", key="othr"),
        }
        for name, ask in asks.items():
            try:
                ask()
            except Exception as exc:
                found[name] = f"{type(exc).__name__}: {exc}"
        return found

    @task
    def looks_at_skipped() -> list[object]:
        ti = get_current_context()["ti"]
        return [ti.xcom_pull("skips"), ti.xcom_pull("skips", key="any")]

    @task
    def later() -> int:
        return 9

    @dag
    def d() -> None:
        p = pulls()
        [gives(), nothing()] >> p
        p >> later()
        skips()
        p >> looks_at_skipped()

    run = world.run(d())
    found = run["pulls"].result()
    unknown_task, unknown_key = found.pop("task"), found.pop("key")
    assert found == {
        "value": 1,
        "other": "x",
        "several": [1, None],
        "nothing": None,
        "default": 5,
        "later": None,
    }
    assert unknown_task.startswith(
        "UnknownXComTask: task 'pulls' asks for an XCom of 'give'"
    )
    assert unknown_key.startswith("UnknownXCom: task 'pulls' asks for the XCom 'othr'")
    assert "other" in unknown_key
    assert run["looks_at_skipped"].result() == [None, None]


def test_a_retry_keeps_earlier_xcoms_and_clears_those_of_what_runs_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mood = tmp_path / "mood"
    mood.write_text("bad")
    path, count = str(mood), str(tmp_path / "count")

    @task
    def first() -> int:
        with open(count, "a") as out:
            out.write("x")
        return 1

    @task(multiple_outputs=True)
    def second(n: int) -> dict[str, object]:
        with open(path) as text:
            found = text.read()
        if found == "bad":
            raise ValueError(found)
        return {"n": n, "mood": found} if found == "good" else {"n": n}

    @dag
    def d() -> None:
        second(first())

    run = world.run(d())
    assert run.state == "failed"
    mood.write_text("good")
    world.engine.retry(run.run_id)  # type: ignore[arg-type]
    world.finish(run)
    assert run["second"].result("mood") == "good"
    assert Path(count).read_text() == "x"
    mood.write_text("better")
    world.engine.retry(run.run_id, ("second",))  # type: ignore[arg-type]
    world.finish(run)
    with world.engine.database.reading() as tx:
        keys = tx.exec_driver_sql("SELECT key FROM xcoms WHERE task_id = 'second'").all()
    assert sorted(k for (k,) in keys) == ["n", "return_value"]
    assert [a.number for a in run["second"].attempts()] == [1, 2, 3]


# ── people ──────────────────────────────────────────────────────────────────


def one_task() -> object:
    @task
    def only() -> int:
        return 1

    @dag
    def d() -> None:
        only()

    return d()


def test_retrying_what_cannot_be_retried_is_refused_and_harms_nobody(world: World) -> None:
    run = world.run(one_task())  # type: ignore[arg-type]
    retry = world.engine.retry
    with pytest.raises(RunNotFound):
        retry("d/9")  # type: ignore[arg-type]
    with pytest.raises(TaskNotInRun):
        retry(run.run_id, ("onyl",))  # type: ignore[arg-type]
    retry(run.run_id, ("only",))  # type: ignore[arg-type]
    with pytest.raises(RunStillRunning):
        retry(run.run_id, ("only",))  # type: ignore[arg-type]
    world.finish(run)
    assert [a.number for a in run["only"].attempts()] == [1, 2]


def test_cancelling_what_has_ended_changes_nothing(world: World) -> None:
    run = world.run(one_task())  # type: ignore[arg-type]
    world.engine.cancel(run.run_id)  # type: ignore[arg-type]
    again = world.run(one_task())  # type: ignore[arg-type]
    assert (run.state, again.state) == ("success", "success")
    assert world.engine._owned == {}


def test_a_command_that_makes_no_sense_is_refused_and_harms_nobody(
    world: World, home: Path
) -> None:
    engine = world.engine
    server = CommandServer(engine.loop, home, Commands(engine).handle)
    lines = [
        b"no json",
        b"[1]",
        b"{}",
        b'{"do": "fly"}',
        b'{"do": "cancel"}',
        b'{"do": "cancel", "run_id": "x/1"}',
        b'{"do": "watch"}',
        b'{"do": "submit", "request": {"dag_id": 7}}',
        b'{"do": "retry", "run_id": "x/1", "task_ids": [], "code": {}}',
    ]
    with socket.socket(socket.AF_UNIX) as person:
        person.connect(str(socket_path(home)))
        person.sendall(b"\n".join([*lines, b'{"do": "ping"}', b""]))
        got = bytearray()
        person.setblocking(False)

        def read() -> bool:
            try:
                got.extend(person.recv(65536))
            except BlockingIOError:
                pass
            return got.count(b"\n") > len(lines)

        world.until(read)
    server.close()
    *refused, pong = (json.loads(line) for line in got.splitlines())
    assert all(set(answer) == {"error", "code"} for answer in refused)
    assert pong == {"ok": {"engine_id": engine.engine_id, "planning": False}}


def test_a_mapped_run_is_cancelled_in_the_middle(world: World, tmp_path: Path) -> None:
    lines = str(tmp_path / "lines")

    @task
    def slow(n: int) -> int:
        import time

        with open(lines, "a") as out:
            out.write("x")
        time.sleep(0.01 if n < 10 else 600)
        return n

    @task
    def after(ns: list[int]) -> int:
        return sum(ns)

    @dag
    def d() -> None:
        after(slow.expand(n=list(range(200))))

    run = world.submit(d())
    world.until(lambda: run.view().task("slow").counts.get(TaskState.SUCCESS, 0) >= 10)
    world.until(lambda: Path(lines).stat().st_size >= 13)
    world.engine.cancel(run.run_id)  # type: ignore[arg-type]
    world.finish(run)
    view = run.view()
    assert (view.state, view.reason) == ("failed", "cancelled")
    counts = {str(k): v for k, v in view.task("slow").counts.items()}
    assert (counts["success"], sum(counts.values())) == (10, 200)
    assert counts["skipped"] >= 200 - 10 - 3 - 64  # what had a place is failed, not skipped
    assert view.as_states()["after"] == "skipped"
    assert Path(lines).stat().st_size == 13


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_every_process_below_a_task_that_is_stopped_dies(
    world: World, tmp_path: Path, how: str
) -> None:
    pids = str(tmp_path / "pids")

    @task(execution_timeout=0.7 if how == "timeout" else 600)
    def family() -> None:
        import os
        import subprocess
        import time

        child = subprocess.Popen(["setsid", "sh", "-c", "trap '' INT TERM; sleep 600"])
        with open(pids, "w") as out:
            out.write(f"{os.getpid()} {child.pid}\n")
        time.sleep(600)

    @dag
    def d() -> None:
        family()

    run = world.submit(d())
    world.until(lambda: Path(pids).exists() and Path(pids).read_text())
    if how == "cancel":
        world.engine.cancel(run.run_id)  # type: ignore[arg-type]
    world.finish(run)
    (instance,) = run.view().task("family").instances
    why = "cancelled" if how == "cancel" else "timed out after 0:00:00.700000"
    assert (str(instance.state), instance.reason) == ("failed", why)
    assert [alive(int(p)) for p in Path(pids).read_text().split()] == [False, False]


def test_a_timeout_is_a_failure_that_is_tried_again(world: World) -> None:
    @task(execution_timeout=0.3, retries=1, retry_delay=0.01)
    def hangs_once() -> int:
        import time

        number = get_current_context()["try_number"]
        if number == 1:
            time.sleep(600)
        return int(number)

    @dag
    def d() -> None:
        hangs_once()

    run = world.run(d())
    assert run["hangs_once"].result() == 2
    assert run["hangs_once"].attempts()[0].reason == "timed out after 0:00:00.300000"


def test_a_notebook_that_runs_out_of_time_takes_its_kernel_along(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflowkit import notebook

    pid = tmp_path / "pid"
    source = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\n"
    (tmp_path / "sleeps.ipynb").write_text(_notebook(source, "time.sleep(600)"))
    monkeypatch.chdir(tmp_path)

    @dag
    def d() -> None:
        notebook(str(tmp_path / "sleeps.ipynb"))

    run = world.submit(d())
    world.until(lambda: pid.exists() and pid.read_text(), 120)
    assert alive(int(pid.read_text()))
    world.engine.cancel(run.run_id)  # type: ignore[arg-type]
    world.finish(run)
    assert (run.state, run.view().reason) == ("failed", "cancelled")
    assert not alive(int(pid.read_text()))


def _notebook(*sources: str) -> str:
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "source": s,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for s in sources
    ]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return json.dumps(
        {"cells": cells, "metadata": spec, "nbformat": 4, "nbformat_minor": 4}
    )


def test_a_home_that_could_not_be_opened_can_be_opened_once_it_is_mended(
    home: Path,
) -> None:
    (home / "store.db").write_text("this is no database, " * 100)
    with pytest.raises(StoreDamaged):
        make_engine(home)
    (home / "store.db").unlink()
    make_engine(home).close()
    assert sorted((home / "engines").iterdir()) == []


def test_a_service_whose_log_cannot_be_made_is_an_error_in_its_task(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    log = tmp_path / "file" / "log"

    @task
    def starts() -> None:
        from mlflowkit.ports import current_services

        services = current_services()
        assert services is not None
        services.start("x", ["sleep", "1"], env={}, log=log)

    @dag
    def d() -> None:
        starts()

    run = world.run(d())
    assert run.state == "failed"
    assert "the service 'x' could not be started" in run["starts"].attempts()[0].reason


def test_several_runs_share_the_places(world: World, tmp_path: Path) -> None:
    order = str(tmp_path / "order")

    @task
    def step(who: str, n: int) -> None:
        """Waits for the other runs' steps: one run that took all places would wait in vain."""
        import time

        with open(order, "a") as out:
            out.write(who)
        until = time.monotonic() + 120
        while min(Path(order).read_text().count(each) for each in "abc") < n - 3:
            assert time.monotonic() < until, "the others get no place"
            time.sleep(0.01)

    def many(who: str) -> object:
        @dag(dag_id=who)
        def d() -> None:
            step.partial(who=who).expand(n=list(range(12)))

        return d()

    runs = [world.submit(many(who)) for who in "abc"]  # type: ignore[arg-type]
    world.finish(*runs)
    assert [run.state for run in runs] == ["success"] * 3
    assert sorted(Path(order).read_text()) == sorted("abc" * 12)
