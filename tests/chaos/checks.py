"""What must hold for a run that was killed and resumed, however often.

Reads the store and the lines that the attempts left; knows nothing of the engine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from mlflowkit.core.decisions import Launch
from mlflowkit.core.machine import Run, RunRow, handle
from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.core.states import TaskState
from mlflowkit.store import run_log
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction, open_database
from mlflowkit.store.tables import attempts, runs
from tests.homes import assert_nothing_left


@dataclass(frozen=True)
class Mark:
    """A line that an attempt left."""

    what: str
    attempt: AttemptId
    at: float


def read_marks(path: Path) -> list[Mark]:
    found: list[Mark] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        what, name, nanoseconds, _ = line.split()
        run, task, index, number = name.rsplit("/", 3)
        attempt = AttemptId(RunId(run), TaskId(task), int(index), int(number))
        found.append(Mark(what, attempt, int(nanoseconds) / 1e9))
    return found


def check_home(home: Path, marks: Path, *, state: str = "success") -> None:
    """Every promise, for every run of a home in which nothing runs any more."""
    assert_nothing_left(home)
    database = open_database(home)
    try:
        with database.reading() as tx:
            run_ids = [r for (r,) in tx.execute(select(runs.c.run_id))]
            assert run_ids
            for run_id in run_ids:
                check_run(tx, run_id, read_marks(marks), state)
    finally:
        database.close()


def check_run(tx: Transaction, run_id: str, marks: list[Mark], state: str) -> None:
    found = stored.load_run(tx, run_id)
    assert found is not None
    assert str(found.run.row.state) == state
    launched = check_replay(tx, run_id, found.run)
    ended = _ended(tx, found.run_key, run_id)
    mine = [m for m in marks if m.attempt.run_id == run_id]
    check_nothing_ran_early(mine, launched)
    check_nothing_ran_again(mine, ended)
    check_tries(found.run, ended)


def check_replay(tx: Transaction, run_id: str, kept: Run) -> dict[AttemptId, float]:
    """The log, worked from the start, gives the rows. Returns when each attempt was decided."""
    spec = stored.spec_of(tx, run_id)
    assert spec is not None
    again = Run(spec, RunRow(run_id=RunId(run_id)))
    launched: dict[AttemptId, float] = {}
    for event, at in run_log.read(tx, run_id):
        for decision in handle(again, event, at).decisions:
            if isinstance(decision, Launch):
                assert decision.attempt not in launched, "decided twice"
                launched[decision.attempt] = at.timestamp()
    assert asdict(again.row) == asdict(kept.row)
    for name, node in kept.nodes.items():
        other = again.nodes[name]
        assert asdict(other.row) == asdict(node.row)
        assert {i: asdict(r) for i, r in other.instances.items()} == {
            i: asdict(r) for i, r in node.instances.items()
        }
        assert (+other.counts, +other.above, other.open_above, other.done) == (
            +node.counts,
            +node.above,
            node.open_above,
            node.done,
        )
    assert (again.open_nodes, again.out, sorted(again.ready)) == (
        kept.open_nodes,
        kept.out,
        sorted(kept.ready),
    )
    return launched


def _ended(
    tx: Transaction, run_key: int, run_id: str
) -> dict[AttemptId, tuple[str, datetime]]:
    rows = tx.execute(select(attempts).where(attempts.c.run_key == run_key))
    return {
        AttemptId(RunId(run_id), TaskId(r.task_id), r.map_index, r.number): (
            r.outcome,
            r.ended_at,
        )
        for r in rows
    }


def check_nothing_ran_early(marks: list[Mark], launched: dict[AttemptId, float]) -> None:
    """No attempt started before the turn that decided it was saved."""
    for mark in marks:
        assert mark.attempt in launched, f"{mark.attempt} ran; nobody had decided it"
        early = launched[mark.attempt] - mark.at
        assert early <= 0, f"{mark.attempt} ran {early:.3f} s before it was decided"


def check_nothing_ran_again(
    marks: list[Mark], ended: dict[AttemptId, tuple[str, datetime]]
) -> None:
    """Nothing starts after its end was committed, and a task instance succeeds once."""
    succeeded = [a for a, (outcome, _) in ended.items() if outcome == "succeeded"]
    assert len({(a.task_id, a.map_index) for a in succeeded}) == len(succeeded)
    ran = {m.attempt for m in marks if m.what == "end"}
    assert set(succeeded) <= ran, "it succeeded, and never ran"
    for mark in marks:
        assert mark.attempt in ended, f"{mark.attempt} ran, and its end is not stored"
        if mark.what == "start":
            late = mark.at - ended[mark.attempt][1].timestamp()
            assert late <= 0, f"{mark.attempt} ran again {late:.3f} s after its end"


def check_tries(run: Run, ended: dict[AttemptId, tuple[str, datetime]]) -> None:
    """A lost attempt spends no try, a failed one does; every number was used."""
    for node in run.nodes.values():
        for index, instance in node.instances.items():
            mine = {
                a.number: outcome
                for a, (outcome, _) in ended.items()
                if (a.task_id, a.map_index) == (node.spec.task_id, index)
            }
            if instance.state is TaskState.SUCCESS:
                assert sorted(mine) == list(range(1, instance.attempt + 1))
                assert mine[instance.attempt] == "succeeded"
                failed = sum(o == "failed" for o in mine.values())
                assert failed == instance.failures
