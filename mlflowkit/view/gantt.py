"""A run over time: for each task instance its attempts as bars, with the wait before them."""

from __future__ import annotations

from typing import Any, Final

from mlflowkit.core.machine import InstanceRow
from mlflowkit.core.screen import ms, short
from mlflowkit.core.spec import DagSpec
from mlflowkit.core.states import HOLDS_PLACE
from mlflowkit.store import screen as rows_of
from mlflowkit.store.database import Transaction
from mlflowkit.store.screen import EndedAttempt

#: Most rows, and bars in all. Of more instances those that failed, then the earliest.
MOST_ROWS: Final = 400
MOST_BARS: Final = 4000


def rows(tx: Transaction, run_key: int, spec: DagSpec) -> dict[str, Any]:
    """Rows in the order of the tasks, then by index; `left_out` counts those without one."""
    found = rows_of.started_instances(tx, run_key, MOST_ROWS + 1)
    more = len(found) > MOST_ROWS
    bars: dict[tuple[str, int], list[EndedAttempt]] = {}
    for one in rows_of.attempts_of_run(tx, run_key, MOST_BARS):
        bars.setdefault((one.task_id, one.map_index), []).append(one)
    order = {task.task_id: i for i, task in enumerate(spec.in_order())}
    shown = sorted(
        (row for row in found[:MOST_ROWS] if row.task_id in order),
        key=lambda r: (order[r.task_id], r.map_index),
    )
    return {
        "more": more,
        "rows": [
            {
                "task_id": row.task_id,
                "map_index": row.map_index,
                "state": str(row.state),
                "bars": _bars(row, bars.get((row.task_id, row.map_index), [])),
            }
            for row in shown
        ],
    }


def _bars(row: InstanceRow, ended: list[EndedAttempt]) -> list[dict[str, Any]]:
    found = [
        {
            "attempt": one.number,
            "state": _STATES.get(one.outcome, one.outcome),
            "queued": ms(one.queued_at),
            "started": ms(one.started_at),
            "ended": ms(one.ended_at),
            "reason": short(one.reason, 160),
        }
        for one in ended
    ]
    if row.state in HOLDS_PLACE and all(one.number != row.attempt for one in ended):
        found.append(
            {
                "attempt": row.attempt,
                "state": str(row.state),
                "queued": ms(row.queued_at),
                "started": ms(row.started_at) if str(row.state) == "running" else None,
                "ended": None,
                "reason": "",
            }
        )
    return found


_STATES: Final = {"succeeded": "success", "rescheduled": "up_for_reschedule"}
