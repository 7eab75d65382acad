"""Laws that hold for every DAG and every order of events.

The drill knows what an executor and an alarm clock would know: the decisions. It
keeps its own book of which attempts are alive, and never asks the machine.
Mail is never used up: it may come late, twice, or after its attempt was given up.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mlflowkit.core.decisions import CloseRun, Decision, Kill, Launch, WakeAt
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
from mlflowkit.core.machine import InstanceRow, Run, RunRow, replay
from mlflowkit.core.machine.finish import LOST_LIMIT
from mlflowkit.core.spec import AttemptId, DagSpec, RetryPolicy, RunId, TaskId
from mlflowkit.core.states import ENDED, RUN_ENDED, RunState, TaskState
from mlflowkit.errors import IllegalEvent
from tests.core.world import RUN, AxisDrawing, World, anatomy, dag

ENDS = (AttemptSucceeded, AttemptFailed, AttemptSkipped, AttemptLost)
BAD = {TaskState.FAILED, TaskState.UPSTREAM_FAILED}
WHICH = st.integers(0, 10_000)
LENGTH = st.none() | st.integers(0, 5)


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


class AnyOrderOfEvents(RuleBasedStateMachine):
    #: Class-wide, so that a law that never bites can be seen (`test_the_drill_…`).
    seen: ClassVar[set[str]] = set()

    @initialize(spec=dags(), opened=st.sampled_from([True, True, True, False]))
    def submit(self, spec: DagSpec, opened: bool) -> None:
        self.world = World(spec, opened=False)
        self.launched: list[AttemptId] = []
        self.alive: dict[AttemptId, bool] = {}  # was it asked to die?
        self.alarms: list[datetime] = []
        self.closed = 0
        self.due: dict[tuple[TaskId, int], datetime] = {}  # not to be launched before
        if opened:
            self.tell(RunOpened())

    # ── one event, and what must hold around it ──

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

    # ── what may happen ──

    def pick(self, which: int) -> AttemptId:
        return self.launched[which % len(self.launched)]

    def pick_alive(self, which: int) -> AttemptId:
        return list(self.alive)[which % len(self.alive)]

    @precondition(lambda self: self.world.run.ready)
    @rule(places=st.sampled_from([2, 1, 5, 30]))
    def offer(self, places: int) -> None:
        self.tell(PlacesOffered(places))

    @rule(event=st.sampled_from([RunOpened(), PlacesOffered(0), PlacesOffered(-1), None]))
    def noise(self, event: Event | None) -> None:
        """What is new only once, what gives nothing, and what nobody may ask."""
        if event:
            self.tell(event)
            return
        self.illegal(RetryAsked((TaskId("nobody"),)))
        if self.world.rows.run.state not in RUN_ENDED:
            self.illegal(RetryAsked())

    @precondition(lambda self: self.alive)
    @rule(which=st.none() | WHICH)
    def started(self, which: int | None) -> None:
        chosen = list(self.alive) if which is None else [self.pick_alive(which)]
        for attempt in chosen:
            self.tell(AttemptStarted(attempt))

    @precondition(lambda self: self.alive)
    @rule(which=WHICH, length=LENGTH)
    def succeeded(self, which: int, length: int | None) -> None:
        self.tell(_success(self.pick_alive(which), length))

    @precondition(lambda self: len(self.alive) > 1)
    @rule(length=LENGTH)
    def all_succeeded(self, length: int | None) -> None:
        for attempt in list(self.alive):
            self.tell(_success(attempt, length))

    @precondition(lambda self: self.alive)
    @rule(which=WHICH, retryable=st.sampled_from([True, True, False]))
    def failed(self, which: int, retryable: bool) -> None:
        attempt = self.pick_alive(which)
        killed = self.alive[attempt]
        self.tell(AttemptFailed(attempt, "boom", retryable))
        after = self.world.rows.instances[attempt[1:3]]
        if not retryable and not killed:
            assert after.state is TaskState.FAILED, "tried again what cannot help"

    @precondition(lambda self: self.alive)
    @rule(which=WHICH)
    def skipped(self, which: int) -> None:
        self.tell(AttemptSkipped(self.pick_alive(which), "nothing to do"))

    @precondition(lambda self: self.alive)
    @rule(which=WHICH)
    def lost(self, which: int) -> None:
        attempt = self.pick_alive(which)
        before = self.world.rows.instances[attempt[1:3]]
        killed = self.alive[attempt]
        self.tell(AttemptLost(attempt, "no sign of life"))
        after = self.world.rows.instances[attempt[1:3]]
        if not killed:
            assert after.failures == before.failures, "a lost attempt spent a try"
            again = TaskState.SCHEDULED if before.lost < LOST_LIMIT else TaskState.FAILED
            assert after.state is again

    @precondition(lambda self: self.alive)
    @rule(which=WHICH)
    def lost_over_and_over(self, which: int) -> None:
        where = self.pick_alive(which)[1:3]
        for _ in range(LOST_LIMIT + 1):
            for i, attempt in enumerate(list(self.alive)):
                if attempt[1:3] == where:
                    self.lost(i)
            self.tell(PlacesOffered(30))

    @precondition(lambda self: self.launched)
    @rule(
        which=WHICH,
        kind=st.sampled_from([AttemptStarted, *ENDS]),
        later=st.sampled_from([0, 0, -1, 1]),
        run_id=st.sampled_from([RUN, RUN, RunId("p/2")]),
    )
    def any_mail(self, which: int, kind: Any, later: int, run_id: RunId) -> None:
        """From any attempt that ever was, or will be, here or in another run."""
        attempt = self.pick(which)
        attempt = attempt._replace(number=attempt.number + later, run_id=run_id)
        more = ["late mail"] if kind in (AttemptFailed, AttemptLost) else []
        self.tell(kind(attempt, *more))

    @precondition(lambda self: self.alarms)
    @rule(seconds=st.sampled_from([None, 10, 30, 5, 0]))
    def time(self, seconds: int | None) -> None:
        """So many seconds, or up to the last alarm that was asked for."""
        late = max(*self.alarms, self.world.now)
        here = self.world.now
        self.world.now = late if seconds is None else here + timedelta(seconds=seconds)
        self.tell(TimePassed())

    @precondition(lambda self: self.world.rows.run.state not in RUN_ENDED)
    @rule(sure=st.sampled_from([False] * 4 + [True]))
    def cancel(self, sure: bool) -> None:
        if sure:
            self.tell(CancelAsked())

    @precondition(lambda self: self.world.rows.run.state in RUN_ENDED)
    @rule(which=st.lists(WHICH, max_size=2))
    def retry(self, which: list[int]) -> None:
        names = list(self.world.spec.tasks)
        chosen = tuple(names[i % len(names)] for i in which) if names else ()
        before = dict(self.world.rows.instances)
        self.closed = 0
        self.due.clear()
        self.tell(RetryAsked(chosen))
        self.retry_is_what_was_asked(chosen, before)

    def retry_is_what_was_asked(
        self, chosen: tuple[TaskId, ...], before: dict[tuple[TaskId, int], InstanceRow]
    ) -> None:
        again = set(chosen)
        for task in self.world.spec.in_order():
            if again.intersection(task.upstream):
                again.add(task.task_id)
        for task_id, node in self.world.rows.nodes.items():
            if chosen and task_id not in again:
                assert node.next_index >= (node.length or 0), "not named, and goes on"
        for (task_id, index), row in before.items():
            after = self.world.rows.instances[task_id, index]
            if task_id in again:
                assert after.state is not TaskState.SUCCESS
                assert after.attempt == row.attempt
            elif chosen:
                assert after == row, "something that was not named was cleared"
            elif row.state in BAD or row.reason == "cancelled":
                assert after.failures == after.lost == 0
                assert after.reason != "cancelled"
            elif row.state is not TaskState.REMOVED:
                assert after == row, "a success was not kept"

    def illegal(self, event: Event) -> None:
        before = anatomy(self.world.run)
        with pytest.raises(IllegalEvent):
            self.tell(event)
        assert anatomy(self.world.run) == before, "an illegal event changed something"

    @rule()
    def crash(self) -> None:
        """The engine dies. The next one has the rows, and the outbox: all that is alive."""
        self.world.reload()
        self.alarms = [when for when, _, _ in self.world.run.alarms]

    # ── what always holds ──

    @invariant()
    def the_run_makes_sense(self) -> None:
        if not hasattr(self, "world"):
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

    def teardown(self) -> None:
        """No dead ends: doing just what was decided brings every run to its end."""
        if not hasattr(self, "world"):
            return
        self.tell(RunOpened())
        for turn in range(80):
            if self.world.rows.run.state in RUN_ENDED:
                break
            self.do_what_was_decided(turn)
            self.the_run_makes_sense()
        assert self.world.rows.run.state in RUN_ENDED, f"dead end: {self.world.states()}"
        self.replay_agrees()

    def do_what_was_decided(self, turn: int) -> None:
        for attempt, dying in list(self.alive.items()):
            if dying:
                self.tell(AttemptFailed(attempt, "killed"))
            else:
                self.tell(_success(attempt, turn % 4))
        if due := sorted(when for when in self.alarms if when >= self.world.now):
            self.alarms = due[1:]
            self.world.now = due[0]
            self.tell(TimePassed())
        self.tell(PlacesOffered(10))

    def replay_agrees(self) -> None:
        again = replay(Run(self.world.spec, RunRow(run_id=RUN)), self.world.log)
        assert anatomy(again) == anatomy(self.world.rows.load(self.world.spec))


def _success(attempt: AttemptId, length: int | None) -> AttemptSucceeded:
    return AttemptSucceeded(attempt, {} if length is None else {"return_value": length})


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase


def test_the_drill_reaches_every_event_and_every_state() -> None:
    """A law that is never put to the test proves nothing. Runs after the drill above."""
    if not AnyOrderOfEvents.seen:
        pytest.skip("the drill did not run in this process")
    events = {e.__name__ for e in (RunOpened, PlacesOffered, TimePassed, CancelAsked)}
    events |= {e.__name__ for e in (RetryAsked, AttemptStarted, *ENDS)}
    states = {str(s) for s in TaskState} - {"up_for_reschedule"}
    assert events | states <= AnyOrderOfEvents.seen
