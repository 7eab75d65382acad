"""Why a task instance that could run waits: what its pool says. Pure; chooses no state."""

from __future__ import annotations

from collections.abc import Mapping

from mlflowkit.core.offers import UNLIMITED
from mlflowkit.core.spec import TaskSpec


def pool_is_short(task: TaskSpec, pools: Mapping[str, int]) -> bool:
    """Whether a task can never get its slots of its pool, which is there."""
    slots = pools[task.pool]
    return slots != UNLIMITED and slots < task.pool_slots


def why_no_slot(task: TaskSpec, pools: Mapping[str, int]) -> str:
    """Why a task can never start with these pools (slots by name); empty if it can."""
    if task.pool not in pools:
        return f"waits for the pool {task.pool!r}, which does not exist (any more)"
    if pool_is_short(task, pools):
        return (
            f"waits for {task.pool_slots} slots of the pool {task.pool!r}, "
            f"which has {pools[task.pool]}"
        )
    return ""
