"""What can be found wrong with a DAG before it runs, beyond its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.python import PythonOperator

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def check_dag(dag: DAG) -> None:
    """Do arguments fit functions, and parameters fit notebooks?

    Raises:
        ParameterError, NotebookError: the first that does not.
    """
    for task in dag.tasks:
        if isinstance(task, PythonOperator):
            task.check_arguments()
        elif isinstance(task, NotebookOperator):
            task.check_parameters()
