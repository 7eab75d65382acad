"""A small world to run runs in: a clock that we turn, a store that is a dict, short ways to say things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflowkit.core.decisions import Decision, Launch
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptRescheduled,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    PlacesOffered,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.machine import InstanceRow, NodeRow, Outcome, Run, RunRow, handle, load
from mlflowkit.core.machine.ready import Entry
from mlflowkit.core.machine.run import REST, WHOLE_RUN
from mlflowkit.core.spec import (
    UNMAPPED,
    AttemptId,
    Axis,
    DagId,
    DagSpec,
    Expansion,
    RetryPolicy,
    RunId,
    TaskId,
    TaskSpec,
    XComRef,
)
from mlflowkit.core.states import TaskState
from mlflowkit.core.trigger_rule import TriggerRule

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = RunId("p/1")
#: What a mapped task expands over: items written in the DAG, the task that gives them, or
#: how several of those are joined: `("zip", 3, "load")`.
AxisDrawing = int | str | tuple[str | int, ...]
HOWS = ("zip", "longest", "concat")


def dag(
    drawing: str,
    *,
    mapped: Mapping[str, AxisDrawing | tuple[AxisDrawing, ...]] | None = None,
    retry: RetryPolicy | None = None,
    retries: int = 0,
    timeout: timedelta | None = None,
    limit: int = 1000,
    each: Mapping[str, Mapping[str, Any]] | None = None,
    rules: Mapping[str, str] | None = None,
    group: str = "",
    **options: Any,
) -> DagSpec:
    """`dag("load > fit > report; load > check", mapped={"fit": "load"})`: arrows as drawn.

    `each` has more fields of some tasks, `group` the names of those in one mapped group;
    `options` are fields of the DAG.
    """
    upstream: dict[str, list[str]] = {}
    for line in drawing.split(";") if drawing else ():
        names = [name.strip() for name in line.split(">")]
        for above, name in zip([None, *names], names, strict=False):
            ups = upstream.setdefault(name, [])
            if above and above not in ups:
                ups.append(above)
    policy = retry or RetryPolicy(retries=retries, retry_delay=timedelta(seconds=10))
    tasks = {
        TaskId(name): TaskSpec(
            task_id=TaskId(name),
            upstream=tuple(map(TaskId, ups)),
            expansion=_expansion((mapped or {}).get(name), limit),
            retry=policy,
            execution_timeout=timeout,
        )
        for name, ups in upstream.items()
    }
    for name, rule in (rules or {}).items():
        tasks[TaskId(name)] = replace(tasks[TaskId(name)], trigger_rule=TriggerRule(rule))
    for name in group.split():
        tasks[TaskId(name)] = replace(tasks[TaskId(name)], mapped_group="g")
    for name, fields in (each or {}).items():
        tasks[TaskId(name)] = replace(tasks[TaskId(name)], **fields)
    for name, task in tasks.items():
        if task.teardown and name not in (rules or {}):
            rule = TriggerRule.ALL_DONE_SETUP_SUCCESS
            tasks[name] = replace(task, trigger_rule=rule)
    return DagSpec(dag_id=DagId("p"), tasks=tasks, **options)


def _expansion(
    axes: AxisDrawing | tuple[AxisDrawing, ...] | None, limit: int
) -> Expansion | None:
    if axes is None:
        return None
    several = isinstance(axes, tuple) and axes[0] not in HOWS
    drawn: Any = axes if several else (axes,)
    return Expansion(
        axes=tuple(_axis(f"x{i}", a) for i, a in enumerate(drawn)), limit=limit
    )


def _axis(name: str, drawn: AxisDrawing) -> Axis:
    if isinstance(drawn, int):
        return Axis(name=name, length=drawn)
    if isinstance(drawn, tuple):
        parts = tuple(_axis("", part) for part in drawn[1:])
        return Axis(name=name, how=str(drawn[0]), parts=parts)
    return Axis(name=name, source=XComRef(TaskId(drawn)))


def copied(row: NodeRow) -> NodeRow:
    """A copy that shares nothing with it; of the other rows `replace(row)` is one."""
    return replace(row, lengths=dict(row.lengths), left_out=dict(row.left_out))


class Rows:
    """What the store holds: copies of the rows, and nothing that is not in them."""

    def __init__(self) -> None:
        self.run = RunRow(run_id=RUN)
        self.nodes: dict[TaskId, NodeRow] = {}
        self.instances: dict[tuple[TaskId, int], InstanceRow] = {}

    def save(self, outcome: Outcome) -> None:
        """Fold the rows of one outcome in."""
        self.nodes.update({key: copied(row) for key, row in outcome.nodes.items()})
        self.instances.update({key: replace(r) for key, r in outcome.instances.items()})
        self.run = replace(outcome.run) if outcome.run else self.run

    def load(self, spec: DagSpec) -> Run:
        """The run that they describe, newest row first: the order must not matter."""
        instances = map(replace, reversed(self.instances.values()))
        return load(spec, replace(self.run), map(copied, self.nodes.values()), instances)


class World:
    """A run, its log, what is stored of it, and everything that it decided so far."""

    def __init__(
        self, spec: DagSpec, *, opened: bool = True, waits_past: tuple[str, ...] = ()
    ) -> None:
        self.spec, self.now = spec, NOON
        self.run = Run(spec, RunRow(run_id=RUN))
        self.rows = Rows()
        self.log: list[tuple[Event, datetime]] = []
        self.outcome = Outcome()
        if opened:
            self.tell(RunOpened(tuple(map(TaskId, waits_past))))

    # ── telling ──

    def tell(self, event: Event) -> list[Decision]:
        self.outcome = handle(self.run, event, self.now)
        self.log.append((event, self.now))
        self.rows.save(self.outcome)
        return self.outcome.decisions

    def places(
        self, places: int = 1, pools: Mapping[str, int] | None = None, **tasks: int
    ) -> list[Decision]:
        limits = {TaskId(name): free for name, free in tasks.items()}
        return self.tell(PlacesOffered(places, pools or {}, limits))

    def launched(self, places: int = 99, **limits: Any) -> list[str]:
        """Offer places; the names of what is started: `["load", "fit[0]"]`."""
        found = [d.attempt for d in self.places(places, **limits) if isinstance(d, Launch)]
        return [_name(at.task_id, at.map_index) for at in found]

    def wait(self, **duration: float) -> list[Decision]:
        self.now += timedelta(**duration)
        return self.tell(TimePassed())

    def attempt(self, name: str, number: int | None = None) -> AttemptId:
        """`attempt("fit[2]", 1)`; the latest one without a number."""
        task_id, _, index = name.rstrip("]").partition("[")
        at = int(index) if index else UNMAPPED
        latest = self.run.nodes[TaskId(task_id)].instances[at].attempt
        return AttemptId(RUN, TaskId(task_id), at, number or latest)

    def start(self, name: str) -> list[Decision]:
        return self.tell(AttemptStarted(self.attempt(name)))

    def succeed(
        self,
        *names: str,
        length: int | None = None,
        chosen: str | None = None,
        halts: str = "",
    ) -> list[Decision]:
        """`chosen` names the tasks with which a branch goes on, `halts` is a short circuit's."""
        lengths = {} if length is None else {"return_value": length}
        which = None if chosen is None else tuple(map(TaskId, chosen.split()))
        return [
            decision
            for name in names
            for decision in self.tell(
                AttemptSucceeded(self.attempt(name), lengths, which, halts)
            )
        ]

    def reschedule(self, name: str, **after: float) -> list[Decision]:
        when = self.now + timedelta(**after)
        return self.tell(AttemptRescheduled(self.attempt(name), when))

    def fail(self, name: str, why: str = "boom", retryable: bool = True) -> list[Decision]:
        return self.tell(AttemptFailed(self.attempt(name), why, retryable))

    def skip(self, name: str, why: str = "nothing to do") -> list[Decision]:
        return self.tell(AttemptSkipped(self.attempt(name), why))

    def lose(self, name: str, why: str = "no sign of life") -> list[Decision]:
        return self.tell(AttemptLost(self.attempt(name), why))

    def reload(self) -> None:
        """The engine dies; another one reads the rows."""
        self.run = self.rows.load(self.spec)

    # ── looking ──

    def states(self) -> dict[str, str]:
        """By name, as stored; what was never queued of a mapped task is `fit[2:]`."""
        found = {
            _name(*key): str(row.state) for key, row in sorted(self.rows.instances.items())
        }
        for task_id, row in self.rows.nodes.items():
            if row.next_index < (row.length or 0):
                found[f"{task_id}[{row.next_index}:{row.length}]"] = "not queued"
        return found

    def reason(self, name: str) -> str:
        at = self.attempt(name)
        return self.rows.instances[at.task_id, at.map_index].reason

    def ended(self) -> tuple[str, str]:
        """The run's state and its reason."""
        return str(self.rows.run.state), self.rows.run.reason


def _name(task_id: str, index: int) -> str:
    return task_id if index == UNMAPPED else f"{task_id}[{index}]"


def anatomy(run: Run) -> dict[str, Any]:
    """All that a run is, so that two can be compared: rows, counters, what is ready, alarms."""
    nodes = {
        task_id: {
            "row": copied(node.row),
            "instances": {i: replace(row) for i, row in sorted(node.instances.items())},
            "counts": {state: n for state, n in node.counts.items() if n},
            "above": {state: n for state, n in node.above.items() if n},
            "open_above": node.open_above,
            "done": node.done,
            "held": node.held,
            "out": node.out,
        }
        for task_id, node in run.nodes.items()
    }
    return {
        "row": replace(run.row),
        "nodes": nodes,
        "ready": Counter(
            (entry.task_id, "rest" if entry.map_index == REST else entry.map_index)
            for entry in run.ready
            if _is_scheduled(run, entry)
        ),
        "alarms": {alarm for alarm in run.alarms if _rings(run, *alarm)},
        "open_nodes": run.open_nodes,
        "out": run.out,
        "slots": {pool: n for pool, n in run.slots.items() if n},
        "left_out": {where: set(by) for where, by in run.left_out.items()},
    }


def _is_scheduled(run: Run, entry: Entry) -> bool:
    """What a branch has left out meanwhile still stands in the heap, and is passed by."""
    if entry.map_index == REST:
        return run.nodes[entry.task_id].unstarted > 0
    return run.nodes[entry.task_id].instances[entry.map_index].state is TaskState.SCHEDULED


def _rings(run: Run, when: datetime, task_id: TaskId, index: int) -> bool:
    if task_id == WHOLE_RUN:
        return when == run.deadline and not run.ended and not run.row.cancelled
    return run.nodes[task_id].instances[index].alarm == when
