"""The scheduler: starts the runs that are due. A part of the engine, on while it plans.

It sleeps until the next moment that the store names, so a thousand DAGs cost nothing
while nothing is due. Times come from the planner; those of a person's own timetable are
asked for ahead, in a worker.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy.exc import OperationalError

from mlflowkit.core import planner
from mlflowkit.core.gates import scheduled_room
from mlflowkit.core.planner import Plan
from mlflowkit.core.spec import RunId
from mlflowkit.core.timetable import (
    DagRunInfo,
    DataInterval,
    Timetable,
    condition_met,
    is_custom,
    timetable_from_json,
)
from mlflowkit.core.timetable.assets import AssetTriggeredTimetable
from mlflowkit.engine.own_timetables import OwnTimetables
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.errors import (
    BadRunId,
    BadTimetable,
    DagNotPublished,
    PublishedElsewhere,
    RunExists,
)
from mlflowkit.ports import RunRequest
from mlflowkit.store import assets, backfills, planned, published
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction
from mlflowkit.store.new_runs import create_runs
from mlflowkit.store.published import Published
from mlflowkit.store.runs import StoredRun

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess

log = logging.getLogger("mlflowkit.engine")
SCHEDULED, ASSET, TRIGGERED = "scheduled", "asset_triggered", "operator_triggered"
#: Run types that the scheduler itself starts: a new scheduler takes them up.
ITS_OWN: Final = (SCHEDULED, ASSET, "backfill", TRIGGERED)
TRY_AGAIN_SECONDS: Final = 1.0
#: A run's own name: part of a path.
_RUN_ID: Final = re.compile(r"(?!\.{1,2}$)[\w.~:+-]{1,200}")
#: What a timetable raises that has no times.
_NO_TIMES: Final = (BadTimetable, OverflowError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderDag:
    """A DAG of a folder, for the scheduler. Plain data."""

    request: RunRequest
    file: str
    #: If it is new: whether it waits until a person unpauses it.
    paused: bool


@dataclass(frozen=True, slots=True)
class _Reruns:
    order: backfills.Order
    waiting: deque[RunId]


class Schedules:
    """The published DAGs of a home, as far as the engine must know them all the time."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine, self._database = engine, engine.database
        #: Whether runs are started by schedules.
        self.planning = False
        #: Until when; None: as long as the engine lives. By the monotonic clock.
        self._until: float | None = None
        #: Which DAGs wait for an asset.
        self._watchers: dict[str, set[str]] = {}
        #: DAGs with as many runs under way as they may have: looked at when one ends.
        self._full: set[str] = set()
        self._own = OwnTimetables(engine, self._told)
        #: By backfill, the runs that are still to run again.
        self._reruns: dict[int, _Reruns] = {}
        self._next: datetime | None = None
        self._read_watchers()

    # ── on and off ──────────────────────────────────────────────────────────

    def plan(self, lease: float | None = None) -> None:
        """Start what is due from now on, and go on with what an earlier scheduler started.

        Args:
            lease: Seconds after which it rests, unless it is asked again; None: never.
        """
        self._until = None if lease is None else time.monotonic() + lease
        if self.planning:
            return
        self.planning = True
        self._full.clear()
        with self._database.writing() as tx:
            for one in published.unplanned(tx):
                self._plan_one(tx, one)
            stirred = assets.waiting_dags(tx)
        self._adopt()
        self._look()
        self.assets_updated(stirred)

    def rest(self) -> None:
        """Start no more runs; those under way go on."""
        self.planning, self._until = False, None

    def _adopt(self) -> None:
        with self._database.reading() as tx:
            unended = planned.all_unended(tx, ITS_OWN)
        for run_id, owner in unended:
            if owner != self._engine.engine_id:
                self._engine.resume(run_id)

    # ── published DAGs ──────────────────────────────────────────────────────

    def publish(self, request: RunRequest, *, paused: bool | None, replace: bool) -> bool:
        """Hand a DAG to the scheduler, or give it newer code. Whether anything changed.

        Raises:
            PublishedElsewhere: its id belongs to one of another file.
        """
        with self._database.writing() as tx:
            changed = published.publish(
                tx,
                request.spec_json,
                request.bundle,
                request.surroundings,
                request.params_json,
                self._engine.now(),
                paused=paused,
                replace=replace,
            )
        if changed:
            self.changed(request.dag_id)
        return changed

    def publish_all(
        self, dags: Sequence[FolderDag], folder: str
    ) -> list[tuple[str, str, str]]:
        """The same for DAGs of a folder, at once. For each its id, what came of it ("new",
        "changed", "same", "refused") and, if it was refused, why."""
        told: list[tuple[str, str, str]] = []
        now = self._engine.now()
        with self._database.writing() as tx:
            for one in dags:
                try:
                    what, why = _publish_one(tx, one, folder, now), ""
                except (PublishedElsewhere, BadTimetable) as exc:
                    what, why = "refused", str(exc)
                told.append((one.request.dag_id, what, why))
        touched = [dag_id for dag_id, what, _ in told if what in ("new", "changed")]
        if touched:
            self.changed(*touched)
        return told

    def retire(self, folder: str, keep: Collection[str]) -> list[str]:
        """Take the DAGs of a folder that are no longer there from the scheduler. Their runs
        stay. Which ones."""
        with self._database.writing() as tx:
            gone = [d for d in published.in_folder(tx, folder) if d not in set(keep)]
            for dag_id in gone:
                published.remove(tx, dag_id)
                assets.forget_waiting(tx, dag_id)
        if gone:
            self.changed(*gone)
        return gone

    def known(self, dag_id: str) -> Published:
        """A published DAG.

        Raises:
            DagNotPublished: there is none of this id.
        """
        with self._database.reading() as tx:
            found = published.get(tx, dag_id)
            if found is None:
                raise DagNotPublished(dag_id, [one.dag_id for one in published.lines(tx)])
        return found

    def pause(self, dag_id: str, paused: bool) -> None:
        """Start no runs of a DAG by its schedule, or start them again.

        Raises:
            DagNotPublished: there is none of this id.
        """
        self.known(dag_id)
        with self._database.writing() as tx:
            published.set_paused(tx, dag_id, paused, self._engine.now())
        self.changed(dag_id)
        if not paused:
            self.assets_updated([dag_id])

    def delete(self, dag_id: str) -> None:
        """Take a DAG from the scheduler. Its runs stay.

        Raises:
            DagNotPublished: there is none of this id.
        """
        self.known(dag_id)
        with self._database.writing() as tx:
            published.remove(tx, dag_id)
            assets.forget_waiting(tx, dag_id)
        self.changed(dag_id)

    def changed(self, *dag_ids: str) -> None:
        """DAGs were published, changed, paused, unpaused or deleted."""
        self._full.difference_update(dag_ids)
        self._own.forget(dag_ids)
        self._read_watchers()
        if not self.planning:
            return
        with self._database.writing() as tx:
            for dag_id in dag_ids:
                one = published.get(tx, dag_id)
                if one is not None and one.next is None:
                    self._plan_one(tx, one)
        self._look()

    def _read_watchers(self) -> None:
        with self._database.reading() as tx:
            self._watchers = published.watchers(tx)

    def watchers(self, uri: str) -> Collection[str]:
        """The DAGs that wait for an asset."""
        return self._watchers.get(uri, ())

    # ── time ────────────────────────────────────────────────────────────────

    def seconds_left(self) -> Sequence[float]:
        """Until the next run is due; nothing if none is planned."""
        if not self.planning or self._next is None:
            return ()
        return [(self._next - self._engine.now()).total_seconds()]

    def tick(self) -> None:
        """Start the runs that are due."""
        if self._until is not None and time.monotonic() > self._until:
            log.warning("who asked for the scheduler is gone", extra={"action": "rests"})
            self.rest()
        if not self.planning or self._next is None or self._next > self._engine.now():
            return
        now = self._engine.now()
        try:
            with self._database.writing() as tx:
                due = published.due(tx, now, self._resting())
                begun = self._start_due(tx, due, now)
        except OperationalError as exc:  # a full disk: nothing was saved, all of it waits
            log.error(
                "runs that are due cannot be saved: %s. Trying again in %s s.",
                exc,
                TRY_AGAIN_SECONDS,
                extra={"action": "due_not_saved"},
            )
            self._next = self._engine.now() + timedelta(seconds=TRY_AGAIN_SECONDS)
            return
        self._look()
        self._engine.begin_new(begun)

    def _resting(self) -> list[str]:
        return [*self._full, *self._own.asked]

    def _look(self) -> None:
        with self._database.reading() as tx:
            self._next = published.next_moment(tx, self._resting())

    def _start_due(
        self, tx: Transaction, due: list[Published], now: datetime
    ) -> list[StoredRun]:
        """The runs of these DAGs that are to start now, saved; what comes next is noted."""
        scheduled = planned.unended_counts(tx, [one.dag_id for one in due], SCHEDULED)
        chosen: list[tuple[Published, DagRunInfo]] = []
        for one in due:
            infos = self._chosen(tx, one, scheduled.get(one.dag_id, 0), now)
            chosen += [(one, info) for info in infos]
            if infos:
                last = infos[-1].data_interval
                published.set_last(tx, one.dag_id, last)
                self._plan_one(tx, one._replace(last=last))
        return self._create(tx, chosen, now)

    def _chosen(
        self, tx: Transaction, one: Published, scheduled: int, now: datetime
    ) -> list[DagRunInfo]:
        timetable = _timetable(one)
        limited = timetable.active_runs_limit is not None
        busy = self._under_way(one.dag_id) if limited else 0
        room = scheduled_room(one.spec, timetable, scheduled, busy)
        if room <= 0:
            self._full.add(one.dag_id)
            return []
        infos = self._due(one, now, room)
        if not infos:
            self._plan_anew(tx, one, now)
        return infos

    def _due(self, one: Published, now: datetime, room: int) -> list[DagRunInfo]:
        if is_custom(_timetable(one)):
            return [one.next] if one.next is not None else []
        try:
            return planner.due(_plan(one), now, room)
        except _NO_TIMES:
            return []  # planning it anew says why

    def _plan_anew(self, tx: Transaction, one: Published, now: datetime) -> None:
        """What was noted as due is not: the clock was set back, or an edge has passed."""
        self._plan_one(tx, one)
        again = published.get(tx, one.dag_id)
        if again is not None and again.next is not None and again.next.run_after <= now:
            self._full.add(one.dag_id)  # it does not lead on: not before something happens

    def _under_way(self, dag_id: str) -> int:
        owned = self._engine.all_owned()
        return sum(1 for o in owned if o.dag_id == dag_id and not o.run.ended)

    def _create(
        self, tx: Transaction, chosen: list[tuple[Published, DagRunInfo]], now: datetime
    ) -> list[StoredRun]:
        """Scheduled runs, but where a backfill has made one for the interval."""
        if not chosen:
            return []
        dates = [info.logical_date for _, info in chosen]
        dag_ids = sorted({one.dag_id for one, _ in chosen})
        taken = planned.taken(tx, dag_ids, min(dates), max(dates))
        requests: list[RunRequest] = []
        for one, info in chosen:
            start, end = info.data_interval
            if (one.dag_id, start, end) in taken:
                continue
            request = _request(one, SCHEDULED)
            requests.append(
                replace(request, logical_date=start, data_interval=(start, end))
            )
        log.info("%d runs are due", len(requests), extra={"action": "runs_due"})
        return create_runs(tx, requests, self._engine.engine_id, now)

    def _plan_one(self, tx: Transaction, one: Published) -> None:
        """Note in the store what comes next."""
        info, problem = None, ""
        try:
            if is_custom(_timetable(one)):
                published.set_next(tx, one.dag_id, None)
                self._own.ask(one, _plan(one).restriction(self._engine.now()))
                return
            info = planner.next_info(_plan(one), self._engine.now())
        except _NO_TIMES as exc:
            problem = str(exc)
            log.warning("no next run: %s", exc, extra={"action": "not_planned"})
        published.set_next(tx, one.dag_id, info, problem)

    def _told(self, dag_id: str, info: DagRunInfo | None, problem: str) -> None:
        """What a person's own timetable says comes next."""
        with self._database.writing() as tx:
            published.set_next(tx, dag_id, info, problem)
        self._look()

    # ── what happens ────────────────────────────────────────────────────────

    def runs_ended(self, dag_ids: Collection[str]) -> None:
        """Runs of these DAGs have ended: there may be room for the next one."""
        self._rerun(*dag_ids)
        freed = self._full.intersection(dag_ids)
        if freed and self.planning:
            self._full -= freed
            self._look()

    def assets_updated(self, dag_ids: Collection[str]) -> None:
        """Start the DAGs whose assets are all there."""
        begun: list[RunId] = []
        if not self.planning:
            return
        with self._database.writing() as tx:
            for dag_id in sorted(dag_ids):
                one = published.get(tx, dag_id)
                if one is not None and not one.paused:
                    begun += self._start_by_assets(tx, one)
        for run_id in begun:
            self._engine.begin(run_id)

    def _start_by_assets(self, tx: Transaction, one: Published) -> list[RunId]:
        timetable = _timetable(one)
        events = assets.waiting_events(tx, one.dag_id)
        if not isinstance(timetable, AssetTriggeredTimetable) or not events:
            return []
        if not condition_met(timetable.condition, {event.uri for event in events}):
            return []
        now = self._engine.now()
        request = replace(_request(one, ASSET), logical_date=now)
        run_id = stored.create_run(tx, request, self._engine.engine_id, now)
        run_key = stored.run_key_of(tx, run_id)
        assets.started_by(tx, one.dag_id, run_key, events)
        return [run_id]

    def trigger(
        self,
        dag_id: str,
        *,
        run_id: str | None = None,
        params: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
        asked_by: str | None = None,
    ) -> RunId | None:
        """A run of a DAG, asked for by a person or a task: with its published code, else with
        the code that came with the asking run, else with that of its latest run. None: this
        home does not know it.

        Raises:
            RunExists: its id is taken.
        """
        now = self._engine.now()
        with self._database.writing() as tx:
            one = published.get(tx, dag_id)
            beside = stored.companions_of(tx, asked_by) if asked_by else ()
            for other in beside if one is None else ():
                one = published.from_request(other, now) if other.dag_id == dag_id else one
            one = one or published.from_latest_run(tx, dag_id)
            if one is None:
                return None
            if run_id is not None and not _RUN_ID.fullmatch(
                run_id.removeprefix(f"{dag_id}/")
            ):
                raise BadRunId(run_id)
            if run_id is not None and stored.state_of(tx, run_id) is not None:
                raise RunExists(run_id)
            run_type = self._type_of_triggered(tx, asked_by)
            request = with_params(_request(one, run_type), params or {})
            logical = logical_date.astimezone(UTC) if logical_date else now
            request = replace(
                request,
                run_id=RunId(run_id) if run_id else None,
                logical_date=logical,
                data_interval=_manual_interval(one, logical),
                companions=beside,
            )
            started = stored.create_run(tx, request, self._engine.engine_id, now)
        self._engine.begin(started)
        return started

    def _type_of_triggered(self, tx: Transaction, asked_by: str | None) -> str:
        """What a scheduled run has started, the next scheduler takes up with it."""
        asking = stored.type_of(tx, asked_by) if asked_by else None
        return TRIGGERED if asking in ITS_OWN else "manual"

    # ── backfills ───────────────────────────────────────────────────────────

    def backfill(self, order: backfills.Order) -> backfills.Outcome:
        """Create the runs of a span that are not there, and start them in order.

        Raises:
            DagNotPublished, ParameterError: nothing was started.
        """
        now = self._engine.now()
        if not order.runs:
            return backfills.Outcome(
                backfill_id=0, created=[], again=[], unended=[], left=[]
            )
        with self._database.writing() as tx:
            outcome, created = backfills.create(tx, order, self._engine.engine_id, now)
        for run_id in outcome.unended:
            self._engine.resume(run_id)  # nothing, if this engine works on it already
        self._engine.begin_new(created, order.max_active)
        self._reruns[outcome.backfill_id] = _Reruns(order, deque(outcome.again))
        self._rerun(order.request.dag_id)
        return outcome

    def _rerun(self, *dag_ids: str) -> None:
        """Run again what backfills want to run again, as many at once as they allow."""
        for backfill_id, reruns in list(self._reruns.items()):
            dag_id = reruns.order.request.dag_id
            while dag_id in dag_ids and reruns.waiting:
                room = reruns.order.max_active
                if self._engine.gates.under_way(dag_id, backfill_id) >= room:
                    break
                run_id = reruns.waiting.popleft()
                whole = reruns.order.rerun == "all"
                if self._engine.retry_if_ended(run_id, whole=whole):
                    self._engine.gates.opened(run_id, backfill_id)
            if not reruns.waiting:
                del self._reruns[backfill_id]

    def withdraw(self, backfill_id: int) -> list[RunId]:
        """Take the runs of a backfill back that have not opened; what runs goes on. Which."""
        again = self._reruns.pop(backfill_id, None)
        with self._database.writing() as tx:
            waiting = backfills.queued_of(tx, backfill_id)
            gone = [r for r in waiting if self._engine.let_go(r)]
            backfills.withdraw(tx, gone)
        return [*gone, *(again.waiting if again else ())]

    def backfill_limit(self, owned: OwnedRun) -> int | None:
        """How many runs of its backfill may be under way at once."""
        backfill_id = owned.facts["backfill_id"]
        if backfill_id is None:
            return None
        with self._database.reading() as tx:
            return backfills.limit_of(tx, backfill_id)


def _publish_one(tx: Transaction, one: FolderDag, folder: str, now: datetime) -> str:
    request = one.request
    is_new = published.get(tx, request.dag_id) is None
    changed = published.publish(
        tx,
        request.spec_json,
        request.bundle,
        request.surroundings,
        request.params_json,
        now,
        paused=one.paused,
        replace=False,
        folder=folder,
        file=one.file,
    )
    return "new" if is_new else "changed" if changed else "same"


def _timetable(one: Published) -> Timetable:
    return timetable_from_json(one.spec.timetable_json)


def _plan(one: Published) -> Plan:
    return Plan.of(one.spec, last=one.last, since=one.seen_at)


def _request(one: Published, run_type: str) -> RunRequest:
    return RunRequest(
        dag_id=one.dag_id,
        spec_json=one.spec_json,
        bundle=one.bundle,
        params_json=one.params_json,
        surroundings=one.surroundings,
        run_type=run_type,
    )


def with_params(request: RunRequest, given: Mapping[str, Any]) -> RunRequest:
    """The run's own parameters in place of the defaults."""
    usual: dict[str, Any] = msgspec.json.decode(request.params_json)
    return replace(request, params_json=msgspec.json.encode({**usual, **given}))


def _manual_interval(one: Published, moment: datetime) -> tuple[datetime, datetime]:
    timetable = _timetable(one)
    if is_custom(timetable):
        return moment, moment
    found: DataInterval = planner.manual_interval(timetable, moment)
    return found.start, found.end
