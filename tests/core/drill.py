"""The drill: a run, the book of an executor and an alarm clock, and the laws around each event.

The book is made of decisions alone, and never asks the machine. `test_machine_laws`
lets anything happen in any order; every event goes through `Drill.tell`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from mlflowkit.core.decisions import CloseRun, Decision, Kill, Launch, WakeAt
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    PlacesOffered,
    RetryAsked,
)
from mlflowkit.core.machine import InstanceRow, Run, RunRow, replay
from mlflowkit.core.machine.finish import LOST_LIMIT
from mlflowkit.core.spec import AttemptId, DagSpec, RetryPolicy, TaskId
from mlflowkit.core.states import ENDED, RUN_ENDED, RunState, TaskState
from tests.core.world import RUN, AxisDrawing, World, anatomy, dag

ENDS = (AttemptSucceeded, AttemptFailed, AttemptSkipped, AttemptLost)
BAD = {TaskState.FAILED, TaskState.UPSTREAM_FAILED}


@st.composite
def dags(draw: st.DrawFn) -> DagSpec:
    """Up to 6 tasks; each waits for any that were drawn before it, and may be mapped."""
    names = [f"t{i}" for i in range(draw(st.sampled_from([3, 4, 5, 6, 2, 1, 0])))]
    lines, mapped = list(names), dict[str, tuple[AxisDrawing, ...]]()
    for i, name in enumerate(names):
        ups = sorted(draw(st.sets(st.sampled_from(names[:i]), max_size=3))) if i else []
        lines += [f"{up} > {name}" for up in ups]
        if draw(st.booleans()):
            axes: list[AxisDrawing] = [*ups, *ups, 3, 2, 1, 0]
            drawn = st.lists(st.sampled_from(axes), min_size=1, max_size=2)
            mapped[name] = tuple(draw(drawn))
    policy = RetryPolicy(
        retries=draw(st.sampled_from([2, 1, 0])),
        retry_delay=timedelta(seconds=draw(st.sampled_from([0, 10]))),
        exponential_backoff=draw(st.sampled_from([1.0, 2.0])),
        max_retry_delay=draw(st.none() | st.just(timedelta(seconds=15))),
    )
    timeout = draw(st.none() | st.just(timedelta(seconds=30)))
    return dag("; ".join(lines), mapped=mapped, retry=policy, timeout=timeout, limit=6)


class Drill(RuleBasedStateMachine):
    """One event, and what must hold around it."""

    #: Class-wide, so that a law that is never put to the test can be seen.
    seen: ClassVar[set[str]] = set()

    @property
    def begun(self) -> bool:
        return hasattr(self, "world")

    def begin(self, spec: DagSpec) -> None:
        self.world = World(spec, opened=False)
        self.launched: list[AttemptId] = []
        self.alive: dict[AttemptId, bool] = {}  # was it asked to die?
        self.alarms: list[datetime] = []
        self.closed = 0
        self.due: dict[tuple[TaskId, int], datetime] = {}  # not to be launched before

    def tell(self, event: Event) -> list[Decision]:
        world = self.world
        before, rows = anatomy(world.run), dict(world.rows.instances)
        old_mail = isinstance(event, (AttemptStarted, *ENDS)) and (
            event.attempt not in self.alive
        )
        was_ended = world.rows.run.state in RUN_ENDED
        decisions = world.tell(event)
        if not world.outcome:
            assert anatomy(world.run) == before, "something changed, and was not told"
        if old_mail or (was_ended and not isinstance(event, RetryAsked)):
            assert not world.outcome, "old mail changed the run"
        if not isinstance(event, RetryAsked):
            self.ended_stays_ended(rows)
        if isinstance(event, ENDS):
            self.alive.pop(event.attempt, None)
        for decision in decisions:
            self.carry_out(decision)
        launches = [d for d in decisions if isinstance(d, Launch)]
        places = event.places if isinstance(event, PlacesOffered) else 0
        assert len(launches) <= max(places, 0), "more launches than places"
        for key, row in world.outcome.instances.items():
            if row.state is TaskState.UP_FOR_RETRY and row.alarm is not None:
                self.due[key] = row.alarm
        self.seen.add(type(event).__name__)
        self.seen.update(str(row.state) for row in world.outcome.instances.values())
        return decisions

    def carry_out(self, decision: Decision) -> None:
        match decision:
            case Launch(attempt):
                self.check_launch(attempt)
                self.launched.append(attempt)
                self.alive[attempt] = False
            case Kill(attempt, why):
                assert attempt in self.alive, "killed what is not there"
                assert not self.alive[attempt], "killed twice"
                self.alive[attempt] = True
                assert why == "cancelled" or self.has_timed_out(attempt)
            case WakeAt(when):
                assert when >= self.world.now
                self.alarms.append(when)
            case CloseRun(state):
                self.closed += 1
                assert state is self.world.rows.run.state
                assert not self.alive, "the run ended while an attempt was out"

    def check_launch(self, attempt: AttemptId) -> None:
        assert attempt not in self.launched, "an attempt was launched twice"
        where = attempt.task_id, attempt.map_index
        assert all(a[1:3] != where for a in self.alive), "two attempts at once"
        assert self.world.now >= self.due.pop(where, self.world.now), "tried too early"
        assert not self.world.rows.run.cancelled, "something started after cancel"
        for up in self.world.spec.tasks[attempt.task_id].upstream:
            states = self.states_of(up)
            assert states, f"{up} has no task instance"
            assert states == {TaskState.SUCCESS}, "its upstream had not succeeded"

    def has_timed_out(self, attempt: AttemptId) -> bool:
        timeout = self.world.spec.tasks[attempt.task_id].execution_timeout
        started_at = self.world.rows.instances[attempt[1:3]].started_at
        assert timeout is not None
        assert started_at is not None
        return self.world.now >= started_at + timeout

    def states_of(self, task_id: TaskId) -> set[TaskState]:
        """The states of a task's instances, as stored."""
        rows = self.world.rows
        found = {row.state for key, row in rows.instances.items() if key[0] == task_id}
        node = rows.nodes.get(task_id)
        if node is not None and node.next_index < (node.length or 0):
            cancelled = rows.run.cancelled
            found.add(TaskState.SKIPPED if cancelled else TaskState.SCHEDULED)
        return found - {TaskState.REMOVED}

    def ended_stays_ended(self, before: dict[tuple[TaskId, int], InstanceRow]) -> None:
        for key, row in before.items():
            if row.state in ENDED:
                assert self.world.rows.instances[key] == row, "an ended one changed"

    @invariant()
    def the_run_makes_sense(self) -> None:
        if not self.begun:
            return
        run, rows = self.world.run, self.world.rows
        assert set(run.live_attempts()) == set(self.alive), "an attempt was forgotten"
        assert self.closed == int(rows.run.state in RUN_ENDED)
        assert anatomy(rows.load(self.world.spec)) == anatomy(run)
        for row in rows.instances.values():
            policy = self.world.spec.tasks[row.task_id].retry
            assert row.failures <= policy.retries + 1
            assert row.lost <= LOST_LIMIT + 1
            if row.state is TaskState.UP_FOR_RETRY:
                assert row.alarm is not None
                assert row.failures <= policy.retries
        if rows.run.state in RUN_ENDED:
            self.the_run_agrees_with_its_leaves()

    def the_run_agrees_with_its_leaves(self) -> None:
        run = self.world.rows.run
        everything = [s for t in self.world.spec.tasks for s in self.states_of(t)]
        assert set(everything) <= ENDED, "the run ended before its tasks"
        leaves = {s for t in self.world.spec.leaves for s in self.states_of(t)}
        stopped = run.cancelled and leaves != {TaskState.SUCCESS} and bool(leaves)
        failed = bool(leaves & BAD) or stopped
        assert run.state is (RunState.FAILED if failed else RunState.SUCCESS)
        assert run.reason == ("cancelled" if stopped else "")

    def replay_agrees(self) -> None:
        again = replay(Run(self.world.spec, RunRow(run_id=RUN)), self.world.log)
        assert anatomy(again) == anatomy(self.world.rows.load(self.world.spec))


def success_of(attempt: AttemptId, length: int | None) -> AttemptSucceeded:
    return AttemptSucceeded(attempt, {} if length is None else {"return_value": length})
