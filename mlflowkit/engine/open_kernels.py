"""Automatic retries wait while a person has the kernel open that failed.

Looks when a retry is due, and then every moment until the kernel is closed, released or
gone. Only tells the machine what it saw; where it cannot look, nothing waits.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from mlflowkit.core.events import Event, RetryHeldBack
from mlflowkit.core.spec import RunId, TaskId, instance_name
from mlflowkit.core.states import TaskState
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.ports import HeldKernels

#: How often it is looked whether somebody still has it open.
LOOK_SECONDS: Final = 1.0
#: An engine that dies meanwhile leaves a retry that is due then.
_HOLD_BACK: Final = timedelta(seconds=60)
_Where = tuple[RunId, TaskId, int]


class NoKernels:
    """`ports.HeldKernels` where none is held."""

    def opened(self) -> Collection[tuple[str, str, int]]:
        """None."""
        return ()

    def release(self, run_id: str, task_ids: Collection[str], *, opened: bool) -> None:
        """Nothing."""


class OpenKernels:
    """Of one engine. Used from its thread alone."""

    def __init__(
        self, home: Path, owned: Mapping[RunId, OwnedRun], kernels: HeldKernels
    ) -> None:
        self._home, self._owned, self._kernels = home, owned, kernels
        self._waiting: set[_Where] = set()
        self._look_at = 0.0

    def of_due(
        self, run_ids: Iterable[RunId], now: datetime
    ) -> Iterator[tuple[RunId, Event]]:
        """What the machine must know before it hears that time has passed for these runs."""
        due = [where for run_id in run_ids for where in self._due(run_id, now)]
        opened = self._kernels.opened() if due else ()
        for where in due:
            if tuple(where) in opened:
                self._waiting.add(where)
                self._look_at = time.monotonic() + LOOK_SECONDS
                yield where[0], _held_back(where, now + _HOLD_BACK)

    def _due(self, run_id: RunId, now: datetime) -> Iterator[_Where]:
        """The retries of notebooks that are due."""
        owned = self._owned.get(run_id)
        if owned is None or owned.run.row.cancelled:
            return
        seen = {
            (task_id, index) for when, task_id, index in owned.run.alarms if when <= now
        }
        for task_id, index in sorted(seen):
            where = (run_id, TaskId(task_id), index)
            if self._waits_for_retry(where) and self._executed(where).exists():
                yield where

    def _waits_for_retry(self, where: _Where) -> bool:
        run_id, task_id, index = where
        owned = self._owned.get(run_id)
        node = owned.run.nodes.get(task_id) if owned is not None else None
        instance = node.instances.get(index) if node is not None else None
        return instance is not None and instance.state is TaskState.UP_FOR_RETRY

    def _executed(self, where: _Where) -> Path:
        """Where an executed notebook is; other tasks have none."""
        run_id, task_id, index = where
        return self._home / "runs" / run_id / f"{instance_name(task_id, index)}.ipynb"

    def closed(self, now: datetime) -> list[tuple[RunId, Event]]:
        """Retries that need not wait any more, if it is time to look."""
        if not self._waiting or time.monotonic() < self._look_at:
            return []
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._waiting = set(filter(self._waits_for_retry, self._waiting))
        opened = self._kernels.opened() if self._waiting else ()
        closed = sorted(where for where in self._waiting if tuple(where) not in opened)
        self._waiting.difference_update(closed)
        return [(where[0], RetryHeldBack(where[1], where[2], now, "")) for where in closed]

    def seconds_left(self) -> Sequence[float]:
        """Until it is looked again; nothing if nobody waits."""
        return [self._look_at - time.monotonic()] if self._waiting else ()


def _held_back(where: _Where, until: datetime) -> RetryHeldBack:
    run_id, task_id, index = where
    name = instance_name(task_id, index)
    how = f"mlflowkit notebook release {run_id} {name}"
    return RetryHeldBack(task_id, index, until, f"it retries when that is closed ({how})")
