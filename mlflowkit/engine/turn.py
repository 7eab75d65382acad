"""A turn: all waiting events, one transaction, and only then what was decided.

    events ──▶ machine.handle ──▶ rows, log, outbox in ONE transaction ──▶ commit ──▶ carry out

A decision is carried out after the commit that holds it, never before. If the
process dies in between, the outbox still has it, and the next engine works it again.
If the transaction fails, the runs it touched are read from the store anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlflowkit.core.decisions import CloseRun, Launch, WakeAt
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
from mlflowkit.core.machine import Outcome, Run, handle
from mlflowkit.core.offers import give_out
from mlflowkit.core.spec import AttemptId, RunId
from mlflowkit.core.states import HOLDS_PLACE, RunState, TaskState
from mlflowkit.engine.failpoints import failpoint
from mlflowkit.engine.limits import Pools
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.errors import IllegalEvent, LeaseLost
from mlflowkit.ports import Report
from mlflowkit.store import assets, cached, leases, outbox, run_log, xcoms
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Database, Transaction
from mlflowkit.store.outbox import OutboxEntry

log = logging.getLogger("mlflowkit.engine")
_OUTCOMES = {
    AttemptSucceeded: "succeeded",
    AttemptSkipped: "skipped",
    AttemptRescheduled: "rescheduled",
    AttemptFailed: "failed",
    AttemptLost: "lost",
}


@dataclass
class _Work:
    """What a turn has for one run."""

    owned: OwnedRun
    reports: list[Report] = field(default_factory=list[Report])
    events: list[Event] = field(default_factory=list[Event])
    log: list[tuple[Event, datetime]] = field(default_factory=list[tuple[Event, datetime]])
    outcome: Outcome = field(default_factory=Outcome)
    xcom_rows: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    attempt_rows: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    #: Assets that were updated: (uri, extra as JSON, by which attempt).
    assets: list[tuple[str, bytes, AttemptId]] = field(
        default_factory=list[tuple[str, bytes, AttemptId]]
    )
    #: Results to keep: (key, the attempt that made it).
    results: list[tuple[str, AttemptId]] = field(
        default_factory=list[tuple[str, AttemptId]]
    )
    cleared: bool = False


@dataclass
class TurnResult:
    """What is to be done now that a turn is saved."""

    entries: list[OutboxEntry]
    wakes: list[tuple[datetime, RunId]]
    closed: list[tuple[RunId, RunState]]
    #: DAGs that wait for an asset which was updated.
    stirred: set[str]
    #: Anything changed at all.
    changed: bool


class Turns:
    """Makes turns for the runs of one engine."""

    def __init__(
        self,
        database: Database,
        engine_id: str,
        clock: Callable[[], datetime],
        last_entry: int,
        watchers: Callable[[str], Collection[str]],
    ) -> None:
        self._database, self._engine_id, self._clock = database, engine_id, clock
        self._pools, self._watchers = Pools(database), watchers
        self._next_entry = last_entry + 1
        self._done_entries: list[int] = []

    def carried_out(self, entry: OutboxEntry) -> None:
        """To be forgotten with the next commit."""
        self._done_entries.append(entry.entry_id)

    def pools_changed(self, owned: Mapping[RunId, OwnedRun]) -> bool:
        """Whether a person has changed a pool, and somebody waits for a place. It is looked
        at seldom, and not at all while nobody waits."""
        if not self._pools.is_time():
            return False
        waits = any(one.run.ready and not one.run.ended for one in owned.values())
        return waits and self._pools.changed()

    def take(
        self,
        owned: dict[RunId, OwnedRun],
        reports: Iterable[Report],
        events: Iterable[tuple[RunId, Event]],
        places: int,
    ) -> TurnResult:
        """One turn.

        Args:
            owned: The runs of this engine. Those whose transaction fails are dropped from it.
            reports: What executors told, in order.
            events: What people and alarms told.
            places: How many attempts the executor would take now, before these reports.

        Raises:
            LeaseLost: another engine has taken over. Nothing was saved.
        """
        now = self._clock()
        works = self._sort(owned, reports, events)
        for work in works.values():
            self._think(work, now)
        self._offer(owned, works, places, now)
        try:
            with self._database.writing() as tx:
                entries = self._save(tx, works, now)
                failpoint("turn.before_commit")
        except BaseException:
            for run_id in works:
                owned.pop(run_id, None)  # what is in memory is not what is in the store
            raise
        failpoint("turn.after_commit")
        return self._result(works, entries)

    def _sort(
        self,
        owned: dict[RunId, OwnedRun],
        reports: Iterable[Report],
        events: Iterable[tuple[RunId, Event]],
    ) -> dict[RunId, _Work]:
        works: dict[RunId, _Work] = {}
        for report in reports:
            run_id = report.event.attempt.run_id
            if run_id in owned:
                works.setdefault(run_id, _Work(owned[run_id])).reports.append(report)
        for run_id, event in events:
            if run_id in owned:
                works.setdefault(run_id, _Work(owned[run_id])).events.append(event)
        return works

    def _think(self, work: _Work, now: datetime) -> None:
        for report in work.reports:
            self._hear(work, report, now)
        for event in work.events:
            work.cleared |= isinstance(event, (RetryAsked, MarkAsked))
            self._apply(work, event, now)

    def _hear(self, work: _Work, report: Report, now: datetime) -> None:
        """An executor's report. What belongs to an older attempt leaves no trace."""
        event, owned = report.event, work.owned
        attempt = event.attempt
        node = owned.run.nodes.get(attempt.task_id)
        instance = node.instances.get(attempt.map_index) if node else None
        if (
            instance is None
            or instance.attempt != attempt.number
            or instance.state not in HOLDS_PLACE
        ):
            return
        queued_at, started_at = instance.queued_at, instance.started_at
        self._apply(work, event, now)
        if isinstance(event, AttemptStarted):
            return
        if isinstance(event, AttemptSucceeded):
            for key, value in report.values:
                work.xcom_rows.append(xcoms.xcom_row(owned.run_key, attempt, key, value))
                owned.remember(attempt.task_id, attempt.map_index, key, value)
            work.assets += [(uri, extra, attempt) for uri, extra in report.assets]
            if report.cache_key:
                work.results.append((report.cache_key, attempt))
        why = getattr(event, "why", "")
        if instance.state in (TaskState.FAILED, TaskState.UP_FOR_RETRY):
            why = instance.reason
        work.attempt_rows.append(
            xcoms.attempt_row(
                owned.run_key,
                attempt,
                _OUTCOMES[type(event)],
                reason=why,
                error=report.error,
                facts=report.facts,
                bundle=owned.bundle,
                queued_at=queued_at,
                started_at=started_at or instance.started_at,
                ended_at=now,
            )
        )

    def _apply(self, work: _Work, event: Event, now: datetime) -> int:
        """Returns how many attempts it launched. What a run cannot take changes nothing."""
        try:
            outcome = handle(work.owned.run, event, now)
        except IllegalEvent as exc:
            log.warning("event refused: %s", exc, extra={"action": "event_refused"})
            return 0
        if not outcome:
            return 0
        work.outcome.merge(outcome)
        work.log.append((event, now))
        return sum(isinstance(d, Launch) for d in outcome.decisions)

    def _offer(
        self,
        owned: dict[RunId, OwnedRun],
        works: dict[RunId, _Work],
        places: int,
        now: datetime,
    ) -> None:
        def take(run: Run, offered: PlacesOffered) -> int:
            work = works.get(run.run_id) or _Work(owned[run.run_id])
            launched = self._apply(work, offered, now)
            if launched:
                works[run.run_id] = work
            return launched

        runs = (one.run for one in owned.values())
        give_out(runs, places, self._pools.slots, take)

    def _save(
        self, tx: Transaction, works: dict[RunId, _Work], now: datetime
    ) -> list[OutboxEntry]:
        if leases.holder(tx) != self._engine_id:
            raise LeaseLost(self._engine_id)
        outbox.drop(tx, self._done_entries)
        entries: list[OutboxEntry] = []
        for work in works.values():
            if not work.outcome:
                continue
            key = work.owned.run_key
            if work.cleared:
                for task_id, index in work.outcome.instances:
                    xcoms.forget_xcoms(tx, key, task_id, index)
                work.owned.forget()
            stored.save_outcome(tx, key, work.outcome)
            xcoms.save_xcoms(tx, work.xcom_rows)
            xcoms.save_attempts(tx, work.attempt_rows)
            for uri, extra, attempt in work.assets:
                assets.add_event(tx, uri, extra, attempt, self._watchers(uri), now)
            for result, attempt in work.results:
                cached.keep_result(tx, result, key, attempt, now)
            work.owned.log_seq = run_log.append(tx, key, work.owned.log_seq, work.log)
            first = self._next_entry + len(entries)
            entries += outbox.put(tx, key, first, work.outcome.decisions)
        return entries

    def _result(self, works: dict[RunId, _Work], entries: list[OutboxEntry]) -> TurnResult:
        self._done_entries = []
        self._next_entry += len(entries)
        wakes = list[tuple[datetime, RunId]]()
        closed = list[tuple[RunId, RunState]]()
        for run_id, work in works.items():
            for decision in work.outcome.decisions:
                if isinstance(decision, WakeAt):
                    wakes.append((decision.when, run_id))
                elif isinstance(decision, CloseRun):
                    closed.append((run_id, decision.state))
        changed = any(work.outcome for work in works.values())
        updated = [uri for work in works.values() for uri, _, _ in work.assets]
        stirred = {dag_id for uri in updated for dag_id in self._watchers(uri)}
        return TurnResult(entries, wakes, closed, stirred, changed)
