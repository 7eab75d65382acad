"""Branches and short circuits: a function decides which of the tasks below go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from mlflowkit.authoring.conditions import Conditional
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.errors import BranchNotBelow, NotInTask
from mlflowkit.ports import RunningTask, running_task


def _running(what: str) -> RunningTask:
    task = running_task()
    if task is None:
        raise NotInTask(what)
    return task


class Branching(BaseOperator):
    """A task that chooses among those directly below it.

    What stands below is written down when the task travels: workers have no DAG.
    """

    #: For each task directly below: those directly below that wait for it, too.
    _below: Mapping[str, tuple[str, ...]] = {}
    #: For each group with tasks directly below: its first tasks among them.
    _groups_below: Mapping[str, tuple[str, ...]] = {}

    def go_on_with(self, chosen: object) -> None:
        """Let the chosen tasks go on, and skip the others that stand directly below.

        A task that waits for a chosen one is not skipped, either.

        Args:
            chosen: A task id, a group's id (its first tasks), a list of them, or None.

        Raises:
            BranchNotBelow: it names something else.
        """
        follow: dict[str, None] = {}
        for name in self._names(chosen):
            for task_id in self._groups_below.get(name, (name,)):
                if task_id not in self._below:
                    known = [*self._below, *self._groups_below]
                    raise BranchNotBelow(self.task_id, name, known)
                follow |= dict.fromkeys((task_id, *self._below[task_id]))
        _running("a branch").follow(tuple(follow))

    def _names(self, chosen: object) -> list[str]:
        if chosen is None:
            return []
        listed = isinstance(chosen, (list, tuple, set, frozenset))
        names = list(cast("Iterable[object]", chosen)) if listed else [chosen]
        for name in names:
            if not isinstance(name, str):
                raise BranchNotBelow(self.task_id, name, self._below)
        return cast("list[str]", names)

    def __getstate__(self) -> dict[str, Any]:
        if self.dag is not None:
            self._below = _below(self)
            self._groups_below = _groups_below(self)
        return super().__getstate__()


def _below(task: BaseOperator) -> dict[str, tuple[str, ...]]:
    graph = _graph(task)
    direct = graph[task.task_id]
    found: dict[str, tuple[str, ...]] = {}
    for name in direct:
        reached, todo = set[str](), [name]
        while todo:
            below = graph[todo.pop()] - reached
            reached |= below
            todo += below
        found[name] = tuple(sorted(reached & direct))
    return dict(sorted(found.items()))


def _graph(task: BaseOperator) -> Mapping[str, set[str]]:
    """For each task of the DAG those directly below it."""
    tasks = task.dag.tasks if task.dag else []
    found: dict[str, set[str]] = {one.task_id: set() for one in tasks}
    for one in tasks:
        for above in one.upstream():
            found[above].add(one.task_id)
    return found


def _groups_below(task: BaseOperator) -> dict[str, tuple[str, ...]]:
    direct = {one.task_id for one in task.downstream_list}
    groups = task.dag.groups if task.dag else {}
    found = {
        name: tuple(t.task_id for t in group.roots if t.task_id in direct)
        for name, group in groups.items()
    }
    return {name: roots for name, roots in found.items() if roots}


class BaseBranchOperator(Branching):
    """A branch that is a class: subclasses decide in `choose_branch(context)`."""

    def choose_branch(self, context: Mapping[str, Any]) -> object:
        """A task id, a group's id, a list of them, or None to skip all."""
        raise NotImplementedError(f"{type(self).__name__} has no choose_branch(context)")

    def execute(self, context: Mapping[str, Any]) -> object:
        chosen = self.choose_branch(context)
        self.go_on_with(chosen)
        return chosen


class BranchPythonOperator(PythonOperator, Branching):
    """Calls a function that returns what goes on: ids of tasks or groups directly below.

    All other tasks directly below are skipped, but for those that wait for a chosen one.
    What it returns is its XCom.

    Raises:
        BranchNotBelow: the function returned something else.
    """

    def execute(self, context: Mapping[str, Any]) -> object:
        chosen = super().execute(context)
        self.go_on_with(chosen)
        return chosen


class ShortCircuitOperator(PythonOperator):
    """Calls a function; if it returns something false, what is below is skipped.

    Args:
        ignore_downstream_trigger_rules: Skip everything below, whatever it waits for. If
            False, only what is directly below: the rules of the others decide about them.
    """

    def __init__(
        self, task_id: str, *, ignore_downstream_trigger_rules: bool = True, **options: Any
    ) -> None:
        super().__init__(task_id, **options)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def execute(self, context: Mapping[str, Any]) -> object:
        value = super().execute(context)
        if not value:
            direct_only = not self.ignore_downstream_trigger_rules
            _running("a short circuit").halt(direct_only=direct_only)
        return value


class DecoratedBranch(Conditional, BranchPythonOperator):
    """What `@task.branch` makes of a function."""

    shown_as = "@task.branch"


class DecoratedShortCircuit(Conditional, ShortCircuitOperator):
    """What `@task.short_circuit` makes of a function."""

    shown_as = "@task.short_circuit"
