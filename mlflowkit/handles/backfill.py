"""Backfills in a person's hands: which runs a span holds, and how those go.

A person's own timetable is asked here, in that person's process, and nowhere else.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path

import msgspec

from mlflowkit.core.planner import backfill_infos
from mlflowkit.core.spec import DagSpec, RunId
from mlflowkit.core.states import RUN_ENDED
from mlflowkit.core.timetable import Timetable, is_custom, timetable_from_json
from mlflowkit.engine.client import ensure_engine
from mlflowkit.engine.locks import engine_alive
from mlflowkit.errors import BadBackfill, RunInterrupted
from mlflowkit.handles.cell_waits import naps
from mlflowkit.handles.schedule import zone_of
from mlflowkit.home_store import database
from mlflowkit.ports import RunRequest
from mlflowkit.store import backfills, planned
from mlflowkit.store.backfills import Order, Outcome, RunProgress

RERUNS = ("", "failed", "all")
LOOK_SECONDS = 0.2
Moment = str | date | datetime


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of a span, and what is there of it."""

    logical_date: datetime
    start: datetime
    end: datetime
    #: The run that is there, and its state; None: it would be made.
    run_id: str | None
    state: str | None


def make_order(
    request: RunRequest,
    spec: DagSpec,
    start: Moment,
    end: Moment,
    *,
    own_timetable: Timetable | None = None,
    reverse: bool = False,
    rerun: str = "",
    max_active: int = 10,
    now: datetime | None = None,
) -> Order:
    """The backfill of [start, end]: runs whose interval begins within, and is over.

    Args:
        start, end: Without a zone, in the DAG's. An `end` that is a day means all of it.
        own_timetable: The DAG's, if it is code of a person.
        rerun: What to do with runs that are there: "" leaves them, "failed", "all".
        max_active: Runs that may be under way at once.

    Raises:
        BadBackfill: there is nothing to run, or it cannot be run so.
    """
    if rerun not in RERUNS or max_active < 1:
        raise BadBackfill(
            spec.dag_id, "rerun is 'failed' or 'all', and max_active at least 1"
        )
    if reverse and any(task.depends_on_past for task in spec.tasks.values()):
        raise BadBackfill(
            spec.dag_id, "its tasks wait for the run before: it cannot be run in reverse"
        )
    timetable = own_timetable or timetable_from_json(spec.timetable_json)
    if is_custom(timetable) and own_timetable is None:
        raise BadBackfill(
            spec.dag_id, "its timetable is your own code: name the file that has it"
        )
    first, last = aware(start, spec), aware(end, spec, whole_day=True)
    if first > last:
        raise BadBackfill(spec.dag_id, f"it begins ({first}) after it ends ({last})")
    infos = backfill_infos(
        timetable,
        first,
        last,
        reverse=reverse,
        start_date=spec.start_date,
        now=now or datetime.now(UTC),
    )
    if not infos:
        raise BadBackfill(
            spec.dag_id,
            f"its schedule ({spec.schedule}) has no interval that begins from {first} to "
            f"{last} and is over",
        )
    runs = [(i.logical_date, i.data_interval.start, i.data_interval.end) for i in infos]
    return Order(request=request, runs=runs, rerun=rerun, max_active=max_active)


def aware(moment: Moment, spec: DagSpec, *, whole_day: bool = False) -> datetime:
    """A moment as a person says it, in UTC.

    Raises:
        BadBackfill: it is none.
    """
    if isinstance(moment, str):
        text = moment
        try:
            moment = (
                date.fromisoformat(text)
                if len(text) == 10
                else datetime.fromisoformat(text)
            )
        except ValueError:
            why = f"{text!r} is no date: write 2026-03-01 or 2026-03-01T06:00"
            raise BadBackfill(spec.dag_id, why) from None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, clock_time.max if whole_day else clock_time.min)
    if moment.tzinfo is None:
        zone = zone_of(spec)
        moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
    return moment.astimezone(UTC)


def planned_runs(order: Order, home: Path) -> list[PlannedRun]:
    """The runs of a backfill, and which of them are there."""
    dates = [logical for logical, _, _ in order.runs]
    with database(home).reading() as tx:
        there = planned.planned_between(tx, order.request.dag_id, min(dates), max(dates))
    found: list[PlannedRun] = []
    for logical, start, end in order.runs:
        run_id, state = there.get((logical, end), (None, None))
        found.append(PlannedRun(logical, start, end, run_id, state and str(state)))
    return found


def start_backfill(order: Order, home: Path) -> Backfill:
    """Hand a backfill to the engine of the home, which is started if need be."""
    client = ensure_engine(home)
    try:
        answer = client.call("backfill", order=msgspec.to_builtins(order))
    finally:
        client.close()
    return Backfill(home, order, msgspec.convert(answer, Outcome))


class Backfill:
    """A backfill that was set going."""

    def __init__(self, home: Path, order: Order, outcome: Outcome) -> None:
        self.home, self.order, self.outcome = home, order, outcome
        self._withdrawn: set[str] = set()

    @property
    def dag_id(self) -> str:
        return self.order.request.dag_id

    @property
    def run_ids(self) -> list[RunId]:
        """Its runs: those that are new, run again or go on. Not those that were left."""
        o = self.outcome
        return [r for r in (*o.created, *o.again, *o.unended) if r not in self._withdrawn]

    @property
    def left(self) -> dict[str, str]:
        """Runs that were there and stay as they are, with their states."""
        return {str(run_id): state for run_id, state in self.outcome.left}

    def progress(self) -> list[RunProgress]:
        """How its runs are, in their order. One that is to run again has not ended."""
        with database(self.home).reading() as tx:
            found = backfills.progress_of(tx, self.outcome.backfill_id, self.run_ids)
        return found

    def states(self) -> dict[str, str]:
        """All runs of the span, by id: those that were left, too."""
        mine = {str(one.run_id): str(one.state) for one in self.progress()}
        return {**self.left, **mine}

    @property
    def ended(self) -> bool:
        return all(one.state in RUN_ENDED for one in self.progress())

    def wait(
        self,
        timeout: float | None = None,
        each: Callable[[RunProgress], None] = lambda _: None,
    ) -> Backfill:
        """Wait until its runs have ended. Interrupting it stops the waiting, not the runs.

        Args:
            timeout: Seconds; None waits as long as it takes.
            each: Called with each run when it has ended.

        Raises:
            RunInterrupted: the engine died. The same backfill again goes on.
            TimeoutError: they have not all ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        told: set[RunId] = set()
        with naps() as nap:
            while True:
                alive = engine_alive(self.home)
                progress = self.progress()
                left = self._open(progress, told, each)
                if not left:
                    return self
                if not alive:
                    raise RunInterrupted(left[0])
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{len(left)} runs of the backfill have not ended")
                nap(LOOK_SECONDS)

    @staticmethod
    def _open(
        progress: Sequence[RunProgress],
        told: set[RunId],
        each: Callable[[RunProgress], None],
    ) -> list[RunId]:
        """Runs that have not ended; `each` is called with those that have just done so."""
        for one in progress:
            if one.state in RUN_ENDED and one.run_id not in told:
                told.add(one.run_id)
                each(one)
        return [one.run_id for one in progress if one.run_id not in told]

    def cancel(self) -> list[str]:
        """Take back what has not begun; what runs goes on. Which runs."""
        client = ensure_engine(self.home)
        try:
            gone = client.call("withdraw", backfill_id=self.outcome.backfill_id)
        finally:
            client.close()
        self.withdrawn(gone)
        return list(gone)

    def withdrawn(self, run_ids: Sequence[str]) -> None:
        """These do not belong to it any more."""
        self._withdrawn |= set(run_ids)

    def __repr__(self) -> str:
        return (
            f"Backfill of DAG {self.dag_id}: {counts_text(Counter(self.states().values()))}"
        )


def counts_text(counts: Mapping[str, int]) -> str:
    """`3 success, 1 failed`."""
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "no runs"
