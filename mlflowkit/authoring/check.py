"""What can be found wrong with a DAG before it runs, beyond its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.authoring.template_check import check_templates
from mlflowkit.authoring.template_options import templates_of

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def check_dag(dag: DAG) -> None:
    """Do arguments fit functions, and parameters fit notebooks? Can templates be read?

    Raises:
        ParameterError, NotebookError, TemplateError: the first that does not fit.
        BadOption: the DAG's own macros or filters are none.
    """
    templates = templates_of(dag)
    for task in dag.tasks:
        if isinstance(task, PythonOperator):
            task.check_arguments()
        elif isinstance(task, NotebookOperator):
            task.check_parameters()
        check_templates(task, templates)
