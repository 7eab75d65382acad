"""What can be found wrong with a DAG before it runs, beyond its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlflowkit.authoring.branch import BaseBranchOperator
from mlflowkit.authoring.mapping import MappedOperator
from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.authoring.template_check import check_templates
from mlflowkit.authoring.template_options import templates_of
from mlflowkit.errors import NotAnOperator

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def check_dag(dag: DAG) -> None:
    """Do arguments fit functions, and parameters fit notebooks? Can templates be read?

    Raises:
        ParameterError, NotebookError, TemplateError: the first that does not fit.
        BadOption: the DAG's own macros or filters are none.
        NotAnOperator: the class of a task does not say what to do.
    """
    templates = templates_of(dag)
    for task in dag.tasks:
        if isinstance(task, PythonOperator):
            task.check_arguments()
        elif isinstance(task, NotebookOperator):
            task.check_parameters()
        check_templates(task, templates)
        _check_does_something(task)


#: What a subclass must have, by the class that asks for it.
_TO_WRITE: Final = (
    (BaseOperator, "execute"),
    (BaseSensorOperator, "poke"),
    (BaseBranchOperator, "choose_branch"),
)


def _check_does_something(task: BaseOperator) -> None:
    """Raises NotAnOperator for a task whose class leaves out what it is to do."""
    made = task.operator_class if isinstance(task, MappedOperator) else type(task)
    for kind, name in _TO_WRITE:
        own = vars(task).get(name, getattr(made, name, None))
        if kind in made.__mro__ and own is getattr(kind, name):
            raise NotAnOperator(made.__name__, name, task.task_id)
