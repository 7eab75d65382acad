"""The scheduler: starts the runs that are due. A part of the engine, on while it plans.

It sleeps until the next moment that the store names, so a thousand DAGs cost nothing
while nothing is due. Times come from the planner; those of a person's own timetable are
asked for ahead, in a worker. What a full disk does not take is done later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from mlflowkit.core import planner
from mlflowkit.core.gates import scheduled_room
from mlflowkit.core.timetable import DagRunInfo, TimeRestriction, is_custom
from mlflowkit.engine.asset_starts import ASSET, AssetStarts
from mlflowkit.engine.own_timetables import OwnTimetables
from mlflowkit.engine.requests import plan_of, request_of, timetable_of
from mlflowkit.errors import BadTimetable
from mlflowkit.store import assets, planned, published
from mlflowkit.store.new_runs import create_runs

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess
    from mlflowkit.ports import RunRequest
    from mlflowkit.store.database import Transaction
    from mlflowkit.store.published import Published
    from mlflowkit.store.runs import StoredRun

log = logging.getLogger("mlflowkit.engine")
SCHEDULED, TRIGGERED = "scheduled", "operator_triggered"
#: Run types that the scheduler itself starts: a new scheduler takes them up.
ITS_OWN: Final = (SCHEDULED, ASSET, "backfill", TRIGGERED)
#: What a timetable raises that has no times.
_NO_TIMES: Final = (BadTimetable, OverflowError, ValueError)


class Schedules:
    """What comes next of all published DAGs, as far as the engine must know it all the time."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine, self._database = engine, engine.database
        #: Whether runs are started by schedules.
        self.planning = False
        #: Until when; None: as long as the engine lives. By the monotonic clock.
        self._until: float | None = None
        self.assets = AssetStarts(engine)
        #: DAGs with as many runs under way as they may have: looked at when one ends.
        self._full: set[str] = set()
        #: DAGs that have still to be planned anew.
        self._unplanned: set[str] = set()
        self._own = OwnTimetables(engine, self._told)
        #: What to ask timetables, once the transaction is saved that it follows from.
        self._questions: list[tuple[Published, TimeRestriction]] = []
        self._next: datetime | None = None

    # ── on and off ──────────────────────────────────────────────────────────

    def plan(self, lease: float | None = None) -> None:
        """Start what is due from now on, and go on with what an earlier scheduler started.

        Args:
            lease: Seconds after which it rests, unless it is asked again; None: never.

        Raises:
            HomeUnwritable: it cannot be saved. It rests as before.
        """
        self._until = None if lease is None else time.monotonic() + lease
        if self.planning:
            return
        self._full.clear()
        with self._asking(), self._engine.saving() as tx:
            for one in published.unplanned(tx):
                self._plan_one(tx, one)
            stirred = assets.waiting_dags(tx)
        self._adopt()
        self.planning = True
        self._look()
        self.assets.updated(stirred)

    def rest(self) -> None:
        """Start no more runs; those under way go on."""
        self.planning, self._until = False, None
        self.assets.rest()

    def _adopt(self) -> None:
        with self._database.reading() as tx:
            unended = planned.all_unended(tx, ITS_OWN)
        for run_id, owner in unended:
            if owner != self._engine.engine_id:
                self._engine.resume(run_id)

    # ── what happens ────────────────────────────────────────────────────────

    def changed(self, *dag_ids: str) -> None:
        """DAGs were published, changed, paused, unpaused or deleted."""
        self._full.difference_update(dag_ids)
        self._own.forget(dag_ids)
        for dag_id in dag_ids:
            self._engine.later.forget(("told", dag_id))
        self.assets.read_watchers()
        if self.planning:
            self._unplanned.update(dag_ids)
            self._engine.later.do("plans", self._plan_changed)

    def _plan_changed(self) -> None:
        with self._asking(), self._database.writing() as tx:
            for dag_id in sorted(self._unplanned):
                one = published.get(tx, dag_id)
                if one is not None and one.next is None:
                    self._plan_one(tx, one)
        self._unplanned.clear()
        self._look()

    def runs_ended(self, dag_ids: Collection[str]) -> None:
        """Runs of these DAGs have ended: there may be room for the next one."""
        freed = self._full.intersection(dag_ids)
        if freed and self.planning:
            self._full -= freed
            self._look()

    def assets_updated(self, dag_ids: Collection[str]) -> None:
        """Start the DAGs whose assets are all there."""
        if self.planning:
            self.assets.updated(dag_ids)

    def _told(self, dag_id: str, info: DagRunInfo | None, problem: str) -> None:
        """What a person's own timetable says comes next."""
        work = partial(self._note, dag_id, info, problem)
        self._engine.later.do(("told", dag_id), work)

    def _note(self, dag_id: str, info: DagRunInfo | None, problem: str) -> None:
        with self._database.writing() as tx:
            published.set_next(tx, dag_id, info, problem)
        self._look()

    # ── time ────────────────────────────────────────────────────────────────

    def seconds_left(self) -> Sequence[float]:
        """Until the next run is due; nothing if none is planned."""
        if not self.planning or self._next is None or "due" in self._engine.later:
            return ()
        return [(self._next - self._engine.now()).total_seconds()]

    def tick(self) -> None:
        """Start the runs that are due."""
        if self._until is not None and time.monotonic() > self._until:
            log.warning("who asked for the scheduler is gone", extra={"action": "rests"})
            self.rest()
        if not self.planning or self._next is None or self._next > self._engine.now():
            return
        if "due" not in self._engine.later:
            self._engine.later.do("due", self._start_now)

    def _start_now(self) -> None:
        if not self.planning:
            return
        now = self._engine.now()
        with self._asking(), self._database.writing() as tx:
            due = published.due(tx, now, self._resting())
            begun = self._start_due(tx, due, now)
        self._look()
        self._engine.begin(begun)

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
        timetable = timetable_of(one)
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
        if is_custom(timetable_of(one)):
            return [one.next] if one.next is not None else []
        try:
            return planner.due(plan_of(one), now, room)
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
            request = request_of(one, SCHEDULED)
            requests.append(
                replace(request, logical_date=start, data_interval=(start, end))
            )
        log.info("%d runs are due", len(requests), extra={"action": "runs_due"})
        return create_runs(tx, requests, self._engine.engine_id, now)

    def _plan_one(self, tx: Transaction, one: Published) -> None:
        """Note in the store what comes next."""
        info, problem = None, ""
        try:
            if is_custom(timetable_of(one)):
                published.set_next(tx, one.dag_id, None)
                now = self._engine.now()
                self._questions.append((one, plan_of(one).restriction(now)))
                return
            info = planner.next_info(plan_of(one), self._engine.now())
        except _NO_TIMES as exc:
            problem = str(exc)
            log.warning("no next run: %s", exc, extra={"action": "not_planned"})
        published.set_next(tx, one.dag_id, info, problem)

    @contextmanager
    def _asking(self) -> Generator[None, None, None]:
        """Timetables are asked once what they are asked for is saved; if that fails, it is
        planned again, and they are asked then."""
        self._questions.clear()
        yield
        for one, restriction in self._questions:
            self._own.ask(one, restriction)
