"""The task cells of this kernel: which DAGs there are, and which one is being written."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from mlflowkit.authoring.defining_cell import notebook_file
from mlflowkit.errors import BadMagic, NoTaskCells
from mlflowkit.jupyter.cell_dag import CellDag
from mlflowkit.jupyter.wiring import TaskCell

#: The name of a DAG of which neither a cell nor the notebook's file says one.
UNNAMED = "notebook"


class Session:
    """One for each kernel. `names`: what the notebook has defined."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.dags: dict[str, CellDag] = {}
        self._current: CellDag | None = None
        #: The cells that named DAGs, by what their front end calls them.
        self._named_by: dict[str, CellDag] = {}
        self._has_name = False

    def dag(self) -> CellDag:
        """The DAG that is being written.

        Raises:
            NoTaskCells: none is.
        """
        if self._current is None:
            raise NoTaskCells(default_name())
        return self._current

    def take(self, cell: TaskCell) -> tuple[CellDag, str]:
        """Register a cell with the DAG that has it already, else with the one being written.

        Returns:
            The DAG, and the name that the same cell had before, if it had another.
        """
        dag = self._home_of(cell)
        if dag is None:
            dag = self._current or self._open(default_name(), {})
        return dag, dag.take(cell)

    def _home_of(self, cell: TaskCell) -> CellDag | None:
        return next(
            (
                dag
                for dag in self.dags.values()
                for one in dag.cells.values()
                if cell.cell_id and one.cell_id == cell.cell_id
            ),
            None,
        )

    def name(self, dag_id: str, options: Mapping[str, Any], cell_id: str) -> CellDag:
        """`%dag NAME`: the DAG that is being written gets a name, or another one begins.

        It is another one if this one has a name already, unless the same cell gave it.
        """
        known = self.dags.get(dag_id)
        before = self._named_by.get(cell_id) if cell_id else None
        if known is None and before is None and not self._has_name:
            before = self._current
        dag = known or before
        if dag is None:
            dag = self._open(dag_id, options)
        else:
            dag.configure(dag_id, options)
            self.dags = {d.dag_id: d for d in self.dags.values()}
        self._current, self._has_name = dag, True
        if cell_id:
            self._named_by[cell_id] = dag
        return dag

    def rename(self, dag_id: str) -> CellDag:
        """Give the DAG that is being written another name.

        Raises:
            BadMagic: another one has it.
        """
        dag = self.dag()
        if self.dags.get(dag_id) not in (None, dag):
            raise BadMagic(
                f"%dag rename {dag_id}", "another DAG of this notebook has that name"
            )
        dag.configure(dag_id, dag.given)
        self.dags = {d.dag_id: d for d in self.dags.values()}
        self._has_name = True
        return dag

    def forget(self, dag_id: str) -> None:
        """Drop a whole DAG."""
        if self.dags.pop(dag_id, None) is self._current:
            self._current = next(iter(self.dags.values()), None)
            self._has_name = self._current is not None

    def _open(self, dag_id: str, options: Mapping[str, Any]) -> CellDag:
        dag = CellDag(dag_id, self.names, **options)
        self.dags[dag_id] = self._current = dag
        return dag


def default_name() -> str:
    """The name of the notebook's file, if it is known."""
    file = notebook_file()
    return (re.sub(r"[^\w.-]+", "_", file.stem) if file is not None else "") or UNNAMED


_sessions: dict[int, Session] = {}


def session() -> Session:
    """The session of this kernel; in a process without a notebook, that of `__main__`."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    names = shell.user_ns if shell is not None else vars(sys.modules["__main__"])
    found = _sessions.get(id(names))
    if found is None or found.names is not names:
        found = _sessions[id(names)] = Session(names)
    return found
