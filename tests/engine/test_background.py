"""The engine in the background: on demand, once, for whoever asks, and gone when idle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlflowkit import RunFailed, dag, task
from mlflowkit.app import foreground_engine, make_request
from mlflowkit.engine.client import EngineClient, ensure_engine
from mlflowkit.engine.commands import MAX_SOCKET_PATH, socket_path
from mlflowkit.errors import EngineGone, EngineRefused, RunInterrupted
from mlflowkit.handles.run import RunHandle
from tests.homes import (
    alive,
    assert_nothing_left,
    clear,
    engine_pid,
    inhabitants,
    wait_until,
)


@task
def number(n: int = 3) -> int:
    return n


@dag
def small(n: int = 3) -> None:
    number(n)


def gated(gate: Path) -> object:
    where = str(gate)

    @task
    def waits() -> str:
        import os
        import time

        open(f"{where}.started", "w").close()
        while not os.path.exists(where):
            time.sleep(0.005)
        return "through"

    @dag(dag_id="gated")
    def d() -> None:
        waits()

    return d()


def test_a_run_starts_an_engine_that_outlives_it(home: Path) -> None:
    run = small().run(n=4, wait=True)
    assert run["number"].result() == 4
    pid = engine_pid(home)
    assert alive(pid)
    assert small().run(wait=True)["number"].result() == 3
    assert engine_pid(home) == pid


ASK = """
import sys
from mlflowkit.engine.client import ensure_engine
from mlflowkit.settings import home
print("ready", flush=True)
sys.stdin.readline()
print(ensure_engine(home()).call("ping")["engine_id"])
"""


def test_five_who_ask_at_once_get_one_engine(home: Path) -> None:
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for asker in askers:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin is not None
        asker.stdin.write("go\n")
        asker.stdin.flush()
    told = [asker.communicate(timeout=120) for asker in askers]
    assert [error for _, error in told] == [""] * 5
    assert len({name for name, _ in told}) == 1
    assert told[0][0].startswith(f"{engine_pid(home)}-")


def test_an_idle_engine_ends_and_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_ENGINE_IDLE", "PT0.5S")
    small().run(wait=True)
    assert_nothing_left(home)
    assert small().run(n=5, wait=True)["number"].result() == 5


def test_a_run_that_meets_an_engine_about_to_end_is_not_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_ENGINE_IDLE", "PT0.05S")
    found = []
    for number in range(6):
        time.sleep(0.01 * number)  # sooner and later than the engine ends
        found.append(small().run(n=number, wait=True)["number"].result())
    assert found == list(range(6))


def test_an_engine_with_work_does_not_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_ENGINE_IDLE", "PT0.2S")
    gate = tmp_path / "gate"
    run = gated(gate).run(wait=False)  # type: ignore[attr-defined]
    wait_until(Path(f"{gate}.started").exists)
    time.sleep(0.6)  # three times as long as it would wait without work
    gate.touch()
    assert run.wait(120)["waits"].result() == "through"


def test_an_engine_that_is_asked_to_stop_leaves_nothing(home: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = gated(gate).run(wait=False)  # type: ignore[attr-defined]
    wait_until(Path(f"{gate}.started").exists)
    os.kill(engine_pid(home), signal.SIGTERM)
    assert_nothing_left(home)
    assert run.view().interrupted
    assert run.state == "running"


def test_waiting_has_an_end(home: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = gated(gate).run(wait=False)  # type: ignore[attr-defined]
    since = time.monotonic()
    with pytest.raises(TimeoutError, match=r"gated/1 has not ended after 0\.3 s"):
        run.wait(timeout=0.3)
    with pytest.raises(TimeoutError, match="'waits' has not ended"):
        run["waits"].result(timeout=0.3)
    assert time.monotonic() - since >= 0.6
    gate.touch()
    assert run.wait(120) is run


def test_whoever_waits_is_told_when_the_engine_is_killed(
    home: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = gated(gate).run(wait=False)  # type: ignore[attr-defined]
    wait_until(Path(f"{gate}.started").exists)
    threading.Timer(0.2, os.kill, (engine_pid(home), signal.SIGKILL)).start()
    with pytest.raises(RunInterrupted, match=r"mlflowkit runs resume gated/1"):
        run.wait(120)
    wait_until(lambda: not inhabitants(home), 120)


def test_a_run_whose_engine_died_stays_interrupted_until_it_is_resumed(
    home: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run = gated(gate).run(wait=False)  # type: ignore[attr-defined]
    wait_until(lambda: run["waits"].state == "running")
    os.kill(engine_pid(home), signal.SIGKILL)
    wait_until(lambda: not engine_pid(home))
    small().run(wait=True)  # another engine works in the home now
    assert run.view().interrupted
    with pytest.raises(RunInterrupted):
        run.wait(120)
    with pytest.raises(RunInterrupted):
        run["waits"].result(timeout=120)
    client = ensure_engine(home)
    assert client.call("resume") == ["gated/1"]
    client.close()
    assert not run.view().interrupted
    gate.touch()
    assert run.wait(120)["waits"].result() == "through"
    assert [a.outcome for a in run["waits"].attempts()] == ["lost", "succeeded"]


def test_the_engine_that_a_person_is_serves_others_too(home: Path) -> None:
    request = make_request(small(n=8), {}, {}, home)
    done = threading.Event()
    found: list[object] = []

    def other() -> None:
        found.append(small().run(n=7, wait=True)["number"].result())
        done.set()

    with foreground_engine(home) as engine:
        engine.submit(request)
        thread = threading.Thread(target=other)
        thread.start()
        engine.serve(done.is_set)
        thread.join()
    assert found == [7]
    assert_nothing_left(home)


def test_a_run_goes_on_when_the_person_who_started_it_is_gone(
    home: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "person.py"
    script.write_text(
        "import os, sys, time\n"
        "from mlflowkit import dag, task\n"
        "@task\n"
        "def waits(gate):\n"
        "    while not os.path.exists(gate): time.sleep(0.005)\n"
        "    return 'through'\n"
        "@dag\n"
        "def gone():\n"
        f"    waits({str(gate)!r})\n"
        "gone().run(wait=False)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    person = subprocess.run([sys.executable, str(script)], check=False, timeout=120)
    assert person.returncode == -signal.SIGKILL
    gate.touch()
    assert RunHandle("gone/1", home).wait(120)["waits"].result() == "through"


def test_errors_of_the_engine_reach_the_person_in_words(home: Path) -> None:
    client = ensure_engine(home)
    with pytest.raises(EngineRefused, match="no/1") as refused:
        client.call("cancel", run_id="no/1")
    assert refused.value.reason_code == "run_not_found"
    assert client.call("ping")["engine_id"].startswith(f"{engine_pid(home)}-")
    os.kill(engine_pid(home), signal.SIGKILL)
    with pytest.raises(EngineGone, match=r"engine\.log"):
        client.call("ping")
    client.close()


def test_an_engine_that_cannot_start_says_where_its_log_is(home: Path) -> None:
    (home / "store.db").write_text("this is no database, " * 100)
    with pytest.raises(EngineGone, match=r"engine\.log") as gone:
        ensure_engine(home)
    assert "ended at once with status 1" in str(gone.value)
    assert "StoreDamaged" in (home / "engine.log").read_text()


@contextmanager
def _cleared(home: Path) -> Iterator[None]:
    try:
        yield
    finally:
        clear(home)


def test_a_home_with_a_long_path_has_an_engine_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ("long" * 30) / "home"
    home.mkdir(parents=True)
    assert len(os.fsencode(home / "engine.sock")) > MAX_SOCKET_PATH
    monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
    with _cleared(home):
        assert small().run(n=6, wait=True)["number"].result() == 6
        place = socket_path(home)
        assert len(os.fsencode(place)) <= MAX_SOCKET_PATH
        assert place.stat().st_mode & 0o077 == 0
        assert place.parent.stat().st_mode & 0o077 == 0
        pid = engine_pid(home)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not inhabitants(home))
        assert not place.exists()
        place.parent.rmdir()


def test_several_who_look_for_the_socket_of_a_long_home_find_one(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    home.mkdir()
    found: list[Path] = []
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait()
        found.append(socket_path(home))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    found[0].parent.rmdir()


def test_a_task_that_failed_in_the_background_is_the_cause(home: Path) -> None:
    @task
    def divides() -> float:
        return 1 / int("0")

    @dag
    def d() -> None:
        divides()

    with pytest.raises(RunFailed, match="divides") as failed:
        d().run(wait=True)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    handle = RunHandle(failed.value.run_id, home)
    assert "1 / int" in handle["divides"].attempts()[0].error
    assert not EngineClient(home / "nowhere").connect()
