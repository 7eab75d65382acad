"""What a DAG is, as plain data: everything the engine may know about a person's code.

No function, class or pickle is in here. A `DagSpec` travels as JSON; what its
tasks *do* is in the bundle, which only workers open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, NewType

from mlflowkit.errors import BadName, CycleFound, UnknownUpstream

DagId = NewType("DagId", str)
TaskId = NewType("TaskId", str)
#: `train/3` for people: the DAG, then its runs counted from 1.
RunId = NewType("RunId", str)

#: The map index of a task instance that is not mapped.
UNMAPPED = -1
RETURN_VALUE = "return_value"
#: Where no `max_retry_delay` says otherwise.
LONGEST_DELAY = timedelta(days=365)
#: DAG and task ids become names of folders and files.
_NAME = re.compile(r"[\w.-]+")
#: Names become file names, with an index, a number and a suffix: 255 bytes are all there are.
MAX_NAME_BYTES = 200


def instance_name(task_id: str, map_index: int) -> str:
    """`fit`, or `fit[7]` of a mapped task: for people, and for the files of a task instance.
    Ids have no brackets, so two task instances never share a name."""
    return f"{task_id}[{map_index}]" if map_index >= 0 else task_id


class AttemptId(NamedTuple):
    """One try of a task instance. Made of facts, so that a replay finds the same one."""

    run_id: RunId
    task_id: TaskId
    map_index: int
    #: Counted from 1, over everything that was ever launched for the task instance.
    number: int

    def __str__(self) -> str:
        return f"{self.run_id}/{instance_name(self.task_id, self.map_index)}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a failed task instance is tried again, and how long it waits before."""

    #: Tries after the first one. Lost attempts do not count.
    retries: int = 0
    retry_delay: timedelta = timedelta(minutes=5)
    #: 1.0 keeps the delay; 2.0 doubles it before each later retry.
    exponential_backoff: float = 1.0
    max_retry_delay: timedelta | None = None

    def delay_after(self, failures: int) -> timedelta:
        """The wait after the `failures`-th failed try (counted from 1)."""
        longest = LONGEST_DELAY if self.max_retry_delay is None else self.max_retry_delay
        factor = self.exponential_backoff ** min(failures - 1, 64)
        if self.retry_delay.total_seconds() * factor >= longest.total_seconds():
            return longest
        return self.retry_delay * factor


class XComRef(NamedTuple):
    """A value that a task takes from another one."""

    task_id: TaskId
    key: str = RETURN_VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One argument that a mapped task expands over."""

    name: str
    #: Items when the value was written in the DAG; None when it comes from `source`.
    length: int | None = None
    source: XComRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A mapped task: one task instance for each combination of its axes' items."""

    axes: tuple[Axis, ...]
    #: Most task instances that it may become.
    limit: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    task_id: TaskId
    #: The operator's class, for people.
    operator: str = "PythonOperator"
    upstream: tuple[TaskId, ...] = ()
    #: What it takes from other tasks, mapped arguments left out.
    inputs: tuple[XComRef, ...] = ()
    expansion: Expansion | None = None
    #: Keys of its XComs that some task expands over: their lengths ride on its end.
    expanded_keys: tuple[str, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    execution_timeout: timedelta | None = None
    #: One process for each task instance, instead of one for all of a mapped task's.
    isolate: bool = False
    #: Hash of what the task does (code, captured values, arguments): "did it change?".
    fingerprint: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamSpec:
    """One parameter of a DAG. `schema` is a JSON Schema; {} allows everything."""

    name: str
    required: bool = True
    #: JSON text of the default; None when there is none.
    default_json: str | None = None
    schema_json: str = "{}"
    annotation: str = ""


@dataclass(frozen=True, kw_only=True)
class DagSpec:
    """A DAG, checked: every upstream exists and no task waits for itself."""

    dag_id: DagId
    tasks: Mapping[TaskId, TaskSpec]
    params: tuple[ParamSpec, ...] = ()
    schedule: str | None = None
    start_date: datetime | None = None
    catchup: bool = False
    description: str = ""
    tags: tuple[str, ...] = ()
    #: The file or notebook that defines it, for people.
    origin: str = ""
    _downstream: dict[TaskId, tuple[TaskId, ...]] = field(
        default_factory=dict[TaskId, tuple[TaskId, ...]],
        init=False,
        repr=False,
        compare=False,
    )

    def __post_init__(self) -> None:
        self._check_names()
        self._check_upstream()
        found: dict[TaskId, list[TaskId]] = {name: [] for name in self.tasks}
        for task in self.tasks.values():
            for up in task.upstream:
                found[up].append(task.task_id)
        self._downstream.update({name: tuple(names) for name, names in found.items()})

    def _check_names(self) -> None:
        for name in (self.dag_id, *self.tasks):
            too_long = len(name.encode()) > MAX_NAME_BYTES
            if not _NAME.fullmatch(name) or name in (".", "..") or too_long:
                raise BadName(self.dag_id, name)
        for name, task in self.tasks.items():
            if name != task.task_id:
                raise BadName(self.dag_id, task.task_id, listed_as=name)

    def _check_upstream(self) -> None:
        for task in self.tasks.values():
            axes = task.expansion.axes if task.expansion else ()
            sources = [axis.source.task_id for axis in axes if axis.source]
            for up in (*task.upstream, *sources):
                if up not in self.tasks:
                    raise UnknownUpstream(self.dag_id, task.task_id, up, self.tasks)
        try:
            TopologicalSorter(
                {t.task_id: t.upstream for t in self.tasks.values()}
            ).prepare()
        except CycleError as exc:
            path: list[str] = exc.args[1]
            raise CycleFound(self.dag_id, tuple(path)) from None

    def downstream(self, task_id: TaskId) -> tuple[TaskId, ...]:
        """The tasks that wait for it directly, in the order they were written."""
        return self._downstream[task_id]

    @property
    def leaves(self) -> tuple[TaskId, ...]:
        """The tasks that nothing waits for: they decide how the run ended."""
        return tuple(t for t in self.tasks if not self._downstream[t])

    def in_order(self) -> Iterator[TaskSpec]:
        """The tasks, each after all that it waits for; ties in the order they were written."""
        sorter = TopologicalSorter({t.task_id: t.upstream for t in self.tasks.values()})
        for task_id in sorter.static_order():
            yield self.tasks[task_id]
