"""The scheduler: starts the runs that are due. A part of the engine, on while it plans.

It sleeps until the next moment that the store names, so a thousand DAGs cost nothing
while nothing is due. Times come from the planner; those of a person's own timetable are
asked for ahead, in a worker.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlflowkit.core import planner
from mlflowkit.core.gates import scheduled_room
from mlflowkit.core.planner import Plan
from mlflowkit.core.spec import UNMAPPED, AttemptId, RunId, TaskId
from mlflowkit.core.timetable import (
    DagRunInfo,
    DataInterval,
    Timetable,
    condition_met,
    info_from_json,
    is_custom,
    timetable_from_json,
)
from mlflowkit.core.timetable.assets import AssetTriggeredTimetable, uris_of
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.errors import BadTimetable, DagNotPublished, RunExists
from mlflowkit.ports import LaunchOrder, RunRequest
from mlflowkit.store import assets, backfills, planned, published
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Transaction
from mlflowkit.store.published import Published

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess

log = logging.getLogger("mlflowkit.engine")
SCHEDULED, ASSET = "scheduled", "asset_triggered"
#: Run types that the scheduler itself starts: a new scheduler takes them up.
ITS_OWN: Final = (SCHEDULED, ASSET, "backfill")


class Schedules:
    """The published DAGs of a home, as far as the engine must know them all the time."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine, self._database = engine, engine.database
        #: Whether runs are started by schedules.
        self.planning = False
        #: Which DAGs wait for an asset.
        self._watchers: dict[str, set[str]] = {}
        #: DAGs with as many runs under way as they may have: looked at when one ends.
        self._full: set[str] = set()
        #: DAGs whose own timetable is being asked.
        self._asked: set[str] = set()
        self._next: datetime | None = None
        self._numbers = 0
        self._read_watchers()

    # ── on and off ──────────────────────────────────────────────────────────

    def plan(self) -> None:
        """Start what is due from now on, and go on with what an earlier scheduler started."""
        self.planning = True
        self._full.clear()
        with self._database.writing() as tx:
            for one in published.all_published(tx):
                if one.next is None and not one.problem:
                    self._plan_one(tx, one)
        self._adopt()
        self._look()

    def rest(self) -> None:
        """Start no more runs; those under way go on."""
        self.planning = False

    def _adopt(self) -> None:
        with self._database.reading() as tx:
            waiting = {
                run_id
                for one in published.lines(tx)
                for run_id in planned.unended(tx, one.dag_id, ITS_OWN)
            }
        for run_id in self._engine.interrupted():
            if run_id in waiting:
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

    def changed(self, dag_id: str) -> None:
        """A DAG was published, changed, paused, unpaused or deleted."""
        self._full.discard(dag_id)
        self._asked.discard(dag_id)
        self._read_watchers()
        if not self.planning:
            return
        with self._database.writing() as tx:
            one = published.get(tx, dag_id)
            if one is not None and one.next is None:
                self._plan_one(tx, one)
        self._look()

    def _read_watchers(self) -> None:
        found: dict[str, set[str]] = {}
        with self._database.reading() as tx:
            for one in published.all_published(tx):
                timetable = _timetable(one)
                if isinstance(timetable, AssetTriggeredTimetable):
                    for uri in uris_of(timetable.condition):
                        found.setdefault(uri, set()).add(one.dag_id)
        self._watchers = found

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
        if not self.planning or self._next is None or self._next > self._engine.now():
            return
        begun: list[RunId] = []
        with self._database.writing() as tx:
            for one in published.due(tx, self._engine.now(), self._resting()):
                begun += self._start_due(tx, one)
        self._look()
        for run_id in begun:
            self._engine.begin(run_id)

    def _resting(self) -> list[str]:
        return [*self._full, *self._asked]

    def _look(self) -> None:
        with self._database.reading() as tx:
            self._next = published.next_moment(tx, self._resting())

    def _start_due(self, tx: Transaction, one: Published) -> list[RunId]:
        now, spec = self._engine.now(), one.spec
        timetable = _timetable(one)
        limited = timetable.active_runs_limit is not None
        busy = self._under_way(one.dag_id) if limited else 0
        scheduled = len(planned.unended(tx, one.dag_id, (SCHEDULED,)))
        infos = self._due(one, now, scheduled_room(spec, timetable, scheduled, busy))
        if not infos:
            self._full.add(one.dag_id)
            return []
        begun: list[RunId] = []
        for info in infos:
            begun += self._create(tx, one, info, now)
            published.set_last(tx, one.dag_id, info.data_interval)
        last = infos[-1].data_interval
        self._plan_one(tx, one._replace(last=last))
        return begun

    def _due(self, one: Published, now: datetime, room: int) -> list[DagRunInfo]:
        if room <= 0 or one.next is None:
            return []
        if is_custom(_timetable(one)):
            return [one.next]
        return planner.due(_plan(one), now, room)

    def _under_way(self, dag_id: str) -> int:
        owned = self._engine.all_owned()
        return sum(1 for o in owned if o.dag_id == dag_id and not o.run.ended)

    def _create(
        self, tx: Transaction, one: Published, info: DagRunInfo, now: datetime
    ) -> list[RunId]:
        """A scheduled run, unless a backfill has made one for the interval."""
        logical = info.logical_date
        there = planned.planned_between(tx, one.dag_id, logical, logical)
        if (logical, info.data_interval.end) in there:
            return []
        request = _request(one, SCHEDULED)
        interval = (info.data_interval.start, info.data_interval.end)
        request = replace(request, logical_date=logical, data_interval=interval)
        log.info("run is due", extra={"action": "run_due", "dag_id": one.dag_id})
        return [stored.create_run(tx, request, self._engine.engine_id, now)]

    def _plan_one(self, tx: Transaction, one: Published) -> None:
        """Note in the store what comes next."""
        timetable = _timetable(one)
        if is_custom(timetable):
            published.set_next(tx, one.dag_id, None)
            self._ask_timetable(one)
            return
        info, problem = None, ""
        try:
            info = planner.next_info(_plan(one), self._engine.now())
        except (BadTimetable, OverflowError, ValueError) as exc:
            problem = str(exc)
            log.warning("no next run: %s", exc, extra={"action": "not_planned"})
        published.set_next(tx, one.dag_id, info, problem)

    # ── a person's own timetables ───────────────────────────────────────────

    def _ask_timetable(self, one: Published) -> None:
        """Ask it in a worker; the answer comes with a later turn of the loop."""
        if one.dag_id in self._asked:
            return
        self._asked.add(one.dag_id)
        restriction = _plan(one).restriction(self._engine.now())
        arguments = {"last": one.last, **restriction._asdict()}
        order = self._service(one, "timetable", arguments)

        def done(answer: bytes | None, why: str) -> None:
            self._told(one, answer, why)

        self._engine.service_attempts.start(order, done)

    def _told(self, asked: Published, answer: bytes | None, why: str) -> None:
        if asked.dag_id not in self._asked:
            return  # it was changed meanwhile, and is asked anew
        self._asked.discard(asked.dag_id)
        info = info_from_json(answer.decode()) if answer is not None else None
        problem = f"its timetable failed: {why}" if answer is None else ""
        if info is not None and asked.last is not None and info.data_interval <= asked.last:
            info, problem = None, "its timetable gave an interval that it had given before"
        with self._database.writing() as tx:
            published.set_next(tx, asked.dag_id, info, problem)
        self._look()

    def _service(
        self, one: Published, service: str, arguments: Mapping[str, Any]
    ) -> LaunchOrder:
        self._numbers += 1
        run_id = RunId(f"{one.dag_id}/{service}")
        folder = self._engine.home / "logs" / "scheduler"
        return LaunchOrder(
            attempt=AttemptId(run_id, TaskId(""), UNMAPPED, -self._numbers),
            try_number=1,
            max_tries=1,
            bundle=one.bundle,
            surroundings=one.surroundings,
            params_json=b"{}",
            facts_json=b"{}",
            isolate=True,
            service=service,
            service_json=msgspec.json.encode(arguments),
            log=str(folder / f"{one.dag_id}.{service}.log"),
            journal=str(folder / f"{one.dag_id}.{service}.jsonl"),
            state_dir=str(folder),
            artifacts=str(self._engine.home / "artifacts"),
        )

    # ── what happens ────────────────────────────────────────────────────────

    def runs_ended(self, dag_ids: Collection[str]) -> None:
        """Runs of these DAGs have ended: there may be room for the next one."""
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
            if run_id is not None and stored.state_of(tx, run_id) is not None:
                raise RunExists(run_id)
            request = with_params(_request(one, "manual"), params or {})
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

    # ── backfills ───────────────────────────────────────────────────────────

    def backfill(self, order: backfills.Order) -> backfills.Outcome:
        """Create the runs of a span that are not there, and start them in order.

        Raises:
            DagNotPublished, ParameterError: nothing was started.
        """
        now = self._engine.now()
        with self._database.writing() as tx:
            outcome = backfills.create(tx, order, self._engine.engine_id, now)
        for run_id in outcome.again:
            self._engine.retry_if_ended(run_id, whole=order.rerun == "all")
        for run_id in outcome.created:
            self._engine.begin(run_id, order.max_active)
        return outcome

    def backfill_limit(self, owned: OwnedRun) -> int | None:
        """How many runs of its backfill may be under way at once."""
        backfill_id = owned.facts["backfill_id"]
        if backfill_id is None:
            return None
        with self._database.reading() as tx:
            return backfills.limit_of(tx, backfill_id)


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
