"""How many runs of a DAG may be under way at once: for the engine, and for simulated runs.

Only counts in, and counts or a yes out. Which runs those are is not its business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mlflowkit.core.spec import DagSpec
    from mlflowkit.core.timetable import Timetable

#: Scheduled runs of a DAG that may be under way at once, unless it says otherwise.
USUAL_ACTIVE_RUNS: Final = 16


def scheduled_room(
    spec: DagSpec, timetable: Timetable, scheduled: int, under_way: int
) -> int:
    """How many more runs its schedule may start now.

    Args:
        scheduled: Runs that its schedule has started and that have not ended.
        under_way: All runs of the DAG that have not ended; looked at only where the
            timetable has a limit of its own.
    """
    room = (spec.max_active_runs or USUAL_ACTIVE_RUNS) - scheduled
    if timetable.active_runs_limit is not None:
        room = min(room, timetable.active_runs_limit - under_way)
    return max(room, 0)


def may_open(spec: DagSpec, under_way: int) -> bool:
    """Whether a queued run may open beside those that are open."""
    return spec.max_active_runs is None or under_way < spec.max_active_runs
