"""Notebooks as a face: `%load_ext mlflowkit`, task cells, the picture of a DAG in a cell.

Loads nothing by itself; what is here never works out a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def current_dag() -> DAG:
    """The DAG that is made of this notebook's task cells: what `%dag` gives.

    Raises:
        NoTaskCells: no cell was registered as a task.
    """
    from mlflowkit.jupyter.session import session

    return session().dag()
