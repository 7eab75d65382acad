"""What a screen is told of the run itself, without its tasks."""

from __future__ import annotations

from typing import Any

from mlflowkit.core.screen import ms, short
from mlflowkit.core.screen_actions import run_actions
from mlflowkit.core.spec import DagSpec
from mlflowkit.core.states import RUN_ENDED
from mlflowkit.store.screen import RunHead
from mlflowkit.view.details import shown_params


def run_facts(head: RunHead, spec: DagSpec, *, interrupted: bool) -> dict[str, Any]:
    """The run as plain data; `interrupted`: it has not ended, and nobody works on it."""
    times = ("created_at", "started_at", "ended_at", "logical_date")
    return {
        "run_id": head.run_id,
        "dag_id": head.dag_id,
        "run_type": head.run_type,
        "state": head.state,
        "reason": short(head.reason),
        "interrupted": interrupted,
        "cancelled": head.cancelled,
        "over": head.state in RUN_ENDED,
        "notes": [short(note) for note in head.notes[:20]],
        "description": short(spec.description),
        "params": shown_params(head.params),
        "actions": run_actions(
            head.state, interrupted=interrupted, cancelled=head.cancelled
        ),
        **{name.removesuffix("_at"): ms(getattr(head, name)) for name in times},
    }
