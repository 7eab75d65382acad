"""The DAG that is made of task cells: an ordinary DAG that follows its cells.

Whoever asks it for its tasks, its graph or a run gets those of the cells as they are now, also
through a variable from before: nothing is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mlflowkit.authoring.cell_task import CellTask, function_of
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.defining_cell import notebook_file
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.refs import ParamRef, XComArg
from mlflowkit.authoring.template import literal
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import NoTaskCells, UnknownTaskCell
from mlflowkit.jupyter.wiring import TaskCell, Wired, wired


class CellDag(DAG):
    """A DAG of task cells. `names`: what the notebook has defined, now and later."""

    def __init__(self, dag_id: str, names: dict[str, Any], **options: Any) -> None:
        self.cells: dict[str, TaskCell] = {}
        self.names = names
        self._building = False
        self.configure(dag_id, options)

    def configure(self, dag_id: str, options: Mapping[str, Any]) -> None:
        """Take other options, or another name; the cells stay.

        Raises:
            GraphError: an option that it cannot have; nothing has changed.
        """
        DAG(dag_id, **options)
        #: The options that it was given.
        self.given = dict(options)
        self._building = True
        try:
            DAG.__init__(self, dag_id, **options)
        finally:
            self._building = False
        file = notebook_file()
        self.origin = str(file) if file is not None else ""

    def take(self, cell: TaskCell) -> str:
        """Register a cell, in the place of an earlier one of its name or of the same cell.

        Returns:
            The name that the same cell had before, if it had another.
        """
        before = next(
            (
                c.task_id
                for c in self.cells.values()
                if cell.cell_id and c.cell_id == cell.cell_id and c.task_id != cell.task_id
            ),
            "",
        )
        replaced = {before: cell, cell.task_id: cell}
        kept = {n: replaced.get(n, c) for n, c in self.cells.items()}
        self.cells = {c.task_id: c for c in kept.values()} | {cell.task_id: cell}
        return before

    def drop(self, task_id: str) -> None:
        """Forget a cell.

        Raises:
            UnknownTaskCell: there is none of that name.
        """
        if task_id not in self.cells:
            raise UnknownTaskCell(self.dag_id, task_id, self.cells)
        del self.cells[task_id]

    # ── as its cells are now ──

    def wiring(self) -> list[Wired]:
        """What each cell takes and gives.

        Raises:
            CellError: it cannot be told.
        """
        return wired(list(self.cells.values()), list(self._params), self.names)

    @property
    def tasks(self) -> list[BaseOperator]:
        self._build()
        return super().tasks

    @property
    def task_ids(self) -> list[str]:
        return list(self.cells)

    @property
    def task_dict(self) -> dict[str, BaseOperator]:
        self._build()
        return super().task_dict

    def get_task(self, task_id: str) -> BaseOperator:
        self._build()
        return super().get_task(task_id)

    def has_task(self, task_id: str) -> bool:
        return task_id in self.cells

    def spec(self) -> DagSpec:
        if not self.cells:
            raise NoTaskCells(self.dag_id)
        self._build()
        self._building = True
        try:
            return super().spec()
        finally:
            self._building = False

    def _build(self) -> None:
        if self._building:
            return
        self._building = True
        try:
            plan = self.wiring()
            self._tasks, self._numbers = {}, {}
            made = {one.cell.task_id: self._task(one) for one in plan}
            for one in plan:
                self._join(one, made)
        finally:
            self._building = False

    def _task(self, one: Wired) -> CellTask:
        cell = one.cell
        function = function_of(
            cell.task_id,
            cell.tree,
            inputs=[*one.inputs, *one.params, *one.seeds, *one.context],
            outputs=one.outputs,
            imports=one.imports,
            text=cell.text,
            names=self.names,
        )
        return CellTask(
            cell.task_id,
            python_callable=function,
            multiple_outputs=bool(one.outputs),
            dag=self,
            **cell.options,
        )

    def _join(self, one: Wired, made: Mapping[str, CellTask]) -> None:
        task = made[one.cell.task_id]
        taken: dict[str, object] = {n: XComArg(made[t], n) for n, t in one.inputs.items()}
        taken |= {name: ParamRef(name) for name in one.params}
        taken |= {name: _as_it_is(value) for name, value in one.seeds.items()}
        task.op_kwargs = taken
        for other in one.cell.after:
            if other not in made:
                raise UnknownTaskCell(self.dag_id, other, made)
            task._upstream[other] = cast("BaseOperator", made[other])


def _as_it_is(value: object) -> object:
    """Texts of the notebook are no templates."""
    return literal(value) if isinstance(value, str) else value
