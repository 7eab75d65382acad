"""A run that this engine owns, and the order that goes to an executor for each attempt of it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from mlflowkit.core.machine.expand import axis_length
from mlflowkit.core.spec import (
    UNMAPPED,
    AttemptId,
    Expansion,
    RunId,
    XComRef,
    instance_name,
)
from mlflowkit.core.values import StoredValue
from mlflowkit.ports import LaunchOrder, Surroundings
from mlflowkit.store.planned import PLANNED_TYPES
from mlflowkit.store.runs import StoredRun

#: Inline XComs of a run that are kept in memory: the next task usually wants them at once.
REMEMBERED_XCOMS = 256
#: Reads an XCom from the store: (run_key, task_id, key, map_index).
Fetch = Callable[[int, str, str, int], StoredValue | None]
#: Item i of an inline list, without opening it; None when it must be read by the worker.
Slice = Callable[[StoredValue, int], StoredValue | None]


class OwnedRun:
    """A run in memory, and what launching its attempts needs."""

    def __init__(self, found: StoredRun, home: Path) -> None:
        self.run_key, self.run, self.bundle = found.run_key, found.run, found.bundle
        self.surroundings: Surroundings = found.surroundings
        self.params_json = found.params
        self.log_seq = found.log_seq
        self._folder = str(home / "runs" / self.run_id)
        self._logs = f"{self._folder}/logs"
        self._states = str(home / "state" / self.run_id)
        self._artifacts = str(home / "artifacts")
        self.facts = found.facts
        self._facts = json.dumps({k: _plain(v) for k, v in found.facts.items()}).encode()
        self._xcoms: OrderedDict[tuple[str, int, str], StoredValue] = OrderedDict()

    @property
    def run_id(self) -> RunId:
        return self.run.run_id

    @property
    def dag_id(self) -> str:
        return self.run.spec.dag_id

    @property
    def is_planned(self) -> bool:
        """Whether it comes of a schedule or a backfill."""
        return self.facts["run_type"] in PLANNED_TYPES

    @property
    def logical_date(self) -> datetime:
        found: datetime = self.facts["logical_date"]
        return found

    def remember(self, task_id: str, map_index: int, key: str, value: StoredValue) -> None:
        self._xcoms[task_id, map_index, key] = value
        while len(self._xcoms) > REMEMBERED_XCOMS:
            self._xcoms.popitem(last=False)

    def forget(self) -> None:
        """XComs were cleared: read them anew."""
        self._xcoms.clear()

    def xcom(self, ref: XComRef, fetch: Fetch) -> StoredValue | None:
        """A value of a task that is not mapped."""
        known = self._xcoms.get((ref.task_id, UNMAPPED, ref.key))
        if known is not None:
            return known
        found = fetch(self.run_key, ref.task_id, ref.key, UNMAPPED)
        if found is not None:
            self.remember(ref.task_id, UNMAPPED, ref.key, found)
        return found

    def order(self, attempt: AttemptId, fetch: Fetch, slice_: Slice) -> LaunchOrder:
        """All that the executor needs to run an attempt."""
        task = self.run.spec.tasks[attempt.task_id]
        instance = self.run.nodes[attempt.task_id].instances[attempt.map_index]
        inputs = {
            f"{ref.task_id}\0{ref.key}": self.xcom(ref, fetch)
            for ref in task.inputs
            if self.run.spec.tasks[ref.task_id].expansion is None
        }
        axes: list[tuple[str, int]] = []
        if task.expansion is not None and attempt.map_index >= 0:
            axes = self._axes(task.expansion, attempt.map_index)
            inputs |= self._items(task.expansion, dict(axes), fetch, slice_)
        name = instance_name(attempt.task_id, attempt.map_index)
        log = f"{self._logs}/{name}.{attempt.number}"
        return LaunchOrder(
            attempt=attempt,
            try_number=instance.failures + 1,
            max_tries=task.retry.retries + 1,
            bundle=self.bundle,
            surroundings=self.surroundings,
            params_json=self.params_json,
            facts_json=self._facts,
            inputs=inputs,
            axes=tuple(axes),
            expanded_keys=task.expanded_keys,
            isolate=task.isolate,
            first_started_at=instance.first_started_at,
            reschedules=instance.reschedules,
            cache_code=task.fingerprint if task.cache is not None else "",
            resume=self.facts.get("resume", ""),
            log=f"{log}.log",
            journal=f"{log}.jsonl",
            state_dir=f"{self._states}/{name}",
            output_base=f"{self._folder}/{name}",
            artifacts=self._artifacts,
        )

    def service_order(
        self,
        attempt: AttemptId,
        service: str,
        arguments: Mapping[str, object],
        try_number: int = 1,
    ) -> LaunchOrder:
        """Code of a person that is no task: a callback, for one, about a try of a task."""
        name = instance_name(attempt.task_id, attempt.map_index) or "run"
        log = f"{self._logs}/{name}.{service}.{-attempt.number}"
        task = self.run.spec.tasks.get(attempt.task_id)
        return LaunchOrder(
            attempt=attempt,
            try_number=try_number,
            max_tries=task.retry.retries + 1 if task else 1,
            bundle=self.bundle,
            surroundings=self.surroundings,
            params_json=self.params_json,
            facts_json=self._facts,
            isolate=True,
            service=service,
            service_json=json.dumps(arguments, default=str).encode(),
            log=f"{log}.log",
            journal=f"{log}.jsonl",
            state_dir=f"{self._states}/{name}",
            output_base=f"{self._folder}/{name}",
            artifacts=self._artifacts,
        )

    def _axes(self, expansion: Expansion, map_index: int) -> list[tuple[str, int]]:
        """Which item of each axis: the last axis turns fastest."""
        found: list[tuple[str, int]] = []
        left = map_index
        for axis in reversed(expansion.axes):
            left, at = divmod(left, max(axis_length(self.run, axis) or 1, 1))
            found.append((axis.name, at))
        return found[::-1]

    def _items(
        self, expansion: Expansion, at: dict[str, int], fetch: Fetch, slice_: Slice
    ) -> dict[str, StoredValue | None]:
        """The sources of the axes: a small list's item alone, else the whole by reference."""
        found: dict[str, StoredValue | None] = {}
        for axis in expansion.axes:
            for source in axis.sources():
                if self.run.spec.tasks[source.task_id].expansion is not None:
                    continue
                whole = self.xcom(source, fetch)
                index = at[axis.name]
                alone = whole if axis.source is not None else None
                item = slice_(alone, index) if alone is not None else None
                if item is not None:
                    found[f"{source.task_id}\0{source.key}\0{index}"] = item
                else:
                    found[f"{source.task_id}\0{source.key}"] = whole
        return found


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
