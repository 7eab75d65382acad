"""A DAG on a virtual clock: the same planner and machine, with stubs in place of tasks.

Which runs start when, and what comes of them. Runs open as the engine opens them (`gates`,
`past`), places and pools are given out as it does (`offers`); what takes time in the real
world beside tasks and waiting takes none here. Nothing is read and nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from mlflowkit.core.history import History
from mlflowkit.core.offers import UNLIMITED
from mlflowkit.core.planner import Plan, due, next_due
from mlflowkit.core.stub_answers import Durations, Outcomes
from mlflowkit.core.stub_tasks import StubTasks
from mlflowkit.core.stubs import Stub
from mlflowkit.core.timetable import DataInterval, Timetable, timetable_from_json
from mlflowkit.core.timetable.base import utc
from mlflowkit.core.virtual import World
from mlflowkit.errors import BadSimulation

if TYPE_CHECKING:
    from mlflowkit.core.spec import DagSpec, TaskId

#: Places where nobody says how many there are.
NO_LIMIT: Final = 1 << 30
_A_MOMENT: Final = timedelta(microseconds=1)


def simulate(  # noqa: PLR0913 - each keyword is one ingredient
    spec: DagSpec,
    start: datetime,
    end: datetime,
    *,
    timetable: Timetable | None = None,
    durations: object = None,
    outcomes: object = None,
    stubs: Mapping[TaskId, Stub] | None = None,
    places: int | None = None,
    pools: Mapping[str, int] | None = None,
    manual: Iterable[datetime] = (),
    caught_up: bool | None = None,
    seed: int = 0,
    zone: tzinfo = UTC,
) -> History:
    """What would happen if the DAG was published at `start`.

    Args:
        start: The clock starts here.
        end: From here on nothing new starts; what is under way goes on to its end.
        timetable: In place of the spec's own: a person's, which only their process can ask.
        durations: Seconds, a timedelta, (shortest, longest), or a function of (run, task id,
            map index, try number), for all tasks or by task id; else 60 s, and 1 s for one
            look of a sensor.
        outcomes: By task id, `task[3]`, or (task id, logical date): "success", "failed",
            "skipped", an `Outcome`, a list of these by try, or a function as above. Or one
            such function for all. Else success: branches choose the first task below,
            sensors find it at the first look, 3 items are expanded over.
        stubs: What tasks are, beside what the spec says.
        places: Attempts that may run at once; None: no limit.
        pools: Slots by name; a pool that does not stand here has no limit.
        manual: When a person starts a run.
        caught_up: What was due before `start` has run already. None: without catchup it
            has, with catchup it starts at once.
        seed: Of durations that are spans: the same seed gives the same times.
        zone: Of dates in `outcomes`.

    Raises:
        BadSimulation: an argument that does not fit, or runs without end.
        TimetableElsewhere: its timetable is a person's code, and was not given.
    """
    start, end = utc(start), utc(end)
    if end < start:
        raise BadSimulation("end", f"{end.isoformat()} is before the start")
    if places is not None and places < 1:
        raise BadSimulation("places", f"must be 1 or more, not {places!r}")
    _check_pools(spec, pools or {})
    spec = _all_with_work(spec)
    chosen = timetable or timetable_from_json(spec.timetable_json)
    tasks = StubTasks(
        spec,
        chosen,
        Outcomes(spec, outcomes, zone),
        Durations(spec, durations, seed),
        stubs or {},
    )
    before = not spec.catchup if caught_up is None else caught_up
    schedule = _Schedule(spec, chosen, start, caught_up=before)
    world = World(spec, schedule, tasks, places or NO_LIMIT, pools or {})
    moments = sorted(map(utc, manual))
    if moments and not start <= moments[0] <= moments[-1] < end:
        raise BadSimulation("manual", "has a moment outside of the simulated time")
    world.go(start, end, moments)
    made = History(
        dag_id=spec.dag_id,
        task_ids=tuple(map(str, spec.tasks)),
        start=start,
        end=end,
        zone=zone,
        schedule=spec.schedule,
    )
    made.runs, made.attempts = world.runs, world.attempts
    made.tasks = [row for run in made.runs for row in world.tasks.get(run.run_id, ())]
    return made


def _all_with_work(spec: DagSpec) -> DagSpec:
    """The DAG with stubs for all tasks: one that does nothing stands for something, too."""
    tasks = {name: replace(task, inert=False) for name, task in spec.tasks.items()}
    return replace(spec, tasks=tasks)


def _check_pools(spec: DagSpec, pools: Mapping[str, int]) -> None:
    for name, slots in pools.items():
        if slots < UNLIMITED:
            raise BadSimulation(f"pools[{name!r}]", f"must be 0 or more, not {slots!r}")
    for task in spec.tasks.values():
        slots = pools.get(task.pool, UNLIMITED)
        if slots != UNLIMITED and task.pool_slots > slots:
            why = f"has {slots} slots; task {task.task_id!r} takes {task.pool_slots}"
            raise BadSimulation(f"pools[{task.pool!r}]", why)


class _Schedule:
    """What comes next, by the DAG's timetable."""

    def __init__(
        self, spec: DagSpec, timetable: Timetable, start: datetime, *, caught_up: bool
    ) -> None:
        self.timetable = timetable
        plan = Plan(
            timetable=timetable,
            start_date=spec.start_date,
            end_date=spec.end_date,
            catchup=spec.catchup,
            since=start,
        )
        if caught_up:
            before = replace(plan, catchup=False, since=spec.start_date)
            done = due(before, start - _A_MOMENT, 1)
            plan = replace(plan, last=done[-1].data_interval if done else None)
        self._plan, self._stuck = plan, False
        self.next = next_due(plan, start)

    def take(self, now: datetime, room: int) -> list[tuple[datetime, DataInterval]]:
        """The runs to start now: when each was due, and its data interval."""
        infos = due(self._plan, now, room)
        if infos:
            self._plan = replace(self._plan, last=infos[-1].data_interval)
            self.next = next_due(self._plan, now)
        else:  # it led nowhere: once more a moment later, then no more
            later = None if self._stuck else next_due(self._plan, now + _A_MOMENT)
            self.next = later if later is not None and later > now else None
        self._stuck = not infos
        return [(info.run_after, info.data_interval) for info in infos]
