"""A run goes into the store and comes out as it was; two processes may write at once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, StatementError

from mlflowkit.core.decisions import Decision, Kill, Launch
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    CancelAsked,
    Event,
    PlacesOffered,
    RetryAsked,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.machine import Run, RunRow, handle, replay
from mlflowkit.core.spec import (
    AttemptId,
    Axis,
    DagId,
    DagSpec,
    Expansion,
    RetryPolicy,
    RunId,
    TaskId,
    TaskSpec,
    XComRef,
)
from mlflowkit.core.values import StoredValue
from mlflowkit.engine.locks import HomeLock, engine_alive
from mlflowkit.errors import BadRunId, DagNotPublished, RunExists, RunNotFound
from mlflowkit.ports import RunRequest, Surroundings
from mlflowkit.store import codec, leases, outbox, reading, run_log, xcoms
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Database, open_database

START = datetime(2026, 1, 1, tzinfo=UTC)
LOAD, FIT, END = TaskId("load"), TaskId("fit"), TaskId("end")
RETRY = RetryPolicy(retries=2, retry_delay=timedelta(seconds=1))
SPEC = DagSpec(
    dag_id=DagId("d"),
    tasks={
        LOAD: TaskSpec(task_id=LOAD, expanded_keys=("return_value",), retry=RETRY),
        FIT: TaskSpec(
            task_id=FIT,
            upstream=(LOAD,),
            expansion=Expansion(axes=(Axis(name="x", source=XComRef(LOAD)),)),
            retry=RETRY,
            execution_timeout=timedelta(seconds=9),
        ),
        END: TaskSpec(task_id=END, upstream=(FIT,), inputs=(XComRef(FIT),)),
    },
)
AROUND = Surroundings(
    python="/py", env={"A": "é\n"}, cwd="/x", sys_path=("/a", "/b"), umask=0o27
)
REQUEST = RunRequest(
    dag_id="d",
    spec_json=codec.encode_spec(SPEC),
    bundle="/bundle",
    params_json=b'{"n": 1}',
    surroundings=AROUND,
    notes=("a note",),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path)
    yield opened
    opened.close()


def tell(store: Database, run: Run, key: int, seq: int, event: Event, now: datetime) -> int:
    """One turn with one event. Returns the new end of the log."""
    outcome = handle(run, event, now)
    with store.writing() as tx:
        stored.save_outcome(tx, key, outcome)
        return run_log.append(tx, key, seq, [(event, now)]) if outcome else seq


def same(one: Run, other: Run) -> None:
    """Everything that a run is: rows, counters, what may start, what is out."""
    assert asdict(one.row) == asdict(other.row)
    assert sorted(one.ready) == sorted(other.ready)
    assert (one.out, one.open_nodes) == (other.out, other.open_nodes)
    for name, node in one.nodes.items():
        twin = other.nodes[name]
        assert asdict(node.row) == asdict(twin.row)
        assert (+node.counts, +node.above, node.open_above, node.done) == (
            +twin.counts,
            +twin.above,
            twin.open_above,
            twin.done,
        )
        assert {i: asdict(r) for i, r in node.instances.items()} == {
            i: asdict(r) for i, r in twin.instances.items()
        }


@pytest.mark.parametrize("seed", range(12))
def test_what_is_saved_after_each_event_loads_as_what_is_in_memory(
    store: Database, seed: int
) -> None:
    """A random life: starts, ends of every kind, time, a cancel, a retry by a person."""
    dice = random.Random(seed)
    with store.writing() as tx:
        run_id = stored.create_run(tx, REQUEST, "me", START)
        found = stored.load_run(tx, run_id)
    assert found is not None
    run, key, seq, now = found.run, found.run_key, 0, START
    seq = tell(store, run, key, seq, RunOpened(), now)
    for _ in range(60):
        now += timedelta(microseconds=dice.randrange(3_000_001))
        seq = tell(store, run, key, seq, _something(dice, run), now)
        with store.reading() as tx:
            again = stored.load_run(tx, run_id)
            log = run_log.read(tx, run_id)
        assert again is not None
        assert again.log_seq == len(log) == seq
        same(again.run, run)
    same(replay(Run(SPEC, RunRow(run_id=run_id)), log), run)


def some_life(store: Database, request: RunRequest, start: datetime, seed: int) -> None:
    """A run that has 40 things happen to it, in the store."""
    dice = random.Random(seed)
    with store.writing() as tx:
        found = stored.load_run(tx, stored.create_run(tx, request, "me", start))
    assert found is not None
    seq = tell(store, found.run, found.run_key, 0, RunOpened(), start)
    for at in range(40):
        now = start + timedelta(seconds=2 * at)
        event = _something(dice, found.run)
        seq = tell(store, found.run, found.run_key, seq, event, now)


def _something(dice: random.Random, run: Run) -> Event:
    if run.ended:
        return RetryAsked(dice.choice([(), (FIT,), (LOAD,)]))
    out = list(run.live_attempts())
    if not out or dice.random() < 0.3:
        idle: list[Event] = [PlacesOffered(2), TimePassed(), PlacesOffered(1)]
        return dice.choice(idle)
    if dice.random() < 0.02:
        return CancelAsked()
    attempt = dice.choice(out)
    ends: list[Event] = [
        AttemptStarted(attempt),
        AttemptSucceeded(attempt, {"return_value": dice.randrange(4)}),
        AttemptSucceeded(attempt, {"return_value": 3}),
        AttemptFailed(attempt, "why", dice.random() < 0.9),
        AttemptLost(attempt, "gone"),
        AttemptSkipped(attempt, "nothing to do"),
    ]
    return dice.choice(ends)


def test_a_new_run_comes_out_as_it_went_in(store: Database) -> None:
    with store.writing() as tx:
        run_id = stored.create_run(tx, REQUEST, None, START)
    with store.reading() as tx:
        found = stored.load_run(tx, run_id)
        assert stored.unfinished(tx) == [(run_id, None)]
        assert stored.load_run(tx, "d/2") is None
    assert found is not None
    assert (run_id, found.bundle, found.params) == ("d/1", "/bundle", b'{"n": 1}')
    assert found.surroundings == AROUND
    assert found.run.spec == SPEC
    assert found.facts["created_at"] == START


def test_runs_are_counted_for_each_dag(store: Database) -> None:
    from dataclasses import replace

    other = replace(REQUEST, dag_id="e")
    with store.writing() as tx:
        made = [stored.create_run(tx, r, None, START) for r in (REQUEST, other, REQUEST)]
    assert made == ["d/1", "e/1", "d/2"]


def test_nothing_is_kept_of_a_transaction_that_fails(store: Database) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as tx:
        stored.create_run(tx, REQUEST, None, START)
        raise ZeroDivisionError
    with store.reading() as tx:
        assert stored.unfinished(tx) == []
    with store.writing() as tx:
        assert stored.create_run(tx, REQUEST, None, START) == "d/1"


def test_the_outbox_keeps_order_and_forgets_what_was_done(store: Database) -> None:
    with store.writing() as tx:
        run_id = stored.create_run(tx, REQUEST, None, START)
        found = stored.load_run(tx, run_id)
        assert found is not None
        one, two = (AttemptId(RunId("d/1"), FIT, i, 1) for i in (0, 1))
        decisions: list[Decision] = [Launch(one), Kill(one, "cancelled"), Launch(two)]
        entries = outbox.put(tx, found.run_key, 1, decisions)
    with store.writing() as tx:
        assert outbox.read(tx, found.run_key, run_id) == entries
        assert [e.decision for e in entries] == decisions
        outbox.drop(tx, [entries[0].entry_id])
        assert outbox.read(tx, found.run_key, run_id) == entries[1:]
        assert outbox.last_id(tx) == entries[-1].entry_id


def test_times_are_utc_whatever_zone_they_come_in(store: Database) -> None:
    there = START.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with store.writing() as tx:
        run_id = stored.create_run(tx, REQUEST, None, there)
        found = stored.load_run(tx, run_id)
    assert found is not None
    assert found.facts["created_at"] == START
    assert found.facts["created_at"].tzinfo is UTC


def test_an_xcom_comes_out_as_it_went_in(store: Database) -> None:
    inline = StoredValue(
        codec="json", inline=b"[1]", size=3, length=1, keys=("a", "é"), preview="[1]"
    )
    large = StoredValue(codec="npy", artifact="0" * 64, size=1 << 40)
    with store.writing() as tx:
        stored.create_run(tx, REQUEST, None, START)
        attempt = AttemptId(RunId("d/1"), FIT, 0, 1)
        for key, value in {"a": inline, "b": large}.items():
            xcoms.save_xcoms(tx, [xcoms.xcom_row(1, attempt, key, value)])
    with store.reading() as tx:
        assert xcoms.get_xcom(tx, 1, FIT, "a", 0) == inline
        assert xcoms.get_xcom(tx, 1, FIT, "b", 0) == large
        assert xcoms.get_xcom(tx, 1, FIT, "a", 1) is None
        assert xcoms.keys_of(tx, 1, FIT) == ["a", "b"]
        assert xcoms.page_xcoms(tx, 1, FIT, "a") == [(0, inline)]
        assert xcoms.count_xcoms(tx, 1, FIT, "b") == 1
    with store.writing() as tx:
        xcoms.forget_xcoms(tx, 1, FIT, 0)
        assert xcoms.keys_of(tx, 1, FIT) == []


def test_the_store_refuses_a_state_that_is_none(store: Database) -> None:
    with store.writing() as tx:
        stored.create_run(tx, REQUEST, None, START)
    with pytest.raises((IntegrityError, StatementError)), store.writing() as tx:
        tx.exec_driver_sql("UPDATE runs SET state = 'cancelled'")


WRITE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from mlflowkit.store import runs
from mlflowkit.store.database import open_database
from tests.store.test_runs import REQUEST
store = open_database(Path(sys.argv[1]))
for _ in range(40):
    with store.writing() as tx:
        print(runs.create_run(tx, REQUEST, None, datetime.now(UTC)))
"""


def test_two_processes_write_at_once_and_lose_nothing(store: Database) -> None:
    assert store.path is not None
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(store.path.parent)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [writer.communicate(timeout=120) for writer in writers]
    assert [error for _, error in told] == ["", ""]
    made = [int(line[2:]) for out, _ in told for line in out.split()]
    assert sorted(made) == list(range(1, 81))
    with store.reading() as tx:
        assert len(stored.unfinished(tx)) == 80


def test_a_run_is_not_interrupted_while_the_next_engine_takes_its_home_over(
    tmp_path: Path,
) -> None:
    """The lock is its sign of life: it is held before the lease is."""
    store = open_database(tmp_path)
    dead = HomeLock(tmp_path)
    with store.writing() as tx:
        leases.take(tx, "dead", 1, START)
        run_id = stored.create_run(tx, REQUEST, "dead", START)
    dead.release()

    def interrupted(alive: Callable[[], bool]) -> bool:
        with store.reading() as tx:
            view = reading.run_view(tx, run_id, engine_alive=alive)
        assert view is not None
        return view.interrupted

    holds = partial(engine_alive, tmp_path)
    assert interrupted(holds) is True
    following: list[HomeLock] = []

    def begins_meanwhile() -> bool:
        following.append(HomeLock(tmp_path))
        return holds()

    assert interrupted(begins_meanwhile) is False
    assert interrupted(holds) is False
    following[0].release()
    assert interrupted(holds) is True
    store.close()


def test_a_very_long_name_is_not_printed_whole() -> None:
    long = "x" * 10_000
    for error in (
        BadRunId(long),
        RunExists(long),
        RunNotFound(long, []),
        DagNotPublished(long, []),
    ):
        assert len(str(error)) < 500
        assert "x" * 150 in str(error)
