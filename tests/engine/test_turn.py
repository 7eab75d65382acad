"""A turn is one transaction, its decisions outlive the engine, and one engine writes."""

from __future__ import annotations

import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from mlflowkit import DAG, dag, task
from mlflowkit.app import item_of, make_request
from mlflowkit.core.events import AttemptFailed, AttemptStarted, AttemptSucceeded
from mlflowkit.core.spec import AttemptId
from mlflowkit.engine import process
from mlflowkit.engine.process import EngineProcess
from mlflowkit.errors import HomeUnwritable, LeaseLost
from mlflowkit.handles.run import RunHandle
from mlflowkit.ports import Report
from mlflowkit.store import database, leases, tables
from tests.engine.conftest import QuietExecutor, World, attempt

Make = Callable[..., tuple[World, QuietExecutor]]


@pytest.fixture
def make(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes engines whose executor does nothing; they do not wait long for a locked store."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr(process, "TRY_AGAIN_SECONDS", 0.02)
    made: list[EngineProcess] = []

    def make(free: int = 2) -> tuple[World, QuietExecutor]:
        executor = QuietExecutor(free)
        engine = EngineProcess(home, lambda *_: executor, item_of)
        made.append(engine)
        return World(home, engine), executor

    yield make
    for engine in made:
        if not engine.stopping:
            engine.close()


def die(world: World) -> None:
    """The end of an engine; its runs stay as they are."""
    world.engine.stop()
    world.engine.close()


def two_steps() -> DAG:
    @task
    def first() -> int:
        return 1

    @task
    def second(n: int) -> int:
        return n

    @dag
    def steps() -> None:
        second(first())

    return steps()


def locked(home: Path) -> sqlite3.Connection:
    """Another process, as far as the store can see, in the middle of a long write."""
    other = sqlite3.connect(
        home / "store.db", isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    return other


def _holds(launched: list[AttemptId], one: AttemptId) -> bool:
    return one in launched


def states(run: RunHandle) -> dict[str, str]:
    return run.view().as_states()


def test_a_decision_is_carried_out_after_its_commit(make: Make) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    assert executor.launched == []
    world.until(lambda: executor.launched)
    assert executor.launched == [attempt(run, "first")]
    assert states(run) == {"first": "queued", "second": "none"}


def test_a_turn_that_cannot_be_saved_changes_nothing_and_is_taken_again(
    make: Make, home: Path
) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    world.until(lambda: executor.launched)
    with closing(locked(home)) as other:
        report = Report(event=AttemptSucceeded(attempt(run, "first")))
        world.engine.report(report)
        world.rounds(8)
        assert executor.launched == [attempt(run, "first")]
        assert states(run) == {"first": "queued", "second": "none"}
        assert world.engine.busy
        other.rollback()
    world.until(lambda: len(executor.launched) > 1)
    assert executor.launched == [attempt(run, "first"), attempt(run, "second")]
    assert states(run) == {"first": "success", "second": "queued"}


def test_a_run_that_was_only_offered_a_place_is_not_forgotten(
    make: Make, home: Path
) -> None:
    """The turn that fails touches a run that had neither a report nor an event."""
    world, executor = make(free=1)
    one, two = world.submit(two_steps()), world.submit(two_steps())
    world.until(lambda: executor.launched)
    busy, waits = (one, two) if executor.launched[0].run_id == one.run_id else (two, one)
    executor.free = 3
    with closing(locked(home)) as other:
        world.engine.report(Report(event=AttemptSucceeded(attempt(busy, "first"))))
        world.rounds(8)
        other.rollback()
    world.until(lambda: len(executor.launched) == 3)
    assert set(executor.launched[1:]) == {attempt(busy, "second"), attempt(waits, "first")}


def test_what_a_person_asks_while_the_store_is_locked_is_refused_in_words(
    make: Make, home: Path
) -> None:
    world, executor = make()
    request = make_request(two_steps(), {}, {}, home)
    with closing(locked(home)), pytest.raises(HomeUnwritable, match="locked"):
        world.engine.submit(request)
    run_id = world.engine.submit(request)
    world.until(lambda: executor.launched)
    assert run_id == "steps/1"


def test_a_full_disk_loses_no_report(make: Make, home: Path) -> None:
    """A limit on the size of files stands for the disk: the write-ahead log cannot grow."""
    world, executor = make()
    run = world.submit(two_steps())
    world.until(lambda: executor.launched)
    largest = max(f.stat().st_size for f in home.glob("store.db*"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 2_000_000, before[1]))
    try:
        end = AttemptSucceeded(attempt(run, "first"))
        world.engine.report(Report(event=end, error="x" * 10_000_000))
        world.rounds(5)
        assert states(run) == {"first": "queued", "second": "none"}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    world.until(lambda: len(executor.launched) == 2)
    assert len(run["first"].attempts()[0].error) == 10_000_000


def test_mail_about_an_older_attempt_leaves_no_trace(make: Make) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    world.until(lambda: executor.launched)
    world.engine.report(Report(event=AttemptSucceeded(attempt(run, "first", 7))))
    world.engine.report(Report(event=AttemptStarted(attempt(run, "first"))))
    world.until(lambda: states(run)["first"] == "running")
    assert states(run) == {"first": "running", "second": "none"}
    assert run["first"].attempts() == []


def test_what_was_saved_and_not_carried_out_is_worked_by_the_next_engine(
    make: Make,
) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    world.engine.carrying_out.work = lambda entries: None  # type: ignore[method-assign]
    world.until(lambda: states(run)["first"] == "queued")
    assert executor.launched == []
    die(world)
    second, executor = make()
    assert second.engine.interrupted() == [run.run_id]
    second.engine.resume(run.run_id)  # type: ignore[arg-type]
    second.until(lambda: executor.launched)
    assert executor.launched == [attempt(run, "first")]  # the same one: it had never run


def test_what_was_out_is_lost_and_starts_anew_without_a_try_spent(make: Make) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    world.until(lambda: executor.launched)
    world.engine.report(Report(event=AttemptStarted(attempt(run, "first"))))
    world.until(lambda: states(run)["first"] == "running")
    die(world)
    second, executor = make()
    second.engine.resume(run.run_id)  # type: ignore[arg-type]
    second.until(lambda: executor.launched)
    assert executor.launched == [attempt(run, "first", 2)]
    (instance,) = run.view().task("first").instances
    assert (instance.attempt, instance.failures) == (2, 0)
    (lost,) = run["first"].attempts()
    assert (lost.number, lost.outcome) == (1, "lost")
    assert "the engine that ran it died" in lost.reason


def test_a_cancel_that_was_saved_holds_when_the_engine_dies_before_it_kills(
    make: Make,
) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    world.until(lambda: executor.launched)
    world.engine.carrying_out.work = lambda entries: None  # type: ignore[method-assign]
    world.engine.cancel(run.run_id)  # type: ignore[arg-type]
    world.until(lambda: states(run)["second"] == "skipped")
    assert executor.killed == []
    die(world)
    second, executor = make()
    second.engine.resume(run.run_id)  # type: ignore[arg-type]
    second.until(lambda: run.view().ended)
    assert executor.launched == []
    assert states(run) == {"first": "failed", "second": "skipped"}
    assert (run.state, run.view().reason) == ("failed", "cancelled")


def test_a_retry_that_became_due_while_no_engine_lived_is_made(make: Make) -> None:
    world, executor = make()

    @task(retries=1, retry_delay=0.05)
    def only() -> None:
        pass

    @dag
    def d() -> None:
        only()

    run = world.submit(d())
    world.until(lambda: executor.launched)
    world.engine.report(Report(event=AttemptFailed(attempt(run, "only"), "why")))
    world.until(lambda: states(run)["only"] == "up_for_retry")
    die(world)
    second, executor = make()
    second.engine.resume(run.run_id)  # type: ignore[arg-type]
    second.until(lambda: executor.launched)
    assert executor.launched == [attempt(run, "only", 2)]


def test_an_engine_that_was_succeeded_writes_nothing_more(make: Make) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    world.until(lambda: executor.launched)
    with world.engine.database.writing() as tx:
        leases.take(tx, "another", 1, world.engine._clock())
    world.engine.report(Report(event=AttemptSucceeded(attempt(run, "first"))))
    with pytest.raises(LeaseLost):
        world.until(lambda: False, 5)
    assert states(run) == {"first": "queued", "second": "none"}
    with world.engine.database.reading() as tx:
        assert tx.execute(select(tables.attempts)).all() == []


def test_the_outbox_is_empty_once_all_was_carried_out(make: Make) -> None:
    world, executor = make()
    run = world.submit(two_steps())
    for task_id in ("first", "second"):
        world.until(partial(_holds, executor.launched, attempt(run, task_id)))
        world.engine.report(Report(event=AttemptSucceeded(attempt(run, task_id))))
    world.until(lambda: run.view().ended)
    with world.engine.database.reading() as tx:
        assert tx.execute(select(tables.outbox)).all() == []


def test_readers_never_see_half_a_turn(make: Make) -> None:
    """`first` is a success if and only if `second` is no longer untouched."""
    world, executor = make()
    run = world.submit(two_steps())
    seen: set[tuple[str, str]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = states(run)
            seen.add((found.get("first", ""), found.get("second", "")))

    reader = threading.Thread(target=read)
    reader.start()
    world.until(lambda: executor.launched)
    world.engine.report(Report(event=AttemptStarted(attempt(run, "first"))))
    world.until(lambda: ("running", "none") in seen)
    world.engine.report(Report(event=AttemptSucceeded(attempt(run, "first"))))
    world.until(lambda: ("success", "queued") in seen)
    stop.set()
    reader.join()
    whole = {
        ("none", "none"),
        ("queued", "none"),
        ("running", "none"),
        ("success", "queued"),
    }
    assert seen <= whole
