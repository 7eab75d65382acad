"""mlflowkit: pipelines for people who live in notebooks.

The front door. Every public name is loaded on first use; `import mlflowkit` itself loads
nothing heavy, and nothing here is also the name of a sub-package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mlflowkit.authoring.arrows import chain
    from mlflowkit.authoring.context import get_current_context, push, task_state_dir
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.dag_function import dag
    from mlflowkit.authoring.notebook import NotebookOperator, notebook
    from mlflowkit.authoring.operator import BaseOperator
    from mlflowkit.authoring.params import Param
    from mlflowkit.authoring.python import PythonOperator
    from mlflowkit.authoring.refs import XComArg
    from mlflowkit.authoring.runs import run, runs
    from mlflowkit.authoring.task import task
    from mlflowkit.core.connection import Connection
    from mlflowkit.errors import (
        MlflowkitError,
        RunFailed,
        TaskFailed,
        TaskSkipped,
        UserError,
    )
    from mlflowkit.nbrun.inside import input as input
    from mlflowkit.operators.bash import BashOperator
    from mlflowkit.ports import report_progress

#: Where each public name lives.
_HOMES = {
    "BaseOperator": "mlflowkit.authoring.operator",
    "BashOperator": "mlflowkit.operators.bash",
    "Connection": "mlflowkit.core.connection",
    "DAG": "mlflowkit.authoring.dag",
    "MlflowkitError": "mlflowkit.errors",
    "NotebookOperator": "mlflowkit.authoring.notebook",
    "Param": "mlflowkit.authoring.params",
    "PythonOperator": "mlflowkit.authoring.python",
    "RunFailed": "mlflowkit.errors",
    "TaskFailed": "mlflowkit.errors",
    "TaskSkipped": "mlflowkit.errors",
    "UserError": "mlflowkit.errors",
    "XComArg": "mlflowkit.authoring.refs",
    "chain": "mlflowkit.authoring.arrows",
    "dag": "mlflowkit.authoring.dag_function",
    "get_current_context": "mlflowkit.authoring.context",
    "input": "mlflowkit.nbrun.inside",
    "notebook": "mlflowkit.authoring.notebook",
    "push": "mlflowkit.authoring.context",
    "report_progress": "mlflowkit.ports",
    "run": "mlflowkit.authoring.runs",
    "runs": "mlflowkit.authoring.runs",
    "task": "mlflowkit.authoring.task",
    "task_state_dir": "mlflowkit.authoring.context",
}

#: `input` is left out, so that `import *` does not hide the built-in one.
__all__ = [
    "DAG",
    "BaseOperator",
    "BashOperator",
    "Connection",
    "MlflowkitError",
    "NotebookOperator",
    "Param",
    "PythonOperator",
    "RunFailed",
    "TaskFailed",
    "TaskSkipped",
    "UserError",
    "XComArg",
    "chain",
    "dag",
    "get_current_context",
    "notebook",
    "push",
    "report_progress",
    "run",
    "runs",
    "task",
    "task_state_dir",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from mlflowkit.errors import suggest

        hint = suggest(name, _HOMES) if not name.startswith("_") else ""
        raise AttributeError(f"module 'mlflowkit' has no attribute {name!r}.{hint}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
