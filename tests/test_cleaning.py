# mypy: allow-untyped-calls
"""`mlflowkit.clean`: old runs lose what they hold, and nothing that is needed is lost."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlflowkit
from mlflowkit import DAG, dag, notebook, task
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.cleaning import age_of
from mlflowkit.errors import BadOption, CannotClean, RunCleaned
from mlflowkit.handles.run import RunHandle
from mlflowkit.store import cleaning
from mlflowkit.store.cleaning import MARK, cleaned_at
from tests.engine.conftest import World, home, world  # noqa: F401  # fixtures
from tests.nbrun.conftest import code, save

DAY = 24 * 3600.0


def age(world: World, run: RunHandle, days: float) -> None:  # noqa: F811
    """Let a run be that old, and every artifact as old as can be."""
    then = time.time() - days * DAY
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime(then))
    with closing(sqlite3.connect(world.home / "store.db", timeout=120)) as db:
        db.execute(
            "UPDATE runs SET ended_at = ?, created_at = ? WHERE run_id = ?",
            (stamp, stamp, run.run_id),
        )
        db.commit()
    for path in (world.home / "artifacts").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 60 * DAY,) * 2)


@pytest.fixture
def train(tmp_path: Path) -> DAG:
    """Values of its own and shared ones, state, a notebook; fails where `n` is odd."""
    nb = save(
        tmp_path / "fit.ipynb",
        code("n = 0", "parameters"),
        code("import numpy\nbig = numpy.full(20_000, n)\nprint(n)"),
    )

    @dag
    def train(n: int = 0) -> None:
        load(n) >> notebook(nb, n=n, returns=["big"]) >> perhaps(n)

    return train()


@task
def load(n: int, ti: Any = None) -> dict[str, Any]:
    place = Path(ti.state_dir)
    place.mkdir(parents=True, exist_ok=True)
    (place / "half.txt").write_text("half done")
    return {"own": np.full(30_000, n), "shared": np.zeros(30_000)}


@task(retries=0)
def perhaps(n: int, ti: Any = None) -> None:
    ti.xcom_push("before", np.full(9_000, n))
    if n % 2:
        raise ValueError("odd")


@pytest.fixture
def other() -> DAG:
    """One that fails, and is not run again."""

    @dag
    def other(n: int = 0) -> None:
        perhaps(n)

    return other()


@pytest.fixture
def light() -> DAG:
    """The same without a notebook."""

    @dag
    def train(n: int = 0) -> None:
        load(n) >> perhaps(n)

    return train()


def files_of(run: RunHandle) -> list[str]:
    return sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file())


def everything(home: Path) -> dict[str, float]:  # noqa: F811
    return {
        str(p): p.stat().st_mtime
        for p in home.rglob("*")
        if p.is_file() and "store.db" not in p.name and p.name != "clean.lock"
    }


def test_old_runs_lose_their_files_and_values_and_all_else_stays(
    world: World,  # noqa: F811
    train: DAG,
    other: DAG,
) -> None:
    runs = []
    for n, days in ((1, 50), (2, 45), (4, 40), (3, 5), (5, 4)):
        runs.append(world.run(train, n=n))
        age(world, runs[-1], days)
    failed, old, last_good, young, newest = runs
    alone = world.run(other, n=1)
    age(world, alone, 90)
    assert [r.state for r in runs] == ["failed", "success", "success", "failed", "failed"]
    artifacts = FileArtifacts(world.home / "artifacts")
    stored, before = set(artifacts), everything(world.home)
    planned = mlflowkit.clean("30d", dry_run=True)
    assert planned.runs == (failed.run_id, old.run_id) and planned.dry_run
    assert (set(artifacts), everything(world.home)) == (stored, before)

    done = mlflowkit.clean(older_than=timedelta(days=30))
    assert (done.runs, done.files, done.artifacts, done.size) == (
        planned.runs,
        planned.files,
        planned.artifacts,
        planned.size,
    )
    assert repr(done).startswith(f"removed {done.files} files and the values of 2 runs")
    for run in (failed, old):
        assert files_of(run) == [MARK]
        assert not (world.home / "state" / run.run_id).exists()
    # What they were stays.
    assert [str(t.state) for t in failed.view().tasks] == ["success", "success", "failed"]
    assert failed["perhaps"].attempts()[0].reason == "ValueError: odd"
    assert [r.run_id for r in mlflowkit.runs("train")] == [r.run_id for r in runs[::-1]]
    for ask in (
        lambda: old["load"].result(),
        lambda: old["fit"].result("big"),
        lambda: old["fit"].notebook(),
        lambda: failed.retry(),
    ):
        with pytest.raises(
            RunCleaned, match="the run (train/1|train/2) were cleaned away at"
        ):
            ask()
    assert failed["perhaps"].pushed() == {}
    # What is young, the newest, or the last that succeeded, is whole; shared bytes, too.
    for run, n in ((last_good, 4), (young, 3), (newest, 5)):
        assert run["load"].result()["own"][0] == n
        assert run["load"].result()["shared"].sum() == 0
        assert run["fit"].result("big")[-1] == n
        assert run["fit"].notebook().path.exists()
        assert "half.txt" in str(list((world.home / "state" / run.run_id).rglob("*")))
    assert young["perhaps"].pushed()["before"][0] == 3
    assert alone["perhaps"].pushed()["before"][0] == 1  # the only run of its DAG
    assert len(set(artifacts)) == len(stored) - done.artifacts == 3 * 3 + 1 + 1

    again = mlflowkit.clean("30d")
    assert (again.runs, again.files, again.artifacts) == ((), 0, 0)


@pytest.fixture
def one_old(world: World, light: DAG) -> RunHandle:  # noqa: F811
    """An old run with a newer one after it."""
    old = world.run(light, n=2)
    age(world, old, 50)
    age(world, world.run(light, n=4), 0)
    return old


@pytest.mark.parametrize("crash_at", ["empty", "_remove_files", "_remove_artifacts"])
def test_a_cleaning_that_was_cut_off_is_finished_by_the_next(
    world: World,  # noqa: F811
    one_old: RunHandle,
    monkeypatch: pytest.MonkeyPatch,
    crash_at: str,
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    target = cleaning if crash_at == "empty" else mlflowkit.cleaning._Cleaning
    with monkeypatch.context() as patched:
        patched.setattr(target, crash_at, crash)
        with pytest.raises(Crash):
            mlflowkit.clean("30d")
    value: Callable[[], Any] = lambda: one_old["load"].result()["own"][0]  # noqa: E731
    if crash_at == "empty":
        assert value() == 2  # nothing was lost before its transaction
    else:
        with pytest.raises(RunCleaned):
            value()  # and after it, it says so
    mlflowkit.clean("30d")
    assert files_of(one_old) == [MARK]
    assert len(set(FileArtifacts(world.home / "artifacts"))) == 3
    with pytest.raises(RunCleaned):
        value()


def test_nothing_that_a_run_under_way_may_need_is_removed(
    world: World,  # noqa: F811
    one_old: RunHandle,
    tmp_path: Path,
) -> None:
    artifacts = FileArtifacts(world.home / "artifacts")
    at_work = artifacts.put_bytes(b"put by a task that runs, and in no row yet")
    named = artifacts.put_bytes(b"named by a file of a task's own")
    for digest in (at_work, named):
        os.utime(artifacts.path(digest), (time.time() - 40 * DAY,) * 2)

    @task
    def waits(flag: str) -> None:
        import time
        from pathlib import Path as File

        while not File(flag).exists():
            time.sleep(0.02)

    @dag
    def long(flag: str) -> None:
        waits(flag)

    run = world.submit(long(), flag=str(tmp_path / "flag"))
    world.until(lambda: run["waits"].state == "running")
    state = world.home / "state" / run.run_id / "waits"
    state.mkdir(parents=True, exist_ok=True)
    (state / "own.json").write_text(f'{{"kept": "{named}"}}')
    age_of_run = 45  # it was made before those bytes were put
    with closing(sqlite3.connect(world.home / "store.db", timeout=120)) as db:
        db.execute(
            "UPDATE runs SET created_at = datetime('now', ?) WHERE run_id = ?",
            (f"-{age_of_run} days", run.run_id),
        )
        db.commit()
    done = mlflowkit.clean("30d")
    assert done.runs == (one_old.run_id,)
    assert artifacts.has(at_work) and artifacts.has(named)
    (tmp_path / "flag").touch()
    world.finish(run)
    assert run.state == "success"
    mlflowkit.clean("30d")
    assert (artifacts.has(at_work), artifacts.has(named)) == (False, True)


def test_what_cannot_be_told_or_meant_is_refused_and_nothing_is_removed(
    world: World,  # noqa: F811
    one_old: RunHandle,
) -> None:
    for wrong in ("30", "d", "30 days", "", "0h", timedelta(minutes=59), "-3d"):
        with pytest.raises(BadOption, match="older_than"):
            mlflowkit.clean(wrong)
    assert age_of(" 2 w ") == timedelta(days=14)
    before = everything(world.home)
    with (world.home / "clean.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CannotClean, match="another cleaning"):
            mlflowkit.clean("30d")
    with closing(sqlite3.connect(world.home / "store.db", timeout=120)) as db:
        db.execute("UPDATE xcoms SET inline = '{', artifact = NULL WHERE codec = 'tree'")
        db.commit()
    with pytest.raises(CannotClean, match="a value of a run cannot be read"):
        mlflowkit.clean("30d")
    assert everything(world.home) == before
    assert cleaned_at(one_old.path) == ""


def test_a_home_that_is_not_there_is_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "none"))
    assert mlflowkit.clean("1d").files == 0
    assert not (tmp_path / "none").exists()
