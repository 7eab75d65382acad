"""The runs that an engine owns, and what people ask of them.

Each is saved before a person hears of it. What follows, a turn works out: nothing here
chooses a state.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import OperationalError

from mlflowkit.core.decisions import Call, Launch
from mlflowkit.core.events import (
    AttemptLost,
    CancelAsked,
    Event,
    MarkAsked,
    PastSettled,
    RetryAsked,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.spec import RunId, TaskId
from mlflowkit.core.states import RUN_ENDED, RunState
from mlflowkit.engine import past
from mlflowkit.engine.asked_of_instances import AskedOfInstances, refuse_parts
from mlflowkit.engine.backfills import Backfills
from mlflowkit.engine.gates import Gates
from mlflowkit.engine.loop import SelectLoop
from mlflowkit.engine.open_kernels import NoKernels, OpenKernels
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.engine.turn import Turns
from mlflowkit.errors import (
    HomeUnwritable,
    RunNotFound,
    RunStillRunning,
    TaskNotInRun,
)
from mlflowkit.ports import HeldKernels, Report, RunRequest, Surroundings
from mlflowkit.store import outbox
from mlflowkit.store import runs as stored
from mlflowkit.store.codec import decode_spec
from mlflowkit.store.database import Database, Transaction
from mlflowkit.store.new_runs import new_run
from mlflowkit.store.outbox import OutboxEntry
from mlflowkit.store.pools import check_pools
from mlflowkit.store.runs import StoredRun

log = logging.getLogger("mlflowkit.engine")


class RunsInHand(AskedOfInstances):
    """The runs of one engine. `EngineProcess` adds the loop that works on them."""

    backfills: Backfills
    loop: SelectLoop
    _turns: Turns

    def __init__(
        self,
        home: Path,
        database: Database,
        engine_id: str,
        clock: Callable[[], datetime],
        kernels: HeldKernels | None = None,
    ) -> None:
        self.home, self.database, self.engine_id = home, database, engine_id
        self._clock = clock
        self._owned: dict[RunId, OwnedRun] = {}
        self.gates = Gates(self._owned, self._retry_waits)
        self.kernels = kernels or NoKernels()
        self.open_kernels = OpenKernels(home, self._owned, self.kernels)
        #: By DAG, the runs with tasks that wait for the run before.
        self._with_past: dict[str, set[RunId]] = {}
        #: What waits for a turn: reports, events, and decisions to be carried out again.
        self._reports: list[Report] = []
        self._events: list[tuple[RunId, Event]] = []
        self._again: list[OutboxEntry] = []
        self._alarms: list[tuple[datetime, RunId]] = []
        self._watchers: dict[RunId, list[Callable[[RunState], None]]] = {}

    def owned_or_none(self, run_id: RunId) -> OwnedRun | None:
        return self._owned.get(run_id)

    def owned(self, run_id: RunId) -> OwnedRun:
        """A run of this engine.

        Raises:
            KeyError: it is none.
        """
        return self._owned[run_id]

    def all_owned(self) -> Iterable[OwnedRun]:
        """The runs of this engine."""
        return self._owned.values()

    def now(self) -> datetime:
        """The engine's clock: aware, UTC."""
        return self._clock()

    def submit(self, request: RunRequest) -> RunId:
        """A new run, saved before this returns. It opens when its DAG has room for it.

        Raises:
            PoolMissing, BadPool: a task of it can never start.
            RunExists: its id is taken.
        """
        with self.saving() as tx:
            check_pools(tx, decode_spec(request.spec_json))
            found = new_run(tx, request, self.engine_id, self._clock())
        self.begin([found])
        return found.run.run_id

    def begin(self, found: Iterable[StoredRun], backfill_limit: int | None = None) -> None:
        """Take queued runs that this engine has just saved, and open them when there is
        room. Writes nothing."""
        for one in found:
            self._keep(one)
            self.gates.wait(one.run.run_id, backfill_limit)
        self.loop.wake()

    def start_over(self, run_id: RunId) -> None:
        """Run all of a run again, whatever came of it.

        Raises:
            RunStillRunning: it has not ended.
        """
        with self.database.reading() as tx:
            spec = stored.spec_of(tx, run_id)
        if spec is None:
            raise RunNotFound(run_id, [])
        self.retry(run_id, tuple(spec.tasks))

    def cancel(self, run_id: RunId) -> None:
        """Stop a run: what runs is killed, what waits is skipped. Nothing, if it has ended.

        Raises:
            RunNotFound: there is no such run.
        """
        self.resume(run_id)  # one that was interrupted has attempts that are known dead
        self.gates.forget(run_id)
        self.kernels.release(run_id, (), opened=True)
        self._events.append((run_id, CancelAsked()))
        if not self._retry_waits(run_id):
            self._disown(run_id)

    def retry(
        self,
        run_id: RunId,
        task_ids: tuple[TaskId, ...] = (),
        code: tuple[str, bytes, Surroundings] | None = None,
        resume: str = "",
        alone: bool = False,
        parts: Mapping[TaskId, tuple[int, ...]] | None = None,
    ) -> None:
        """Run again what did not succeed (or these tasks and all below), XComs of the rest kept.

        Args:
            run_id: A run that has ended.
            task_ids: Only these, and what waits for them.
            code: Bundle, spec as JSON and surroundings to go on with; None keeps the run's own.
            resume: "cell": notebooks go on from the failed cell. Saved before it begins.
            alone: What waits for the named tasks keeps what it has, if it has ended.
            parts: Of these mapped tasks only these task instances, by map index.

        Raises:
            RunNotFound: there is no such run.
            RunStillRunning: it has not ended.
            TaskNotInRun: it has no such task.
            NotCleared: it has no such task instances.
        """
        chosen = parts or {}
        if self._retry_waits(run_id):
            raise RunStillRunning(run_id)
        self._disown(run_id)
        with self.saving() as tx:
            found = stored.load_run(tx, run_id)
            if found is None:
                raise RunNotFound(run_id, [])
            if not found.run.ended:
                raise RunStillRunning(run_id)
            for unknown in {*task_ids, *chosen} - found.run.nodes.keys():
                raise TaskNotInRun(run_id, unknown, found.run.nodes)
            refuse_parts(found.run, chosen)
            if code is not None:
                stored.change_code(tx, found.run_key, *code)
            stored.change_wish(tx, found.run_key, resume)
        if not resume:
            self.kernels.release(run_id, {*task_ids, *chosen}, opened=False)
        self._own(run_id)
        self._events.append((run_id, RetryAsked(task_ids, alone, chosen)))
        self.gates.opened(run_id)

    def retry_if_ended(self, run_id: RunId, *, whole: bool) -> bool:
        """Run a run again: all of it, or what did not succeed. One under way is left alone.
        Whether it was."""
        with self.database.reading() as tx:
            state = stored.state_of(tx, run_id)
        if state not in RUN_ENDED or self._retry_waits(run_id):
            return False
        if whole:
            self.start_over(run_id)
        else:
            self.retry(run_id)
        return True

    def let_go(self, run_id: RunId) -> None:
        """Forget a run that waits to open."""
        self.gates.forget(run_id)
        del self._owned[run_id]
        for tell in self._watchers.pop(run_id, []):
            tell(RunState.QUEUED)

    def _retry_waits(self, run_id: RunId) -> bool:
        """Whether a run that has ended is about to go on."""
        owned = self._owned.get(run_id)
        over = owned is not None and owned.run.ended
        kinds = (RetryAsked, MarkAsked) if over else RetryAsked
        return any(r == run_id and isinstance(e, kinds) for r, e in self._events)

    def interrupted(self) -> list[RunId]:
        """Runs that have not ended and that no living engine works on."""
        with self.database.reading() as tx:
            return [r for r, owner in stored.unfinished(tx) if owner != self.engine_id]

    def resume(self, run_id: RunId) -> None:
        """Go on with a run whose engine died. What it had out is lost, and starts anew."""
        if run_id in self._owned:
            return
        self._own(run_id)
        owned = self._owned.get(run_id)
        if owned is None or owned.run.ended:
            self._disown(run_id)
            return
        with self.database.reading() as tx:
            entries = outbox.read(tx, owned.run_key, run_id)
        live = set(owned.run.live_attempts())
        launches = (e.decision for e in entries if isinstance(e.decision, Launch))
        saved = {launch.attempt for launch in launches} & live
        for entry in entries:
            decision = entry.decision
            if isinstance(decision, Launch) and decision.attempt in saved:
                self._again.append(entry)
            elif not isinstance(decision, Call):  # those are taken up at the start
                self._turns.carried_out(entry)
        why = "the engine that ran it died"
        self._reports += [Report(event=AttemptLost(a, why)) for a in sorted(live - saved)]
        if owned.run.row.state is RunState.QUEUED:
            self.gates.wait(run_id, self.backfills.limit(owned))
        else:
            self.gates.opened(run_id)
        self._settle_past(owned.dag_id)

    def watch(self, run_id: RunId, tell: Callable[[RunState], None]) -> None:
        """Call back once, when the run has ended; at once if it has, or if nobody works on it."""
        with self.database.reading() as tx:
            found = stored.load_run(tx, run_id)
        if found is None:
            raise RunNotFound(run_id, [])
        if run_id not in self._owned:
            tell(found.run.row.state)
        else:
            self._watchers.setdefault(run_id, []).append(tell)

    def _own(self, run_id: RunId) -> None:
        if run_id in self._owned:
            return
        with self.saving() as tx:
            found = stored.load_run(tx, run_id)
            if found is None:
                raise RunNotFound(run_id, [])
            stored.take_run(tx, found.run_key, self.engine_id)
        self._keep(found)

    def _keep(self, found: StoredRun) -> None:
        run_id = found.run.run_id
        owned = self._owned[run_id] = OwnedRun(found, self.home)
        if past.has_past(owned):
            self._with_past.setdefault(owned.dag_id, set()).add(run_id)
        for when, _, _ in found.run.alarms:
            heapq.heappush(self._alarms, (when, run_id))

    @contextmanager
    def saving(self) -> Generator[Transaction, None, None]:
        """A transaction for what a person asked; if it cannot be saved, the person is told."""
        try:
            with self.database.writing() as tx:
                yield tx
        except OperationalError as exc:
            raise HomeUnwritable(self.home, str(exc.orig)) from exc

    def _disown(self, run_id: RunId) -> None:
        owned = self._owned.get(run_id)
        if owned is not None and owned.run.ended:
            del self._owned[run_id]

    def _ring_alarms(self) -> None:
        now = self._clock()
        due: set[RunId] = set()
        while self._alarms and self._alarms[0][0] <= now:
            due.add(heapq.heappop(self._alarms)[1])
        self._events += self.open_kernels.of_due(sorted(due), now)
        self._events += self.open_kernels.closed(now)
        self._events += [(run_id, TimePassed()) for run_id in sorted(due)]

    def _open_runs(self) -> None:
        for run_id in self.gates.opening():
            owned = self._owned[run_id]
            waits: tuple[TaskId, ...] = ()
            if past.has_past(owned):
                with self.database.reading() as tx:
                    waits = past.unsettled(tx, owned)
            self._events.append((run_id, RunOpened(waits)))

    def _settle_past(self, dag_id: str) -> None:
        """Runs of a DAG whose tasks wait for the run before: is there news for them?"""
        for run_id in sorted(self._with_past.get(dag_id, ())):
            owned = self._owned.get(run_id)
            if owned is None:
                self._with_past[dag_id].discard(run_id)
                continue
            nodes = owned.run.nodes.values()
            waiting = [n.spec.task_id for n in nodes if n.row.waits_past]
            if not waiting:
                continue
            with self.database.reading() as tx:
                still = past.unsettled(tx, owned)
            settled = tuple(t for t in waiting if t not in still)
            if settled:
                self._events.append((run_id, PastSettled(settled)))
