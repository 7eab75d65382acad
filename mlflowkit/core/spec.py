"""What a DAG is, as plain data: everything the engine may know about a person's code.

No function, class or pickle is in here. A `DagSpec` travels as JSON; what its
tasks *do* is in the bundle, which only workers open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple, NewType

from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadName, CycleFound, UnknownUpstream

DagId = NewType("DagId", str)
TaskId = NewType("TaskId", str)
#: `train/3` for people: the DAG, then its runs counted from 1.
RunId = NewType("RunId", str)

#: The map index of a task instance that is not mapped.
UNMAPPED = -1
RETURN_VALUE = "return_value"
DEFAULT_POOL = "default_pool"
#: Name of the axis whose items are whole sets of arguments (`expand_kwargs`).
KWARGS_AXIS = "**"
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
    """One argument that a mapped task expands over, or a part of one."""

    #: KWARGS_AXIS where each item is a whole set of arguments; empty for a part.
    name: str = ""
    #: Items when the value was written in the DAG; None when it comes from elsewhere.
    length: int | None = None
    source: XComRef | None = None
    #: How `parts` are joined: "zip" (the shortest), "longest", or "concat" (one after another).
    how: str = ""
    parts: tuple[Axis, ...] = ()

    def sources(self) -> Iterator[XComRef]:
        """The values of other tasks that say how long it is."""
        if self.source is not None:
            yield self.source
        for part in self.parts:
            yield from part.sources()


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
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    #: It makes ready what others need; `teardown` clears it away.
    setup: bool = False
    teardown: bool = False
    #: A teardown that fails lets the run fail, too.
    on_failure_fail_dagrun: bool = False
    #: The mapped task group that it stands in: its instance i waits for instance i of the
    #: tasks of the same group, and its `expansion` is the group's.
    mapped_group: str = ""
    pool: str = DEFAULT_POOL
    pool_slots: int = 1
    #: Higher ones start first. What its weight rule makes of all below or above is in it.
    priority_weight: int = 1
    #: Starts only after the same task of the run before it has ended well (scheduled runs).
    depends_on_past: bool = False
    #: And after the tasks directly below that one have.
    wait_for_downstream: bool = False
    max_active_tis_per_dag: int | None = None
    max_active_tis_per_dagrun: int | None = None
    #: Which ends call code of a person: "success", "failure", "retry", "skipped".
    callbacks: tuple[str, ...] = ()
    #: Assets that its success updates, and that it reads, by URI.
    outlets: tuple[str, ...] = ()
    inlets: tuple[str, ...] = ()
    #: How long a result counts for equal code and inputs; None: it is made anew each time.
    cache: timedelta | None = None
    map_index_template: str = ""
    owner: str = ""
    #: It does nothing and nobody is told of it: it succeeds without a worker.
    inert: bool = False
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpec:
    """A task group: for screens, and for what joins it to other tasks."""

    group_id: str
    #: The group around it; empty at the top.
    parent: str = ""
    label: str = ""
    tooltip: str = ""
    mapped: bool = False
    #: The tasks directly inside.
    tasks: tuple[TaskId, ...] = ()


class EdgeLabel(NamedTuple):
    """What is written at an arrow."""

    upstream: TaskId
    downstream: TaskId
    text: str


@dataclass(frozen=True, kw_only=True)
class DagSpec:
    """A DAG, checked: every upstream exists and no task waits for itself."""

    dag_id: DagId
    tasks: Mapping[TaskId, TaskSpec]
    params: tuple[ParamSpec, ...] = ()
    #: For people; what the planner reads is `timetable_json`.
    schedule: str | None = None
    #: A timetable of `core.timetable` as JSON; empty: it runs when somebody asks.
    timetable_json: str = ""
    start_date: datetime | None = None
    end_date: datetime | None = None
    catchup: bool = False
    #: Runs that may be under way at once, and task instances of one run; None: no limit.
    max_active_runs: int | None = None
    max_active_tasks: int | None = None
    dagrun_timeout: timedelta | None = None
    #: The first task that fails for good stops the run.
    fail_fast: bool = False
    #: Which ends of a run call code of a person: "success", "failure".
    callbacks: tuple[str, ...] = ()
    groups: Mapping[str, GroupSpec] = field(default_factory=dict[str, GroupSpec])
    edge_labels: tuple[EdgeLabel, ...] = ()
    owner: str = ""
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
            sources = [ref.task_id for axis in axes for ref in axis.sources()]
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
        """The tasks that decide how the run ended: those that nothing waits for.

        Teardown tasks do not count, unless they say so; what only they wait for does.
        Where there is nothing but teardowns, the last of them count.
        """
        found = tuple(
            name
            for name, task in self.tasks.items()
            if self._counts(task) and not any(map(self._decides, self._downstream[name]))
        )
        return found or tuple(name for name in self.tasks if not self._downstream[name])

    def _counts(self, task: TaskSpec) -> bool:
        return not task.teardown or task.on_failure_fail_dagrun

    def _decides(self, task_id: TaskId) -> bool:
        return self._counts(self.tasks[task_id])

    def setups_further_up(self, task_id: TaskId) -> tuple[TaskId, ...]:
        """The setup tasks that it needs although they do not stand directly above it.

        Those that nothing tears down, or that are torn down below it. A teardown needs none.
        """
        task = self.tasks[task_id]
        if task.teardown:
            return ()
        closers = {t for t in self._reach(task_id, self.downstream) if self._tears(t)}
        return tuple(
            up
            for up in sorted(self._reach(task_id, self._above))
            if self.tasks[up].setup
            and up not in task.upstream
            and self._serves(up, closers)
        )

    def setups_around(self, task_id: TaskId) -> Iterator[tuple[TaskId, tuple[TaskId, ...]]]:
        """The setup tasks above it that are torn down below it, with what tears them down."""
        below = self._reach(task_id, self.downstream)
        for up in sorted(self._reach(task_id, self._above)):
            closers = tuple(t for t in self.downstream(up) if self._tears(t) and t in below)
            if self.tasks[up].setup and closers:
                yield up, closers

    def clears_after(self, teardown: TaskId) -> tuple[TaskId, ...]:
        """The work between it and the setups directly above it; not what stands directly above.

        It waits for their end, too: one that was closed by a failure does not stand for
        others beside it that are still at work.
        """
        task = self.tasks[teardown]
        if not task.teardown:
            return ()
        setups = [up for up in task.upstream if self.tasks[up].setup]
        below = {one for up in setups for one in self._reach(up, self.downstream)}
        above = self._reach(teardown, self._above) & below if below else set[TaskId]()
        return tuple(sorted(above.difference(task.upstream)))

    def _above(self, task_id: TaskId) -> tuple[TaskId, ...]:
        return self.tasks[task_id].upstream

    def _tears(self, task_id: TaskId) -> bool:
        return self.tasks[task_id].teardown

    def _serves(self, setup: TaskId, closers: set[TaskId]) -> bool:
        teardowns = set(filter(self._tears, self.downstream(setup)))
        return not teardowns or bool(teardowns & closers)

    def _reach(
        self, task_id: TaskId, neighbours: Callable[[TaskId], tuple[TaskId, ...]]
    ) -> set[TaskId]:
        found, todo = set[TaskId](), list(neighbours(task_id))
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += neighbours(one)
        return found

    def all_below(self, task_id: TaskId) -> set[TaskId]:
        """Every task that waits for it, directly or not."""
        return self._reach(task_id, self.downstream)

    def in_order(self) -> Iterator[TaskSpec]:
        """The tasks, each after all that it waits for; ties in the order they were written."""
        sorter = TopologicalSorter({t.task_id: t.upstream for t in self.tasks.values()})
        for task_id in sorter.static_order():
            yield self.tasks[task_id]
