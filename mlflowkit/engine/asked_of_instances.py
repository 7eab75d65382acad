"""What people ask of single task instances of an engine's runs.

Looks whether it fits, so that a person is told why not, and hands it to the next turn: nothing
here chooses a state.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from mlflowkit.core.events import Event, InstanceAsked, MarkAsked
from mlflowkit.core.machine import Run
from mlflowkit.core.machine.again import why_not_cleared
from mlflowkit.core.machine.mark import why_not
from mlflowkit.core.machine.people import why_not_cancelled
from mlflowkit.core.spec import UNMAPPED, RunId, TaskId, instance_name
from mlflowkit.engine.gates import Gates
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.errors import NotCleared, RunNotFound, RunStillRunning, TaskNotInRun
from mlflowkit.store import runs as stored
from mlflowkit.store.database import Database


class AskedOfInstances:
    """The part of `RunsInHand` that is about single task instances."""

    database: Database
    gates: Gates
    _owned: dict[RunId, OwnedRun]
    _events: list[tuple[RunId, Event]]

    @abstractmethod
    def _retry_waits(self, run_id: RunId) -> bool: ...
    @abstractmethod
    def _own(self, run_id: RunId) -> None: ...
    @abstractmethod
    def _disown(self, run_id: RunId) -> None: ...

    def ask_instance(
        self, run_id: RunId, task_id: TaskId, map_index: int, what: str
    ) -> bool:
        """Stop an attempt ("stop"), or end the wait for its next one ("retry_now",
        "give_up"). Whether this engine works on the run; if not, it is too late.

        Raises:
            TaskNotInRun: it has no such task.
        """
        owned = self._owned.get(run_id)
        if owned is None or owned.run.ended:
            return False
        if task_id not in owned.run.nodes:
            raise TaskNotInRun(run_id, task_id, owned.run.nodes)
        self._events.append((run_id, InstanceAsked(task_id, map_index, what)))
        return True

    def cancel_instances(
        self, run_id: RunId, task_id: TaskId, map_indexes: tuple[int, ...] = ()
    ) -> str:
        """Stop these task instances, or, without indexes, all of the task's that have not
        ended. Why nothing is stopped; empty if it is.

        Raises:
            TaskNotInRun: it has no such task.
        """
        owned = self._owned.get(run_id)
        if owned is None or owned.run.ended:
            return "nobody works on its run now"
        node = owned.run.nodes.get(task_id)
        if node is None:
            raise TaskNotInRun(run_id, task_id, owned.run.nodes)
        asked = map_indexes or sorted(node.instances)
        fit, why = _fitting(
            task_id, map_indexes, {i: why_not_cancelled(owned.run, node, i) for i in asked}
        )
        for index in fit:
            self._events.append((run_id, InstanceAsked(task_id, index, "cancel")))
        return why

    def mark(
        self, run_id: RunId, task_id: TaskId, map_indexes: tuple[int, ...], state: str
    ) -> str:
        """Say how these task instances ended, or, without indexes, all of the task's that can
        be marked. Why nothing was marked; empty if it was.

        Raises:
            RunNotFound: there is no such run.
            RunStillRunning: it was interrupted, or is about to run again.
            TaskNotInRun: it has no such task.
        """
        if self._retry_waits(run_id):
            raise RunStillRunning(run_id)
        self._disown(run_id)
        owned = self._owned.get(run_id)
        run = owned.run if owned is not None else self._ended_run(run_id)
        node = run.nodes.get(task_id)
        if node is None:
            raise TaskNotInRun(run_id, task_id, run.nodes)
        asked = map_indexes or sorted(node.instances)
        fit, why = _fitting(
            task_id, map_indexes, {i: why_not(run, node, i, state) for i in asked}
        )
        if why:
            return why
        self._own(run_id)
        self._events.append((run_id, MarkAsked(task_id, fit, state)))
        if run.ended:
            self.gates.opened(run_id)
        return ""

    def _ended_run(self, run_id: RunId) -> Run:
        with self.database.reading() as tx:
            found = stored.load_run(tx, run_id)
        if found is None:
            raise RunNotFound(run_id, [])
        if not found.run.ended:
            raise RunStillRunning(run_id)
        return found.run


def refuse_parts(run: Run, parts: Mapping[TaskId, tuple[int, ...]]) -> None:
    """Raises NotCleared if the run has no such task instances."""
    for task_id, indexes in parts.items():
        why = why_not_cleared(run.nodes[task_id], indexes)
        if why:
            index = indexes[0] if len(indexes) == 1 else UNMAPPED
            raise NotCleared(run.run_id, instance_name(task_id, index), why)


def _fitting(
    task_id: TaskId, named: tuple[int, ...], whys: Mapping[int, str]
) -> tuple[tuple[int, ...], str]:
    """The task instances that can be what was asked; none, and why, if one that was named
    cannot."""
    fit = tuple(index for index, why in whys.items() if not why)
    problem = next(((i, why) for i, why in whys.items() if why), None)
    if problem is None or (fit and not named):
        return fit, "" if fit else "it has no task instance yet"
    index, why = problem
    return (), f"{instance_name(task_id, index)}: {why}" if len(whys) > 1 else why
