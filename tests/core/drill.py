"""The drill: a run, the book of an executor and an alarm clock, and the laws around each event.

The book is made of decisions alone, and never asks the machine. `test_machine_laws`
lets anything happen in any order; every event goes through `Drill.tell`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from mlflowkit.core.decisions import Call, CloseRun, Decision, Kill, Launch, WakeAt
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptRescheduled,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    MarkAsked,
    PlacesOffered,
    RetryAsked,
)
from mlflowkit.core.machine import InstanceRow, Run, RunRow, replay
from mlflowkit.core.machine.finish import LOST_LIMIT
from mlflowkit.core.spec import UNMAPPED, AttemptId, DagSpec, TaskId
from mlflowkit.core.states import ENDED, RUN_ENDED, RunState, TaskState
from tests.core.limits import check_launches
from tests.core.oracle import Oracle
from tests.core.world import RUN, World, anatomy

ENDS = (
    AttemptSucceeded,
    AttemptFailed,
    AttemptSkipped,
    AttemptLost,
    AttemptRescheduled,
)
OUT = {TaskState.QUEUED, TaskState.RUNNING}
LATER = {TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE}
Where = tuple[TaskId, int]
BAD = {TaskState.FAILED, TaskState.UPSTREAM_FAILED}
#: A teardown in one of these has torn nothing down: it may have been closed without a try.
NOT_TORN = {TaskState.NONE, TaskState.SKIPPED, TaskState.UPSTREAM_FAILED}


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
        self.oracle = Oracle(spec, self.world.rows)
        #: Left out by which branch; and who was past being left out at that time.
        self.left_out: dict[Where, dict[Where, set[Where]]] = {}
        self.cancels = 0
        self.waits_past: set[TaskId] = set()
        #: What a person has marked: its attempt may be killed for that.
        self.marked: set[Where] = set()

    def tell(self, event: Event) -> list[Decision]:
        world = self.world
        before, rows = anatomy(world.run), dict(world.rows.instances)
        old_mail = isinstance(event, (AttemptStarted, *ENDS)) and (
            event.attempt not in self.alive
        )
        was_ended = world.rows.run.state in RUN_ENDED
        instances_before = {t: self.oracle.instances(t) for t in world.spec.tasks}
        alive_before = dict(self.alive)
        decisions = world.tell(event)
        if not world.outcome:
            assert anatomy(world.run) == before, "something changed, and was not told"
        of_people = isinstance(event, (RetryAsked, MarkAsked))
        if old_mail or (was_ended and not of_people):
            assert not world.outcome, "old mail changed the run"
        if not isinstance(event, RetryAsked) and not (of_people and was_ended):
            self.ended_stays_ended(rows)
        if of_people and was_ended:
            self.forget_choices(self.set_up_again(event, rows))
        if isinstance(event, ENDS):
            known = self.alive.pop(event.attempt, None) is not None
            if known and isinstance(event, AttemptSucceeded):
                self.note_left_out(event, rows)
            elif known:
                self.ended_as_marked(event.attempt[1:3], rows)
        self.check_calls(event, decisions, old_mail)
        if not (isinstance(event, MarkAsked) and was_ended):
            self.check_closed(event, rows)
        for decision in decisions:
            self.carry_out(decision)
        launches = [d.attempt for d in decisions if isinstance(d, Launch)]
        if isinstance(event, PlacesOffered) and not was_ended:
            check_launches(world.spec, event, launches, alive_before, instances_before)
        else:
            assert not launches, "something started without a place"
        for key, row in world.outcome.instances.items():
            if row.state in LATER and row.alarm is not None:
                self.due[key] = row.alarm
        self.seen.add(type(event).__name__)
        self.seen.update(str(row.state) for row in world.outcome.instances.values())
        return decisions

    def carry_out(self, decision: Decision) -> None:
        match decision:
            case Launch(attempt):
                self.check_launch(attempt)
                self.forget_choices({attempt[1:3]})
                self.launched.append(attempt)
                self.marked.discard(attempt[1:3])
                self.alive[attempt] = False
            case Kill(attempt, why):
                assert attempt in self.alive, "killed what is not there"
                assert not self.alive[attempt], "killed twice"
                self.alive[attempt] = True
                marked = why.startswith("marked ") and attempt[1:3] in self.marked
                assert why == "cancelled" or marked or self.has_timed_out(attempt)
            case WakeAt(when):
                assert when >= self.world.now
                self.alarms.append(when)
            case CloseRun(state):
                self.closed += 1
                assert state is self.world.rows.run.state
                assert not self.alive, "the run ended while an attempt was out"
            case Call():
                pass  # see `check_calls`

    def check_launch(self, attempt: AttemptId) -> None:
        assert attempt not in self.launched, "an attempt was launched twice"
        where = attempt.task_id, attempt.map_index
        assert all(a[1:3] != where for a in self.alive), "two attempts at once"
        assert self.world.now >= self.due.pop(where, self.world.now), "tried too early"
        task = self.world.spec.tasks[attempt.task_id]
        if self.world.rows.run.cancelled:
            assert task.teardown, "something started after cancel"
        assert self.cancels < 2, "a teardown started after a second cancel"
        at = (
            UNMAPPED
            if attempt.map_index < 0 or not task.mapped_group
            else attempt.map_index
        )
        assert self.oracle.about(attempt.task_id, at) == "run", "its rule was not met"
        assert self.oracle.has_item(task, attempt.map_index), "it has no item"
        assert task.task_id not in self.waits_past, "it did not wait for its past"
        assert not self.is_left_out(where), "a branch had left it out"
        for teardown in () if task.teardown else self.oracle.scope(task.task_id):
            index = UNMAPPED
            if task.mapped_group and self.world.spec.tasks[teardown].mapped_group:
                index = attempt.map_index
            found = self.oracle.instances(teardown)
            at = index if index in found else UNMAPPED
            state = found.get(at, TaskState.NONE)
            of_person = (teardown, at) in self.marked  # it was not torn down in truth
            assert of_person or state in NOT_TORN, "what it needs was torn down"

    # ── branches ──

    def note_left_out(
        self, event: AttemptSucceeded, before: dict[Where, InstanceRow]
    ) -> None:
        spec, (name, index) = self.world.spec, event.attempt[1:3]
        direct = [t for t in spec.tasks if name in spec.tasks[t].upstream]
        found = set[TaskId]()
        if event.chosen is not None:
            kept = {*event.chosen, *(b for t in event.chosen for b in self.oracle.below(t))}
            found |= {t for t in direct if t not in kept}
        if event.halts:
            found |= self.oracle.below(name) if event.halts == "all" else set(direct)
        group = spec.tasks[name].mapped_group
        past = {key for key, row in before.items() if row.state in OUT | LATER}
        for task_id in found:
            task = spec.tasks[task_id]
            if not task.teardown and (index < 0 or group == task.mapped_group != ""):
                marks = self.left_out.setdefault((task_id, index), {})
                marks[name, index] = past

    def is_left_out(self, where: Where) -> bool:
        marks = [self.left_out.get(w, {}) for w in {where, (where[0], UNMAPPED)}]
        return any(where not in past for found in marks for past in found.values())

    def forget_choices(self, of: Iterable[Where]) -> None:
        """These run again: what they chose before does not count any more."""
        for marks in self.left_out.values():
            for where in of:
                marks.pop(where, None)

    def set_up_again(self, event: Event, before: dict[Where, InstanceRow]) -> list[Where]:
        """Setups that nobody named, and that were cleared for what runs again."""
        of_mark = event.task_id if isinstance(event, MarkAsked) else None
        return [
            where
            for where, row in before.items()
            if self.world.spec.tasks[where[0]].setup and where[0] != of_mark
            if row != self.world.rows.instances[where]
        ]

    # ── what ended, and who hears of it ──

    def check_closed(self, event: Event, before: dict[Where, InstanceRow]) -> None:
        """What ended without being tried could never have run."""
        if isinstance(event, RetryAsked):
            return
        for where, row in self.world.outcome.instances.items():
            old = before.get(where)
            was = old.state if old else TaskState.NONE
            if row.state not in (TaskState.UPSTREAM_FAILED, TaskState.SKIPPED) or (
                was in ENDED | OUT or row.reason in ("cancelled", "nothing to expand over")
            ):
                continue
            if row.reason.startswith("left out by"):
                assert self.is_left_out(where), "no branch left it out"
            else:
                about = self.oracle.about(*where)
                assert about == "closed", f"{where} could still have run: {about}"

    def check_calls(self, event: Event, decisions: list[Decision], old: bool) -> None:
        """Exactly one for each end that has one."""
        calls = [(d.attempt, d.kind) for d in decisions if isinstance(d, Call)]
        expected = list[tuple[AttemptId, str]]()
        if isinstance(event, ENDS) and not old:
            at = event.attempt
            row = self.world.rows.instances[at[1:3]]
            kind = _KIND_OF_END.get(row.state, "")
            if kind in self.world.spec.tasks[at.task_id].callbacks:
                expected.append((at, kind))
        for decision in decisions:
            if isinstance(decision, CloseRun):
                kind = "success" if decision.state is RunState.SUCCESS else "failure"
                if kind in self.world.spec.callbacks:
                    expected.append((AttemptId(RUN, TaskId(""), UNMAPPED, 0), kind))
        assert calls == expected, "whoever should hear of an end"

    def has_timed_out(self, attempt: AttemptId) -> bool:
        timeout = self.world.spec.tasks[attempt.task_id].execution_timeout
        started_at = self.world.rows.instances[attempt[1:3]].started_at
        assert timeout is not None
        assert started_at is not None
        return self.world.now >= started_at + timeout

    def states_of(self, task_id: TaskId) -> set[TaskState]:
        """The states of a task's instances, as stored."""
        return set(self.oracle.instances(task_id).values())

    def ended_stays_ended(self, before: dict[tuple[TaskId, int], InstanceRow]) -> None:
        for key, row in before.items():
            if row.state in ENDED:
                assert self.world.rows.instances[key] == row, "an ended one changed"

    def ended_as_marked(self, where: Where, before: dict[Where, InstanceRow]) -> None:
        """An attempt that was killed for what a person said ends as that."""
        _, marked, said = before[where].stopping.partition("marked ")
        if marked:
            assert self.world.rows.instances[where].state == said.split()[0]

    @invariant()
    def the_run_makes_sense(self) -> None:
        if not self.begun:
            return
        run, rows = self.world.run, self.world.rows
        assert set(run.live_attempts()) == set(self.alive), "an attempt was forgotten"
        assert self.closed == int(rows.run.state in RUN_ENDED)
        loaded = rows.load(self.world.spec)
        found = differences(run, loaded)
        assert not found, f"a loaded run is another one: {found}"
        if rows.run.state is RunState.RUNNING:
            self.all_is_judged()
        for row in rows.instances.values():
            policy = self.world.spec.tasks[row.task_id].retry
            assert row.failures <= policy.retries + 1
            assert row.lost <= LOST_LIMIT + 1
            if row.state is TaskState.UP_FOR_RETRY:
                assert row.alarm is not None
                assert row.failures <= policy.retries
        if rows.run.state in RUN_ENDED:
            self.the_run_agrees_with_its_leaves()

    def all_is_judged(self) -> None:
        """What may run does not wait, and what cannot run any more is closed at once."""
        cancelled = self.world.rows.run.cancelled
        for task in self.world.spec.tasks.values():
            if cancelled and (not task.teardown or self.cancels > 1):
                continue
            found = self.oracle.instances(task.task_id) or {UNMAPPED: TaskState.NONE}
            for index, state in found.items():
                if state is TaskState.NONE:
                    self.it_must_wait(task.task_id, index)

    def it_must_wait(self, task_id: TaskId, index: int) -> None:
        grouped = self.world.spec.tasks[task_id].mapped_group
        about = self.oracle.about(task_id, index if grouped else UNMAPPED)
        waits = about == "wait" or (about == "run" and task_id in self.waits_past)
        assert waits, f"{task_id}[{index}] waits, and should not: {about}"
        marks = [self.left_out.get(w) for w in ((task_id, index), (task_id, UNMAPPED))]
        assert not any(marks), f"{task_id}[{index}] waits, and was left out"

    def the_run_agrees_with_its_leaves(self) -> None:
        run = self.world.rows.run
        everything = [s for t in self.world.spec.tasks for s in self.states_of(t)]
        assert set(everything) <= ENDED, "the run ended before its tasks"
        leaves = {s for t in self.world.spec.leaves for s in self.states_of(t)}
        stopped = run.cancelled and leaves != {TaskState.SUCCESS} and bool(leaves)
        failed = bool(leaves & BAD) or stopped
        assert run.state is (RunState.FAILED if failed else RunState.SUCCESS)
        assert bool(run.reason) == stopped

    def replay_agrees(self) -> None:
        again = replay(Run(self.world.spec, RunRow(run_id=RUN)), self.world.log)
        loaded = self.world.rows.load(self.world.spec)
        found = differences(again, loaded)
        assert not found, f"a replay makes another run: {found}"


_KIND_OF_END = {
    TaskState.SUCCESS: "success",
    TaskState.FAILED: "failure",
    TaskState.UP_FOR_RETRY: "retry",
    TaskState.SKIPPED: "skipped",
}


def differences(one: Run, other: Run) -> dict[str, object]:
    """Where two runs are not the same; for people, only that."""
    left, right = anatomy(one), anatomy(other)
    if left == right:
        return {}
    left |= {f"task {task_id}": node for task_id, node in left.pop("nodes").items()}
    right |= {f"task {task_id}": node for task_id, node in right.pop("nodes").items()}
    return {key: (left[key], right[key]) for key in left if left[key] != right[key]}


def success_of(attempt: AttemptId, length: int | None) -> AttemptSucceeded:
    return AttemptSucceeded(attempt, {} if length is None else {"return_value": length})
