"""What a person's process leaves behind when it dies, and two processes on one store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.chaos.conftest import ROOT, Arena
from tests.homes import assert_nothing_left, inhabitants, wait_until

FAMILY = """
import os, subprocess, sys, time
from mlflowkit import dag, task
from mlflowkit.app import foreground_engine, make_request
from mlflowkit.settings import home

@task
def family():
    subprocess.Popen(["setsid", "sleep", "600"])
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()
    open(os.environ["READY"], "w").write("yes")
    time.sleep(600)

@dag
def d():
    family()

with foreground_engine(home()) as engine:
    engine.submit(make_request(d(), {}, {}, home()))
    engine.serve(lambda: not engine.busy)
"""


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_runs_on_when_the_persons_process_dies(
    arena: Arena, tmp_path: Path, sig: signal.Signals
) -> None:
    (tmp_path / "family.py").write_text(FAMILY)
    ready = tmp_path / "ready"
    env = {**os.environ, "MLFLOWKIT_HOME": str(arena.home), "READY": str(ready)}
    person = subprocess.Popen(
        [sys.executable, "family.py"], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL
    )
    wait_until(ready.exists)
    assert len(inhabitants(arena.home)) >= 6
    person.send_signal(sig)
    person.wait(120)
    wait_until(lambda: not inhabitants(arena.home), 120)


def test_nothing_runs_on_when_all_of_ours_is_killed_at_one_stroke(
    arena: Arena, tmp_path: Path
) -> None:
    """Nobody is left to clean up: the next engine does."""
    (tmp_path / "family.py").write_text(FAMILY)
    ready = tmp_path / "ready"
    env = {**os.environ, "MLFLOWKIT_HOME": str(arena.home), "READY": str(ready)}
    person = subprocess.Popen([sys.executable, "family.py"], cwd=tmp_path, env=env)
    wait_until(ready.exists)
    ours = [p for p in inhabitants(arena.home) if b"sleep" not in _command(p)]
    for pid in ours:
        os.kill(pid, signal.SIGSTOP)
    for pid in ours:
        os.kill(pid, signal.SIGKILL)
    person.wait()
    assert inhabitants(arena.home), "the sleeping ones are out of everybody's sight"
    end = "from mlflowkit.app import *; from mlflowkit.settings import home\n"
    end += "with foreground_engine(home()): pass"
    subprocess.run([sys.executable, "-c", end], env=env, check=True, timeout=120)
    assert_nothing_left(arena.home)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


READER = """
import time
from mlflowkit.handles.run import RunHandle
from mlflowkit.settings import home
from mlflowkit.errors import RunNotFound
while True:
    try:
        view = RunHandle("chaos/1", home()).view()
    except RunNotFound:
        continue
    assert all(sum(t.counts.values()) for t in view.tasks if not t.mapped) or view.state == "queued"
    print(view.state, flush=True)
"""
WRITER = """
import time
from datetime import UTC, datetime
from mlflowkit.app import make_request
from mlflowkit.settings import home
from mlflowkit.store import runs
from mlflowkit.store.database import open_database
from tests.chaos.pipeline import make
request = make_request(make(), {}, {}, home())
database = open_database(home())
while True:
    with database.writing() as tx:
        tx.exec_driver_sql("UPDATE dags SET origin = origin")
    with database.reading() as tx:
        runs.unfinished(tx)
    print("wrote", flush=True)
    time.sleep(0.002)
"""


def test_an_engine_that_dies_harms_no_other_process_on_the_store(arena: Arena) -> None:
    env = {**os.environ, "MLFLOWKIT_HOME": str(arena.home)}
    others = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for code in (READER, WRITER)
    ]
    try:
        for name in ("turn.before_commit", "carry_out.before", "report.before"):
            what = (
                "resume"
                if (arena.home / "store.db").exists() and _has_run(arena)
                else "run"
            )
            died = arena.go(what, MLFLOWKIT_FAILPOINTS=f"{name}:3")
            assert died == -signal.SIGKILL, arena.said()
        assert arena.go("resume") == 0, arena.said()
        assert [other.poll() for other in others] == [None, None], _errors(others)
    finally:
        for other in others:
            other.terminate()
        told = [other.communicate()[0].split() for other in others]
    assert all(told)
    assert told[0][-1] in (b"running", b"success")
    arena.check()


def _has_run(arena: Arena) -> bool:
    import sqlite3

    with sqlite3.connect(arena.home / "store.db") as db:
        (count,) = db.execute("SELECT count(*) FROM runs").fetchone()
    return bool(count)


def _errors(others: list[subprocess.Popen[bytes]]) -> list[bytes]:
    dead = [o for o in others if o.poll() is not None]
    return [o.stderr.read() for o in dead if o.stderr is not None]
