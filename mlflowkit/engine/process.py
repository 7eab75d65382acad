"""The engine of a home: a single thread that owns runs until they end.

    wait ──▶ reports of executors, commands of people, alarms ──▶ a turn ──▶ carry out ──▶ wait

It can be killed at any moment: what it has saved is enough for the next one to go on.
"""

from __future__ import annotations

import heapq
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy.exc import OperationalError

from mlflowkit.core.decisions import Call, Kill, Launch
from mlflowkit.core.events import (
    AttemptLost,
    AttemptStarted,
    CancelAsked,
    Event,
    PastSettled,
    RetryAsked,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.spec import AttemptId, DagSpec, RunId, TaskId
from mlflowkit.core.states import RUN_ENDED, RunState
from mlflowkit.engine import failpoints, past
from mlflowkit.engine.answers import Answers
from mlflowkit.engine.failpoints import failpoint
from mlflowkit.engine.gates import Gates
from mlflowkit.engine.locks import HomeLock, bury_earlier_engines, engine_folder
from mlflowkit.engine.loop import SelectLoop
from mlflowkit.engine.owned import OwnedRun, Slice
from mlflowkit.engine.schedules import Schedules
from mlflowkit.engine.service_attempts import (
    ServiceAttempts,
    callback_arguments,
    callback_id,
    is_service,
)
from mlflowkit.engine.services import ServiceProcesses
from mlflowkit.engine.turn import TurnResult, Turns
from mlflowkit.errors import (
    BadPool,
    HomeUnwritable,
    PoolMissing,
    RunNotFound,
    RunStillRunning,
    TaskNotInRun,
)
from mlflowkit.ports import Executor, Loop, Report, RunRequest, Surroundings
from mlflowkit.store import runs as stored
from mlflowkit.store import xcoms
from mlflowkit.store.database import Database, Transaction, open_database
from mlflowkit.store.pools import get_pools
from mlflowkit.store.runs import OutboxEntry, StoredRun
from mlflowkit.worker import processes

log = logging.getLogger("mlflowkit.engine")
#: "started" alone is worth no transaction of its own for so long: its end may follow at once.
LINGER_SECONDS = 0.004
TRY_AGAIN_SECONDS = 1.0


class LocalExecutorPort(Executor, Protocol):
    """An executor that wants to be told when a turn's launches are all there."""

    def flush(self) -> None: ...


MakeExecutor = Callable[[Loop, "EngineProcess", Path, str], LocalExecutorPort]


class EngineProcess:
    """One engine. Used from one thread; `wake` and `stop` may be called from others."""

    def __init__(
        self,
        home: Path,
        make_executor: MakeExecutor,
        slice_: Slice,
        *,
        synchronous: str = "NORMAL",
        failpoints_text: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        failpoints.arm(failpoints_text)
        self.home, self._clock, self._slice = home, clock, slice_
        self.engine_id = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = HomeLock(home)
        try:
            self.database: Database = open_database(home, synchronous=synchronous)
            last = self._take_over()
        except BaseException:
            self._lock.release()
            raise
        self.loop = SelectLoop()
        self.services = ServiceProcesses()
        self._owned: dict[RunId, OwnedRun] = {}
        self.gates = Gates(self._owned, self._retry_waits)
        #: By DAG, the runs with tasks that wait for the run before.
        self._with_past: dict[str, set[RunId]] = {}
        self.schedules = Schedules(self)
        watchers = self.schedules.watchers
        self._turns = Turns(self.database, self.engine_id, clock, last, watchers)
        self._executor = make_executor(self.loop, self, self.folder, self.engine_id)
        self.service_attempts = ServiceAttempts(self._executor.launch)
        self._answers = Answers(self)
        self._reports: list[Report] = []
        self._events: list[tuple[RunId, Event]] = []
        self._again: list[OutboxEntry] = []
        self._alarms: list[tuple[datetime, RunId]] = []
        self._watchers: dict[RunId, list[Callable[[RunState], None]]] = {}
        self._started_at: float | None = None
        self.stopping = False
        self.last_busy = time.monotonic()

    def _take_over(self) -> int:
        """Nothing of an earlier engine lives on, and only this one writes. Returns the last
        number of the outbox."""
        self.folder = engine_folder(self.home, self.engine_id)
        self._alive = processes.hold_shared(self.folder / "alive.lock")
        bury_earlier_engines(self.home, self.engine_id)
        with self._saving() as tx:
            stored.take_lease(tx, self.engine_id, os.getpid(), self._clock())
            return stored.last_outbox_id(tx)

    # ── what executors tell and ask (ports.Engine) ──────────────────────────

    def report(self, report: Report) -> None:
        failpoint("report.before")
        if is_service(report.event.attempt):
            self.service_attempts.heard(report)
        else:
            self._reports.append(report)

    def ask(self, attempt: AttemptId, what: str, arguments: Mapping[str, Any]) -> Any:
        return self._answers.ask(attempt, what, arguments)

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

    # ── what people ask ─────────────────────────────────────────────────────

    def submit(self, request: RunRequest) -> RunId:
        """A new run, saved before this returns. It opens when its DAG has room for it.

        Raises:
            PoolMissing, BadPool: a task of it can never start.
            RunExists: its id is taken.
        """
        with self._saving() as tx:
            _check_pools(tx, request)
            run_id = stored.create_run(tx, request, self.engine_id, self._clock())
        self.begin(run_id)
        return run_id

    def begin(self, run_id: RunId, backfill_limit: int | None = None) -> None:
        """Take a queued run that was saved, and open it when there is room."""
        self._own(run_id)
        self.gates.wait(run_id, backfill_limit)
        self.loop.wake()

    def begin_new(
        self, found: Iterable[StoredRun], backfill_limit: int | None = None
    ) -> None:
        """The same for runs that this engine has just made: nobody need read them."""
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
        self._events.append((run_id, CancelAsked()))
        if not self._retry_waits(run_id):
            self._disown(run_id)

    def retry(
        self,
        run_id: RunId,
        task_ids: tuple[TaskId, ...] = (),
        code: tuple[str, bytes, Surroundings] | None = None,
    ) -> None:
        """Run again what did not succeed (or these tasks and all below), XComs of the rest kept.

        Args:
            run_id: A run that has ended.
            task_ids: Only these, and what waits for them.
            code: Bundle, spec as JSON and surroundings to go on with; None keeps the run's own.

        Raises:
            RunNotFound: there is no such run.
            RunStillRunning: it has not ended.
            TaskNotInRun: it has no such task.
        """
        if self._retry_waits(run_id):
            raise RunStillRunning(run_id)
        self._disown(run_id)
        with self._saving() as tx:
            found = stored.load_run(tx, run_id)
            if found is None:
                raise RunNotFound(run_id, [])
            if not found.run.ended:
                raise RunStillRunning(run_id)
            for unknown in set(task_ids) - found.run.nodes.keys():
                raise TaskNotInRun(run_id, unknown, found.run.nodes)
            if code is not None:
                stored.change_code(tx, found.run_key, *code)
        self._own(run_id)
        self._events.append((run_id, RetryAsked(task_ids)))
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

    def let_go(self, run_id: RunId) -> bool:
        """Forget a run that waits to open. Whether it does; one under way stays."""
        if not self.gates.forget(run_id):
            return False
        del self._owned[run_id]
        for tell in self._watchers.pop(run_id, []):
            tell(RunState.QUEUED)
        return True

    def _retry_waits(self, run_id: RunId) -> bool:
        return any(r == run_id and isinstance(e, RetryAsked) for r, e in self._events)

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
            entries = stored.read_outbox(tx, owned.run_key, run_id)
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
            self.gates.wait(run_id, self.schedules.backfill_limit(owned))
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
        with self._saving() as tx:
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
    def _saving(self) -> Generator[Transaction, None, None]:
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

    # ── the loop ────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        """Whether some run has not ended, or something waits for a turn."""
        waiting = self._events or self._reports or self._again or self.service_attempts
        planning = self.schedules.planning
        return (
            bool(waiting) or planning or any(not r.run.ended for r in self._owned.values())
        )

    def serve(self, until: Callable[[], bool]) -> None:
        """Work until `until()` says so, or `stop`."""
        while not self.stopping and not until():
            if not self._lock.holds():
                log.error(
                    "the home is gone; so is its engine", extra={"action": "home_gone"}
                )
                return
            self.loop.run_once(self._timeout())
            self._ring_alarms()
            self.schedules.tick()
            self._open_runs()
            self._turn_if_due()
            self._flush_services()
            self.services.reap()

    def stop(self) -> None:
        """Leave `serve` soon."""
        self.stopping = True
        self.loop.wake()

    def close(self) -> None:
        """Kill what runs, and leave nothing behind. Runs that have not ended stay as they are."""
        self._executor.close()
        self.database.close()
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._alive)
        self._lock.release()

    def _timeout(self) -> float | None:
        if self._events or self._again:
            return 0
        until: list[float] = []
        if self._reports:
            if self._started_at is None:  # they came after the last turn
                return 0
            until.append(self._started_at + LINGER_SECONDS - time.monotonic())
        if self._alarms:
            until.append((self._alarms[0][0] - self._clock()).total_seconds())
        until += self.schedules.seconds_left()
        if not until:
            return 1.0
        return min(max(min(until), 0), 1.0)

    def _ring_alarms(self) -> None:
        now = self._clock()
        due: set[RunId] = set()
        while self._alarms and self._alarms[0][0] <= now:
            due.add(heapq.heappop(self._alarms)[1])
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

    def _flush_services(self) -> None:
        if self.service_attempts.launched:
            self.service_attempts.launched = False
            self._executor.flush()

    def _turn_if_due(self) -> None:
        if self._again:
            again, self._again = self._again, []
            self._carry_out(again)
        if not self._reports and not self._events:
            return
        only_starts = all(isinstance(r.event, AttemptStarted) for r in self._reports)
        if only_starts and not self._events:
            now = time.monotonic()
            self._started_at = self._started_at or now
            if now < self._started_at + LINGER_SECONDS:
                return
        self._started_at = None
        reports, self._reports = self._reports, []
        events, self._events = self._events, []
        before = set(self._owned)
        try:
            result = self._turns.take(self._owned, reports, events, self._executor.places())
        except OperationalError as exc:
            self._reports, self._events = reports, events
            self._try_later(before - self._owned.keys(), exc)
            return
        self.last_busy = time.monotonic()
        self._after(result)
        touched = {r.event.attempt.run_id for r in reports} | {r for r, _ in events}
        self._news(touched, result)

    def _try_later(self, dropped: set[RunId], exc: Exception) -> None:
        """The store cannot be written (a full disk): nothing was saved, so all of it waits."""
        log.error(
            "the store cannot be written: %s. Trying again in %s s.",
            exc,
            TRY_AGAIN_SECONDS,
            extra={"action": "store_not_written"},
        )
        time.sleep(TRY_AGAIN_SECONDS)
        with self.database.reading() as tx:
            for run_id in dropped:
                found = stored.load_run(tx, run_id)
                if found is not None:
                    self._keep(found)

    def _after(self, result: TurnResult) -> None:
        for when, run_id in result.wakes:
            heapq.heappush(self._alarms, (when, run_id))
        self._carry_out(result.entries)
        for run_id, state in result.closed:
            self._owned.pop(run_id, None)
            log.info(
                "run ended",
                extra={"action": "run_ended", "run_id": run_id, "state": str(state)},
            )
            for tell in self._watchers.pop(run_id, []):
                tell(state)

    def _news(self, touched: set[RunId], result: TurnResult) -> None:
        """What other runs may wait for: the past of their tasks, room in their DAG, assets."""
        dag_ids = {run_id.rpartition("/")[0] for run_id in touched}
        for dag_id in dag_ids:
            self._settle_past(dag_id)
        closed = {run_id.rpartition("/")[0] for run_id, _ in result.closed}
        self.gates.stir(closed)
        self.schedules.runs_ended(closed)
        self.schedules.assets_updated(result.stirred)

    def _carry_out(self, entries: list[OutboxEntry]) -> None:
        """What was decided and saved. Twice is harmless: executors know an attempt by its id."""
        if entries:
            failpoint("carry_out.before")
        for number, entry in enumerate(entries):
            if number:
                failpoint("carry_out.middle")
            decision = entry.decision
            owned = self._owned.get(decision.attempt.run_id)
            if isinstance(decision, Kill):
                self._executor.kill(decision.attempt, decision.why)
            elif isinstance(decision, Call):
                self._call_back(entry, decision, owned)
                continue  # it is carried out when it has been called
            elif owned is not None:
                self._executor.launch(
                    owned.order(decision.attempt, self._fetch, self._slice)
                )
            self._turns.carried_out(entry)
        self._executor.flush()
        if entries:
            failpoint("launch.after")

    def _call_back(self, entry: OutboxEntry, call: Call, owned: OwnedRun | None) -> None:
        """Have code of a person called. It may outlive the run, and the engine."""
        with self.database.reading() as tx:
            facts = xcoms.facts_of_attempt(tx, entry.run_key, call.attempt)
            if owned is None:
                found = stored.load_run(tx, call.attempt.run_id)
                owned = OwnedRun(found, self.home) if found is not None else None
        if owned is None:
            self._turns.carried_out(entry)
            return
        order = owned.service_order(
            callback_id(call, entry.entry_id),
            "callback",
            callback_arguments(call, facts),
            facts.get("try_number", 1),
        )
        self.service_attempts.start(order, partial(self._called, entry))

    def _called(self, entry: OutboxEntry, answer: bytes | None, why: str) -> None:
        """Forgotten at once: there may be no more turns, and it is not to be called again."""
        with self.database.writing() as tx:
            stored.drop_outbox(tx, [entry.entry_id])

    def take_up_calls(self) -> None:
        """Callbacks that an earlier engine had still to make."""
        with self.database.reading() as tx:
            entries = stored.pending_calls(tx)
        self._carry_out(entries)

    def _fetch(self, run_key: int, task_id: str, key: str, map_index: int) -> Any:
        with self.database.reading() as tx:
            return xcoms.get_xcom(tx, run_key, task_id, key, map_index)


def _check_pools(tx: Transaction, request: RunRequest) -> None:
    """Raises PoolMissing, BadPool if a task could never get its slots."""
    spec = msgspec.json.decode(request.spec_json, type=DagSpec)
    pools = get_pools(tx)
    for task in spec.tasks.values():
        if task.pool not in pools:
            raise PoolMissing(task.pool, pools)
        if 0 <= pools[task.pool] < task.pool_slots:
            why = (
                f"has {pools[task.pool]} slots, and task {task.task_id!r} needs "
                f"{task.pool_slots}: give the pool more, or the task fewer (pool_slots=)."
            )
            raise BadPool(task.pool, why)


def decode_request(body: Mapping[str, Any]) -> RunRequest:
    """A `RunRequest` as a client sent it."""
    return msgspec.convert(body, RunRequest)


def idle_for(engine: EngineProcess, limit: timedelta) -> bool:
    """Whether an engine has had nothing to do for so long that it may end."""
    return not engine.busy and time.monotonic() - engine.last_busy > limit.total_seconds()
