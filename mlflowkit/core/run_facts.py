"""A run as the code in it may ask for it: plain data, as JSON has it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mlflowkit.core.machine.run import Run


def run_as_asked(run: Run) -> dict[str, Any]:
    """Its state and end, and its task instances in the order of the DAG: state and times.

    Of a mapped task those that have a row: what waits for a place has none yet.
    """
    instances = [
        {
            "task_id": str(name),
            "map_index": index,
            "state": str(node.instances[index].state),
            "started_at": _text(node.instances[index].started_at),
            "ended_at": _text(node.instances[index].ended_at),
        }
        for name, node in run.nodes.items()
        for index in sorted(node.instances)
    ]
    return {
        "state": str(run.row.state),
        "ended_at": _text(run.row.ended_at),
        "instances": instances,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
