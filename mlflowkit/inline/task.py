"""One task of a DAG in this process, with values in place of what stands above it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring.params import validate_params
from mlflowkit.core.machine import InstanceRow
from mlflowkit.core.machine.expand import axis_length
from mlflowkit.core.spec import RETURN_VALUE, UNMAPPED, AttemptId, RunId, TaskId
from mlflowkit.errors import (
    CannotTestTask,
    TaskNotInRun,
    TaskRescheduled,
    TaskSkipped,
)
from mlflowkit.inline import TestRun
from mlflowkit.inline.options import files_standing_in
from mlflowkit.worker.attempt import Attempt
from mlflowkit.worker.protocol import Ended

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.core.machine.run import Node

#: XComs by task id, or by (task id, key).
XComs = Mapping[Any, object]


class TaskRun(TestRun):
    """A run of a DAG of which one task is executed."""

    __test__ = False

    def put(self, xcoms: XComs) -> None:
        """Give the values of other tasks; of a mapped task, the list of its values.

        Raises:
            TaskNotInRun: the DAG has no such task.
            NotExpandable: tasks expand over a value that has no length.
        """
        for name, value in xcoms.items():
            task_id, key = name if isinstance(name, tuple) else (name, RETURN_VALUE)
            node = self._node(task_id)
            if not node.mapped:
                self._put(node, UNMAPPED, key, value)
                continue
            if not isinstance(value, list | tuple):
                why = f"{task_id!r} is mapped: give a list, a value for each instance"
                raise CannotTestTask(task_id, why)
            for index, one in enumerate(value):
                self._put(node, index, key, one)

    def _put(self, node: Node, index: int, key: str, value: object) -> None:
        task_id, expandable = node.spec.task_id, key in node.spec.expanded_keys
        where = f"task {task_id!r}, XCom {key!r}"
        stored = self._values.dump(value, expandable=expandable, where=where)
        self._xcoms[task_id, index, key] = stored
        if stored.length is not None and not node.mapped:
            node.row.lengths[key] = stored.length

    def _node(self, task_id: str) -> Node:
        node = self._run.nodes.get(TaskId(task_id))
        if node is None:
            raise TaskNotInRun(self.run_id, task_id, self._run.nodes)
        return node

    def attempt(
        self, task_id: str, map_index: int | None, context: Mapping[str, Any]
    ) -> Ended:
        """Run the task, whatever comes of it; what it raised is in `exception`.

        Raises:
            CannotTestTask, TaskNotInRun: nothing has run.
        """
        from mlflowkit.nbrun.engine import NotebookEngine

        node = self._node(task_id)
        self._check_inputs(node)
        index = _index(self, node, map_index)
        row = InstanceRow(task_id=node.spec.task_id, map_index=index, attempt=1)
        node.instances[index] = row
        attempt = AttemptId(RunId(self.run_id), node.spec.task_id, index, 1)
        order = self._owned.order(attempt, self._fetch, lambda _v, _i: None)
        running = Attempt(order, self._code, self._values, self, NotebookEngine())
        running.context.update(context)
        ended = running.run()
        self.exception = running.exception
        for key, stored in ended.values:
            self._xcoms[attempt.task_id, index, key] = stored
        return ended

    def value_of(self, ended: Ended) -> Any:
        """What the task returned."""
        found = dict(ended.values).get(RETURN_VALUE)
        return self._values.load(found) if found is not None else None

    def execute(
        self, task_id: str, map_index: int | None, context: Mapping[str, Any]
    ) -> Any:
        """Run the task. Returns its value; raises what it raises."""
        ended = self.attempt(task_id, map_index, context)
        if self.exception is not None:
            raise self.exception
        if ended.outcome == "skipped":
            raise TaskSkipped(ended.why)
        if ended.outcome == "rescheduled" and ended.when is not None:
            raise TaskRescheduled(ended.when)
        return self.value_of(ended)

    def _check_inputs(self, node: Node) -> None:
        axes = node.spec.expansion.axes if node.spec.expansion else ()
        sources = [ref for axis in axes for ref in axis.sources()]
        given = {(task_id, key) for task_id, _, key in self._xcoms}
        for ref in (*node.spec.inputs, *sources):
            mapped = self._run.nodes[ref.task_id].mapped
            if not mapped and (str(ref.task_id), ref.key) not in given:
                name = ref.task_id if ref.key == RETURN_VALUE else (ref.task_id, ref.key)
                why = f"it takes a value of {ref.task_id!r}: give xcoms={{{name!r}: …}}, "
                why += "or --xcom in a terminal"
                raise CannotTestTask(node.spec.task_id, why)


def _index(run: TaskRun, node: Node, given: int | None) -> int:
    """The map index: what was said, the only one, or none."""
    if node.spec.expansion is None:
        if given is not None and given != UNMAPPED:
            why = f"it is not mapped, and has no instance {given}"
            raise CannotTestTask(node.spec.task_id, why)
        return UNMAPPED
    index = 0 if given is None else given
    axes = node.spec.expansion.axes
    lengths = [axis_length(run._run, axis) for axis in axes]
    length = prod(one or 0 for one in lengths)
    if not 0 <= index < length:
        why = f"it has {length} instances, and none with the map index {index}"
        raise CannotTestTask(node.spec.task_id, why)
    return index


@contextmanager
def one_task(
    dag: DAG,
    *,
    params: Mapping[str, object] | None = None,
    xcoms: XComs | None = None,
    options: Mapping[str, Any] | None = None,
) -> Generator[TaskRun, None, None]:
    """A run whose tasks can be executed one by one; its files are gone afterwards.

    Raises:
        UserError: the DAG, a parameter or a value does not fit. Nothing has run.
    """
    spec = dag.spec()
    given = validate_params(spec, params or {})
    home = Path(tempfile.mkdtemp(prefix="mlflowkit-task-"))
    try:
        with files_standing_in(options or {}):
            run = TaskRun(dag, spec, given, home, options)
            run.put(xcoms or {})
            yield run
    finally:
        shutil.rmtree(home, ignore_errors=True)
