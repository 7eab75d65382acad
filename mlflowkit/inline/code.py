"""The code of a DAG of this process, as an attempt asks for it: `dag.test()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.template_options import templates_of
from mlflowkit.core.spec import DagSpec
from mlflowkit.prepare import ask_timetable, complete, prepared
from mlflowkit.worker.attempt import Executable
from mlflowkit.worker.run_context import Context
from mlflowkit.worker.sides import Inputs


class DagCode:
    """`worker.attempt.Code` on a DAG of this process."""

    def __init__(self, dag: DAG, spec: DagSpec) -> None:
        self._dag, self.spec = dag, spec

    def callbacks(self, task_id: str, kind: str) -> Sequence[Callable[[Any], object]]:
        """What is to be called when a task, or the run (no task id), has ended so."""
        owner: Any = self._dag.get_task(task_id) if task_id else self._dag
        found: Sequence[Callable[[Any], object]] = owner.callbacks.get(kind, ())
        return found

    def complete(self, task_id: str, context: Context) -> None:
        complete(context, self._dag.get_task(task_id))

    def next_info(self, given: Mapping[str, Any]) -> bytes:
        timetable = self._dag.own_timetable
        return ask_timetable(timetable, given) if timetable is not None else b"null"

    def prepare(self, task_id: str, inputs: Inputs) -> Executable:
        task = self._dag.get_task(task_id)
        settings = templates_of(self._dag)
        return prepared(task, inputs, lambda: settings)
