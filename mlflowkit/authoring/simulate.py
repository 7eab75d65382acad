"""`dag.simulate()`: what a person typed, as what the core takes; what its operators are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, tzinfo
from typing import TYPE_CHECKING

from mlflowkit.authoring.branch import Branching, ShortCircuitOperator
from mlflowkit.authoring.machine_zone import machine_zone
from mlflowkit.authoring.schedule import schedule_zone
from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.authoring.simulation import Simulation
from mlflowkit.core.simulate import simulate
from mlflowkit.core.spec import TaskId
from mlflowkit.core.stub_answers import moment_or_day
from mlflowkit.core.stubs import Stub, Waits

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.operator import BaseOperator


def simulate_dag(
    dag: DAG,
    start: object,
    end: object,
    *,
    durations: object = None,
    outcomes: object = None,
    places: int | None = None,
    pools: Mapping[str, int] | None = None,
    manual: Iterable[object] = (),
    caught_up: bool | None = None,
    seed: int = 0,
) -> Simulation:
    """See `DAG.simulate`."""
    zone = schedule_zone(dag.timezone, dag.start_date) or machine_zone()
    history = simulate(
        dag.spec(),
        _moment("start", start, zone),
        _moment("end", end, zone),
        timetable=dag.own_timetable,
        durations=durations,
        outcomes=outcomes,
        stubs={TaskId(task.task_id): stub_of(task) for task in dag.tasks},
        places=places,
        pools=pools,
        manual=[_moment("manual", one, zone) for one in manual],
        caught_up=caught_up,
        seed=seed,
        zone=zone,
    )
    return Simulation(history)


def stub_of(task: BaseOperator) -> Stub:
    """What a simulation must know of a task beside its spec."""
    waits = None
    if isinstance(task, BaseSensorOperator):
        longest = task.max_wait.total_seconds() if task.max_wait is not None else None
        waits = Waits(
            interval=task.poke_interval,
            timeout=task.timeout,
            reschedule=task.reschedule,
            soft_fail=task.soft_fail,
            exponential=task.exponential_backoff,
            longest=longest,
        )
    short = ""
    if isinstance(task, ShortCircuitOperator):
        short = "all" if task.ignore_downstream_trigger_rules else "direct"
    return Stub(
        waits=waits,
        branch=isinstance(task, Branching),
        short_circuit=short,
        latest_only=bool(getattr(task, "only_latest", False)),
    )


def _moment(where: str, value: object, zone: tzinfo) -> datetime:
    """A day is its first moment, in the zone of the DAG."""
    found: date | datetime = moment_or_day(where, value, zone)
    if isinstance(found, datetime):
        return found
    return datetime.combine(found, time(), zone)
