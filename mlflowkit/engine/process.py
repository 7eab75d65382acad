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
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mlflowkit.core.decisions import Kill
from mlflowkit.core.events import (
    AttemptLost,
    AttemptStarted,
    CancelAsked,
    Event,
    RetryAsked,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.spec import RETURN_VALUE, AttemptId, RunId, TaskId
from mlflowkit.core.states import RunState, TaskState
from mlflowkit.engine import failpoints
from mlflowkit.engine.failpoints import failpoint
from mlflowkit.engine.locks import HomeLock, bury_earlier_engines, engine_folder
from mlflowkit.engine.loop import SelectLoop
from mlflowkit.engine.owned import OwnedRun, Slice
from mlflowkit.engine.services import ServiceProcesses
from mlflowkit.engine.turn import TurnResult, Turns
from mlflowkit.errors import (
    HomeUnwritable,
    InternalError,
    RunNotFound,
    RunStillRunning,
    TaskNotInRun,
)
from mlflowkit.ports import Executor, Loop, Report, RunRequest, Surroundings
from mlflowkit.store import runs as stored
from mlflowkit.store import xcoms
from mlflowkit.store.database import Database, Transaction, open_database
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
        self._turns = Turns(self.database, self.engine_id, clock, last)
        self._executor = make_executor(self.loop, self, self.folder, self.engine_id)
        self._owned: dict[RunId, OwnedRun] = {}
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
        self._reports.append(report)

    def ask(self, attempt: AttemptId, what: str, arguments: Mapping[str, Any]) -> Any:
        answers: dict[str, Callable[..., Any]] = {
            "xcom": self._answer_xcom,
            "xcom_count": self._answer_count,
            "xcom_page": self._answer_page,
            "service_start": self._answer_service_start,
            "service_stop": self._answer_service_stop,
        }
        if what not in answers:
            raise InternalError(f"the engine has no answer to {what!r}")
        try:
            return answers[what](attempt, **arguments)
        except (TypeError, KeyError, ValueError, OSError, SQLAlchemyError) as exc:
            log.exception("no answer to %s", what, extra={"action": "ask_failed"})
            raise InternalError(f"the engine could not answer {what!r}: {exc}") from exc

    def _answer_xcom(
        self, attempt: AttemptId, task_id: str, key: str, map_index: int
    ) -> Any:
        owned = self._owned[attempt.run_id]
        with self.database.reading() as tx:
            value = xcoms.get_xcom(tx, owned.run_key, task_id, key, map_index)
            keys = xcoms.keys_of(tx, owned.run_key, task_id) if value is None else []
        instance = owned.run.nodes[TaskId(task_id)].instances.get(map_index)
        succeeded = instance is not None and instance.state is TaskState.SUCCESS
        missing = (
            succeeded and key != RETURN_VALUE
        )  # a task that returned nothing gives None
        return {"value": value, "succeeded": missing, "keys": keys}

    def _answer_count(self, attempt: AttemptId, task_id: str, key: str) -> int:
        owned = self._owned[attempt.run_id]
        with self.database.reading() as tx:
            return xcoms.count_xcoms(tx, owned.run_key, task_id, key)

    def _answer_page(
        self, attempt: AttemptId, task_id: str, key: str, offset: int, limit: int
    ) -> Any:
        owned = self._owned[attempt.run_id]
        with self.database.reading() as tx:
            return xcoms.page_xcoms(
                tx, owned.run_key, task_id, key, offset=offset, limit=limit
            )

    def _answer_service_start(
        self,
        attempt: AttemptId,
        name: str,
        argv: list[str],
        env: dict[str, str],
        log: str,
    ) -> int:
        return self.services.start(name, argv, env, Path(log))

    def _answer_service_stop(self, attempt: AttemptId, name: str) -> None:
        self.services.stop(name)

    # ── what people ask ─────────────────────────────────────────────────────

    def submit(self, request: RunRequest) -> RunId:
        """A new run, saved before this returns."""
        with self._saving() as tx:
            run_id = stored.create_run(tx, request, self.engine_id, self._clock())
        self._own(run_id)
        self._events.append((run_id, RunOpened()))
        return run_id

    def cancel(self, run_id: RunId) -> None:
        """Stop a run: what runs is killed, what waits is skipped. Nothing, if it has ended.

        Raises:
            RunNotFound: there is no such run.
        """
        self.resume(run_id)  # one that was interrupted has attempts that are known dead
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
        saved = {
            e.decision.attempt for e in entries if not isinstance(e.decision, Kill)
        } & live
        for entry in entries:
            if entry.decision.attempt in saved and not isinstance(entry.decision, Kill):
                self._again.append(entry)
            else:
                self._turns.carried_out(entry)
        why = "the engine that ran it died"
        self._reports += [Report(event=AttemptLost(a, why)) for a in sorted(live - saved)]
        if owned.run.row.state is RunState.QUEUED:
            self._events.append((run_id, RunOpened()))

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
        self._owned[run_id] = OwnedRun(found, self.home)
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
        waiting = self._events or self._reports or self._again
        return bool(waiting) or any(not r.run.ended for r in self._owned.values())

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
            self._turn_if_due()
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
        if not until:
            return 1.0
        return min(max(min(until), 0), 1.0)

    def _ring_alarms(self) -> None:
        now = self._clock()
        due: set[RunId] = set()
        while self._alarms and self._alarms[0][0] <= now:
            due.add(heapq.heappop(self._alarms)[1])
        self._events += [(run_id, TimePassed()) for run_id in sorted(due)]

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
            elif owned is not None:
                self._executor.launch(
                    owned.order(decision.attempt, self._fetch, self._slice)
                )
            self._turns.carried_out(entry)
        self._executor.flush()
        if entries:
            failpoint("launch.after")

    def _fetch(self, run_key: int, task_id: str, key: str, map_index: int) -> Any:
        with self.database.reading() as tx:
            return xcoms.get_xcom(tx, run_key, task_id, key, map_index)


def decode_request(body: Mapping[str, Any]) -> RunRequest:
    """A `RunRequest` as a client sent it."""
    return msgspec.convert(body, RunRequest)


def idle_for(engine: EngineProcess, limit: timedelta) -> bool:
    """Whether an engine has had nothing to do for so long that it may end."""
    return not engine.busy and time.monotonic() - engine.last_busy > limit.total_seconds()
