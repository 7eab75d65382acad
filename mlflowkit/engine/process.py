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
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy.exc import OperationalError

from mlflowkit.core.events import (
    AttemptStarted,
)
from mlflowkit.core.spec import AttemptId, RunId
from mlflowkit.engine import failpoints
from mlflowkit.engine.answers import Answers
from mlflowkit.engine.backfills import Backfills
from mlflowkit.engine.carrying_out import CarryingOut
from mlflowkit.engine.failpoints import failpoint
from mlflowkit.engine.later import Later
from mlflowkit.engine.locks import HomeLock, bury_earlier_engines, engine_folder
from mlflowkit.engine.loop import SelectLoop
from mlflowkit.engine.owned import Slice
from mlflowkit.engine.published_dags import PublishedDags
from mlflowkit.engine.runs_in_hand import RunsInHand
from mlflowkit.engine.schedules import Schedules
from mlflowkit.engine.service_attempts import (
    ServiceAttempts,
    is_service,
)
from mlflowkit.engine.services import ServiceProcesses
from mlflowkit.engine.turn import TurnResult, Turns
from mlflowkit.ports import Executor, HeldKernels, Loop, Report, RunRequest
from mlflowkit.store import leases, outbox
from mlflowkit.store import runs as stored
from mlflowkit.store.database import open_database
from mlflowkit.worker import processes

log = logging.getLogger("mlflowkit.engine")
#: "started" alone is worth no transaction of its own for so long: its end may follow at once.
LINGER_SECONDS = 0.004
TRY_AGAIN_SECONDS = 1.0


class LocalExecutorPort(Executor, Protocol):
    """An executor that wants to be told when a turn's launches are all there."""

    def flush(self) -> None: ...


MakeExecutor = Callable[[Loop, "EngineProcess", Path, str], LocalExecutorPort]


class EngineProcess(RunsInHand):
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
        kernels: HeldKernels | None = None,
    ) -> None:
        failpoints.arm(failpoints_text)
        engine_id = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = HomeLock(home)
        try:
            database = open_database(home, synchronous=synchronous)
            super().__init__(home, database, engine_id, clock, kernels)
            last = self._take_over()
        except BaseException:
            self._lock.release()
            raise
        self.loop = SelectLoop()
        self.services = ServiceProcesses()
        self.later = Later()
        self.schedules = Schedules(self)
        self.dags = PublishedDags(self, self.schedules.changed)
        self.backfills = Backfills(self)
        watchers = self.schedules.assets.watchers
        self._turns = Turns(self.database, self.engine_id, clock, last, watchers)
        self._executor = make_executor(self.loop, self, self.folder, self.engine_id)
        self.service_attempts = ServiceAttempts(self._executor.launch)
        self.carrying_out = CarryingOut(self, self._executor, self._turns, slice_)
        self._answers = Answers(self)
        self._started_at: float | None = None
        self.stopping = False
        self.last_busy = time.monotonic()

    def _take_over(self) -> int:
        """Nothing of an earlier engine lives on, and only this one writes. Returns the last
        number of the outbox."""
        self.folder = engine_folder(self.home, self.engine_id)
        self._alive = processes.hold_shared(self.folder / "alive.lock")
        bury_earlier_engines(self.home, self.engine_id)
        with self.saving() as tx:
            leases.take(tx, self.engine_id, os.getpid(), self._clock())
            return outbox.last_id(tx)

    # ── what executors tell and ask (ports.Engine) ──────────────────────────

    def report(self, report: Report) -> None:
        failpoint("report.before")
        if is_service(report.event.attempt):
            self.service_attempts.heard(report)
        else:
            self._reports.append(report)

    def ask(self, attempt: AttemptId, what: str, arguments: Mapping[str, Any]) -> Any:
        return self._answers.ask(attempt, what, arguments)

    # ── the loop ────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        """Whether some run has not ended, or something waits for a turn."""
        waiting = self._events or self._reports or self._again or self.service_attempts
        held_up = self.schedules.planning or self.later
        under_way = any(not r.run.ended for r in self._owned.values())
        return bool(waiting) or bool(held_up) or under_way

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
            self.later.again()
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
        until += self.later.seconds_left()
        until += self.open_kernels.seconds_left()
        if not until:
            return 1.0
        return min(max(min(until), 0), 1.0)

    def _flush_services(self) -> None:
        if self.service_attempts.launched:
            self.service_attempts.launched = False
            self._executor.flush()

    def _turn_if_due(self) -> None:
        if self._again:
            again, self._again = self._again, []
            self.carrying_out.work(again)
        told = self._reports or self._events
        if not told and not self._turns.pools_changed(self._owned):
            return
        only_starts = all(isinstance(r.event, AttemptStarted) for r in self._reports)
        if self._reports and only_starts and not self._events:
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
        self.carrying_out.work(result.entries)
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
        self.backfills.runs_ended(closed)
        self.schedules.runs_ended(closed)
        self.schedules.assets_updated(result.stirred)


def decode_request(body: Mapping[str, Any]) -> RunRequest:
    """A `RunRequest` as a client sent it."""
    return msgspec.convert(body, RunRequest)


def idle_for(engine: EngineProcess, limit: timedelta) -> bool:
    """Whether an engine has had nothing to do for so long that it may end."""
    return not engine.busy and time.monotonic() - engine.last_busy > limit.total_seconds()
