"""A published DAG in a person's hands: `s.next`, `s.pause()`, `s.delete()`.

Reads the store and asks the engine; starts nothing itself. A person's own timetable is asked
in that person's process, and only if they have the DAG at hand.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from mlflowkit.authoring.dag import DAG
from mlflowkit.core.planner import Plan, upcoming
from mlflowkit.core.spec import DagSpec
from mlflowkit.core.timetable import (
    AssetOrTimeSchedule,
    AssetTriggeredTimetable,
    DagRunInfo,
    Timetable,
    condition_text,
    is_custom,
    timetable_from_json,
)
from mlflowkit.engine.client import EngineClient, ensure_engine
from mlflowkit.errors import DagNotPublished
from mlflowkit.home_store import database
from mlflowkit.store import published
from mlflowkit.store.published import Published

#: Times that are shown.
SHOWN = 3


class Schedule:
    """A DAG that was handed to the scheduler."""

    def __init__(self, dag_id: str, home: Path, dag: DAG | None = None) -> None:
        self.dag_id, self.home = dag_id, home
        self._own = dag.own_timetable if dag is not None else None

    def known(self) -> Published:
        """What the store knows of it.

        Raises:
            DagNotPublished: it was deleted.
        """
        with database(self.home).reading() as tx:
            found = published.get(tx, self.dag_id)
            if found is None:
                lines = published.lines(tx)
                raise DagNotPublished(self.dag_id, [one.dag_id for one in lines])
        return found

    @property
    def paused(self) -> bool:
        return self.known().paused

    @property
    def next(self) -> datetime | None:
        """When its next run starts, in the DAG's zone; a moment that has passed: as soon as a
        scheduler is there. None: it is paused, or nothing comes by itself."""
        one = self.known()
        found = [] if one.paused else self._upcoming(one, 1)
        return found[0].run_after.astimezone(zone_of(one.spec)) if found else None

    @property
    def interval(self) -> tuple[datetime, datetime] | None:
        """The data interval of its next run; None as for `next`."""
        one = self.known()
        found = [] if one.paused else self._upcoming(one, 1)
        if not found:
            return None
        zone = zone_of(one.spec)
        start, end = found[0].data_interval
        return start.astimezone(zone), end.astimezone(zone)

    def upcoming(self, count: int = SHOWN) -> list[DagRunInfo]:
        """Its next runs, as if it were not paused. Fewer where nobody can know more."""
        return self._upcoming(self.known(), count)

    def _upcoming(self, one: Published, count: int) -> list[DagRunInfo]:
        plan = Plan.of(one.spec, last=one.last, since=one.seen_at)
        if is_custom(plan.timetable):
            if self._own is None:
                return [one.next] if one.next is not None else []
            plan = replace(plan, timetable=self._own)
        return upcoming(plan, datetime.now(UTC), count)

    def pause(self) -> None:
        """Start no more runs by its schedule; those under way go on."""
        self._ask("pause", dag_id=self.dag_id)

    def unpause(self) -> None:
        """Start runs by its schedule again."""
        self._ask("unpause", dag_id=self.dag_id)

    def delete(self) -> None:
        """Take it from the scheduler. Its runs stay."""
        self._ask("delete_dag", dag_id=self.dag_id)

    def _ask(self, do: str, **arguments: Any) -> Any:
        client = ensure_engine(self.home)
        try:
            return client.call(do, **arguments)
        finally:
            client.close()

    def __repr__(self) -> str:
        try:
            one = self.known()
        except DagNotPublished:
            return f"Schedule of DAG {self.dag_id}: deleted"
        lines = [f"Schedule of DAG {self.dag_id}: {schedule_text(one.spec)}"]
        lines += [f"  {run_text(i, one.spec)}" for i in self._upcoming(one, SHOWN)]
        if one.problem:
            lines.append(f"  no next run: {one.problem}")
        if one.paused:
            lines.append("  paused: .unpause() starts it")
        if not scheduler_alive(self.home):
            lines.append("  no scheduler is alive: `mlflowkit scheduler` starts one")
        return "\n".join(lines)


def scheduler_alive(home: Path) -> bool:
    """Whether an engine starts runs by their schedules in this home."""
    client = EngineClient(home)
    try:
        return client.connect() and bool(client.call("ping", timeout=10)["planning"])
    except TimeoutError:
        return False
    finally:
        client.close()


def schedule_text(spec: DagSpec) -> str:
    """`0 6 * * * (Europe/Athens)`, or what starts it in place of the clock."""
    timetable = timetable_from_json(spec.timetable_json)
    if type(timetable) is AssetTriggeredTimetable:
        return f"when {condition_text(timetable.condition)} is updated"
    zone = getattr(_clock_of(timetable), "timezone", None)
    text = spec.schedule or "only when somebody asks"
    return f"{text} ({zone})" if zone is not None else text


def run_text(info: DagRunInfo, spec: DagSpec) -> str:
    """`runs at 2026-03-04 06:00 EET, for 2026-03-03 06:00 EET to 2026-03-04 06:00 EET`."""
    zone = zone_of(spec)
    start, end = info.data_interval
    about = f", for {moment(start, zone)} to {moment(end, zone)}" if start != end else ""
    return f"runs at {moment(info.run_after, zone)}{about}"


def moment(when: datetime, zone: tzinfo | None) -> str:
    """`2026-03-04 06:00 EET`; with seconds where there are any."""
    there = when.astimezone(zone)
    seconds = ":%S" if there.second else ""
    return there.strftime(f"%Y-%m-%d %H:%M{seconds} %Z")


def zone_of(spec: DagSpec) -> tzinfo | None:
    """The zone that a DAG's times are shown in; None: the machine's."""
    clock = _clock_of(timetable_from_json(spec.timetable_json))
    found = getattr(clock, "timezone", None)
    if isinstance(found, tzinfo):
        return found
    return spec.start_date.tzinfo if spec.start_date is not None else None


def _clock_of(timetable: Timetable) -> Timetable:
    return timetable.timetable if isinstance(timetable, AssetOrTimeSchedule) else timetable
