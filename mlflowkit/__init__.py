"""mlflowkit: pipelines for people who live in notebooks.

The front door. Every public name is loaded on first use; `import mlflowkit` itself loads
nothing heavy, and nothing here is also the name of a sub-package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mlflowkit.authoring.arrows import Label, chain, chain_linear, cross_downstream
    from mlflowkit.authoring.assets import Asset, AssetAll, AssetAny
    from mlflowkit.authoring.branch import (
        BaseBranchOperator,
        BranchPythonOperator,
        ShortCircuitOperator,
    )
    from mlflowkit.authoring.context import get_current_context, push, task_state_dir
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.dag_function import dag
    from mlflowkit.authoring.empty import EmptyOperator
    from mlflowkit.authoring.group import TaskGroup
    from mlflowkit.authoring.group_function import task_group
    from mlflowkit.authoring.notebook import NotebookOperator
    from mlflowkit.authoring.notebook_task import notebook
    from mlflowkit.authoring.operator import BaseOperator
    from mlflowkit.authoring.params import Param
    from mlflowkit.authoring.publish import schedule
    from mlflowkit.authoring.python import PythonOperator
    from mlflowkit.authoring.python_sensor import PythonSensor
    from mlflowkit.authoring.refs import XComArg
    from mlflowkit.authoring.runs import run, runs
    from mlflowkit.authoring.sensor import BaseSensorOperator, PokeReturnValue
    from mlflowkit.authoring.setup_teardown import setup, teardown
    from mlflowkit.authoring.task import task
    from mlflowkit.authoring.template import literal
    from mlflowkit.cleaning import clean
    from mlflowkit.core.secret import secret
    from mlflowkit.core.trigger_rule import TriggerRule
    from mlflowkit.errors import (
        MlflowkitError,
        RunFailed,
        TaskFailed,
        TaskFailedForGood,
        TaskRescheduled,
        TaskSkipped,
        UserError,
    )
    from mlflowkit.handles.past_notebooks import notebook_outputs
    from mlflowkit.hooks.base import BaseHook, Connection
    from mlflowkit.hooks.secrets_backend import BaseSecretsBackend
    from mlflowkit.hooks.variable import Variable
    from mlflowkit.nbrun.held import held_kernels
    from mlflowkit.nbrun.inside import input as input
    from mlflowkit.nbrun.leaving import exit_notebook
    from mlflowkit.nbrun.signature import inspect_notebook
    from mlflowkit.operators.bash import BashOperator
    from mlflowkit.ports import report_progress
    from mlflowkit.worker.masking import mask_secret

#: Where each public name lives.
_HOMES = {
    "Asset": "mlflowkit.authoring.assets",
    "AssetAll": "mlflowkit.authoring.assets",
    "AssetAny": "mlflowkit.authoring.assets",
    "BaseBranchOperator": "mlflowkit.authoring.branch",
    "BaseHook": "mlflowkit.hooks.base",
    "BaseOperator": "mlflowkit.authoring.operator",
    "BaseSecretsBackend": "mlflowkit.hooks.secrets_backend",
    "BaseSensorOperator": "mlflowkit.authoring.sensor",
    "BashOperator": "mlflowkit.operators.bash",
    "BranchPythonOperator": "mlflowkit.authoring.branch",
    "Connection": "mlflowkit.hooks.base",
    "DAG": "mlflowkit.authoring.dag",
    "EmptyOperator": "mlflowkit.authoring.empty",
    "Label": "mlflowkit.authoring.arrows",
    "MlflowkitError": "mlflowkit.errors",
    "NotebookOperator": "mlflowkit.authoring.notebook",
    "Param": "mlflowkit.authoring.params",
    "PokeReturnValue": "mlflowkit.authoring.sensor",
    "PythonOperator": "mlflowkit.authoring.python",
    "PythonSensor": "mlflowkit.authoring.python_sensor",
    "RunFailed": "mlflowkit.errors",
    "ShortCircuitOperator": "mlflowkit.authoring.branch",
    "TaskFailed": "mlflowkit.errors",
    "TaskFailedForGood": "mlflowkit.errors",
    "TaskGroup": "mlflowkit.authoring.group",
    "TaskRescheduled": "mlflowkit.errors",
    "TaskSkipped": "mlflowkit.errors",
    "TriggerRule": "mlflowkit.core.trigger_rule",
    "UserError": "mlflowkit.errors",
    "Variable": "mlflowkit.hooks.variable",
    "XComArg": "mlflowkit.authoring.refs",
    "chain": "mlflowkit.authoring.arrows",
    "chain_linear": "mlflowkit.authoring.arrows",
    "clean": "mlflowkit.cleaning",
    "cross_downstream": "mlflowkit.authoring.arrows",
    "dag": "mlflowkit.authoring.dag_function",
    "exit_notebook": "mlflowkit.nbrun.leaving",
    "get_current_context": "mlflowkit.authoring.context",
    "input": "mlflowkit.nbrun.inside",
    "held_kernels": "mlflowkit.nbrun.held",
    "inspect_notebook": "mlflowkit.nbrun.signature",
    "mask_secret": "mlflowkit.worker.masking",
    "literal": "mlflowkit.authoring.template",
    "notebook": "mlflowkit.authoring.notebook_task",
    "notebook_outputs": "mlflowkit.handles.past_notebooks",
    "push": "mlflowkit.authoring.context",
    "report_progress": "mlflowkit.ports",
    "run": "mlflowkit.authoring.runs",
    "runs": "mlflowkit.authoring.runs",
    "schedule": "mlflowkit.authoring.publish",
    "secret": "mlflowkit.core.secret",
    "setup": "mlflowkit.authoring.setup_teardown",
    "task": "mlflowkit.authoring.task",
    "task_group": "mlflowkit.authoring.group_function",
    "task_state_dir": "mlflowkit.authoring.context",
    "teardown": "mlflowkit.authoring.setup_teardown",
}

#: `input` is left out, so that `import *` does not hide the built-in one.
__all__ = [
    "DAG",
    "Asset",
    "AssetAll",
    "AssetAny",
    "BaseBranchOperator",
    "BaseHook",
    "BaseOperator",
    "BaseSecretsBackend",
    "BaseSensorOperator",
    "BashOperator",
    "BranchPythonOperator",
    "Connection",
    "EmptyOperator",
    "Label",
    "MlflowkitError",
    "NotebookOperator",
    "Param",
    "PokeReturnValue",
    "PythonOperator",
    "PythonSensor",
    "RunFailed",
    "ShortCircuitOperator",
    "TaskFailed",
    "TaskFailedForGood",
    "TaskGroup",
    "TaskRescheduled",
    "TaskSkipped",
    "TriggerRule",
    "UserError",
    "Variable",
    "XComArg",
    "chain",
    "chain_linear",
    "clean",
    "cross_downstream",
    "dag",
    "exit_notebook",
    "get_current_context",
    "held_kernels",
    "inspect_notebook",
    "literal",
    "mask_secret",
    "notebook",
    "notebook_outputs",
    "push",
    "report_progress",
    "run",
    "runs",
    "schedule",
    "secret",
    "setup",
    "task",
    "task_group",
    "task_state_dir",
    "teardown",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from mlflowkit.errors import suggest

        hint = suggest(name, _HOMES) if not name.startswith("_") else ""
        raise AttributeError(f"module 'mlflowkit' has no attribute {name!r}.{hint}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext mlflowkit`: `%%task` and `%dag`."""
    import_module("mlflowkit.jupyter.extension").load(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
