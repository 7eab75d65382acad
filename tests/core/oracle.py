"""When a task instance may start, told a second time: over the stored rows, and from
Airflow's documentation alone. Must not use `core.trigger_rule` or `core.machine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Literal

from mlflowkit.core.spec import UNMAPPED, Axis, DagSpec, TaskId, TaskSpec
from mlflowkit.core.states import TaskState
from tests.core.world import Rows

S, F, U, K = (
    TaskState.SUCCESS,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.SKIPPED,
)
ENDED = {S, F, U, K}
Answer = Literal["run", "wait", "closed"]


def may_run(
    rule: str, n: Counter[TaskState], still_open: int, setups: list[TaskState]
) -> bool:
    """Each line is the sentence of Airflow's page on trigger rules."""
    bad = n[F] + n[U]
    met = {
        "all_success": not (still_open or bad or n[K]),
        "all_failed": not (still_open or n[S] or n[K]),
        "all_done": not still_open,
        "all_skipped": not (still_open or n[S] or bad),
        "one_success": n[S] > 0,
        "one_failed": bad > 0,
        "one_done": n[S] + n[F] > 0,
        "none_failed": not (still_open or bad),
        "none_failed_min_one_success": not (still_open or bad) and n[S] > 0,
        "none_skipped": not (still_open or n[K]),
        "all_done_min_one_success": not (still_open or n[K]) and n[S] > 0,
        "all_done_setup_success": not still_open and (not setups or S in setups),
        "always": True,
    }
    return met[rule]


def is_hopeless(
    rule: str, n: Counter[TaskState], still_open: int, setups: list[TaskState]
) -> bool:
    """Whatever those that are still open do, it will not run."""
    bad = n[F] + n[U]
    nothing_comes = still_open == 0
    lost = {
        "all_success": bad or n[K],
        "all_failed": n[S] or n[K],
        "all_done": False,
        "all_skipped": n[S] or bad,
        "one_success": nothing_comes and not n[S],
        "one_failed": nothing_comes and not bad,
        "one_done": nothing_comes and not (n[S] or n[F]),
        "none_failed": bad,
        "none_failed_min_one_success": bad or (nothing_comes and not n[S]),
        "none_skipped": n[K],
        "all_done_min_one_success": n[K] or (nothing_comes and not n[S]),
        "all_done_setup_success": nothing_comes and bool(setups) and S not in setups,
        "always": False,
    }
    return bool(lost[rule])


class Oracle:
    """What the rows of a run say."""

    def __init__(self, spec: DagSpec, rows: Rows) -> None:
        self.spec, self.rows = spec, rows
        self._further_up: dict[TaskId, set[TaskId]] = {}
        for task in spec.in_order():
            ups = task.upstream
            found = {*ups, *(a for up in ups for a in self._further_up[up])}
            self._further_up[task.task_id] = found

    def instances(self, task_id: TaskId) -> dict[int, TaskState]:
        """Every instance of a task, also those that have no row; {} until it is expanded."""
        task, node = self.spec.tasks[task_id], self.rows.nodes.get(task_id)
        found: dict[int, TaskState] = {
            index: row.state
            for (name, index), row in self.rows.instances.items()
            if name == task_id and row.state is not TaskState.REMOVED
        }
        if task.expansion is None or node is None or not node.length:
            return {UNMAPPED: found[UNMAPPED]} if UNMAPPED in found else {}
        kept = self.rows.run.cancelled and not task.teardown
        held = TaskState.NONE in found.values()
        rest = TaskState.SKIPPED if kept else TaskState.SCHEDULED
        for index in range(node.length):
            if index < node.next_index or (held and not kept):
                found.setdefault(index, TaskState.NONE)
            else:
                found.setdefault(index, rest)
        return found

    def asked(self, task: TaskSpec, index: int, up: TaskId) -> list[TaskState | None]:
        """The instances of `up` that instance `index` of a task looks at; None: yet to come."""
        found = self.instances(up)
        other = self.spec.tasks[up]
        if task.mapped_group and other.mapped_group == task.mapped_group:
            return [found.get(UNMAPPED, found.get(index))]
        return [*found.values()] or [None]

    def about(self, task_id: TaskId, index: int) -> Answer:
        """May this instance start (`UNMAPPED`: be expanded), and if not: never?"""
        task = self.spec.tasks[task_id]
        needs = [*self._setups(task, index), *self._sources(task)]
        if any(state in (F, U, K) for state in needs):
            return "closed"
        above = [s for up in task.upstream for s in self.asked(task, index, up)]
        counts = Counter(state for state in above if state is not None and state in ENDED)
        still_open = len(above) - counts.total()
        facts = (
            str(task.trigger_rule),
            counts,
            still_open,
            self._direct_setups(task, index),
        )
        if task.upstream and is_hopeless(*facts):
            return "closed"
        if task.upstream and not may_run(*facts):
            return "wait"
        if not self._work_is_over(task, index):
            return "wait"
        return "run" if all(state is S for state in needs) else "wait"

    def _setups(self, task: TaskSpec, index: int) -> Iterator[TaskState | None]:
        """Those further up; a teardown has none, and `always` asks nobody."""
        if task.teardown or task.trigger_rule == "always":
            return
        for up in self._above(task.task_id):
            if not self.spec.tasks[up].setup or up in task.upstream:
                continue
            closers = [t for t in self._below_directly(up) if self.spec.tasks[t].teardown]
            if not closers or any(task.task_id in self._above(t) for t in closers):
                yield from self.asked(task, index, up)

    def _work_is_over(self, task: TaskSpec, index: int) -> bool:
        """A teardown starts once all between its setups and it has ended."""
        setups = [up for up in task.upstream if self.spec.tasks[up].setup]
        return not task.teardown or all(
            state in ENDED
            for name in self._above(task.task_id)
            if self._above(name).intersection(setups)
            for state in self.asked(task, index, name)
        )

    def _sources(self, task: TaskSpec) -> Iterator[TaskState | None]:
        """What it expands over: an instance that was cleared has an item of it, too."""
        if task.expansion is None:
            return
        for axis in task.expansion.axes:
            for ref in axis.sources():
                found = self.instances(ref.task_id)
                if not found or not set(found.values()) <= ENDED:
                    yield None
                else:
                    yield found.get(UNMAPPED, S)

    def has_item(self, task: TaskSpec, index: int) -> bool:
        """Whether what a mapped task expands over has one for this instance, as of now."""
        axes = task.expansion.axes if task.expansion else ()
        return index < prod(self._length(axis) for axis in axes)

    def _length(self, axis: Axis) -> int:
        if axis.length is not None:
            return axis.length
        if axis.source is None:
            lengths = [self._length(part) for part in axis.parts]
            if axis.how == "concat":
                return sum(lengths)
            return min(lengths) if axis.how == "zip" else max(lengths)
        name, rows = axis.source.task_id, self.rows
        if self.spec.tasks[name].expansion is None:
            node = rows.nodes.get(name)
            return node.lengths.get(axis.source.key, 0) if node else 0
        return sum(
            row.state is S and not row.reason.startswith("marked")
            for (task_id, _), row in rows.instances.items()
            if task_id == name
        )

    def _direct_setups(self, task: TaskSpec, index: int) -> list[TaskState]:
        ups = [up for up in task.upstream if self.spec.tasks[up].setup]
        states = (state for up in ups for state in self.asked(task, index, up))
        return [state for state in states if state is not None]

    def _above(self, task_id: TaskId) -> set[TaskId]:
        return self._further_up[task_id]

    def _below_directly(self, task_id: TaskId) -> list[TaskId]:
        return [t.task_id for t in self.spec.tasks.values() if task_id in t.upstream]

    def below(self, task_id: TaskId) -> set[TaskId]:
        return {t for t in self.spec.tasks if task_id in self._above(t)}

    def scope(self, task_id: TaskId) -> set[TaskId]:
        """The teardowns below it of setups above it."""
        below = self.below(task_id)
        setups = [up for up in self._above(task_id) if self.spec.tasks[up].setup]
        closers = {t for up in setups for t in self._below_directly(up)}
        return {t for t in closers & below if self.spec.tasks[t].teardown}
