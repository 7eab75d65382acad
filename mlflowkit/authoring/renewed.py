"""Functions of a notebook or of `__main__`, looked up again by name when a run starts.

Whoever runs a cell again means the new code, also for a DAG that was written before.
"""

from __future__ import annotations

import copy
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring.places import look_up
from mlflowkit.authoring.python import PythonOperator, plain_function

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator


def renewed(task: BaseOperator) -> tuple[BaseOperator, str]:
    """The task with its function as it is now, and a line that says so if it differs.

    Raises:
        UnknownParameter, MissingParameter: the new function does not take the arguments.
    """
    if not isinstance(task, PythonOperator):
        return task, ""
    old: Any = task.python_callable
    new = newest(old)
    if new is old:
        return task, ""
    fresh = copy.copy(task)
    fresh.python_callable = new
    fresh.check_arguments()
    if same_code(old, new):
        return fresh, ""
    return (
        fresh,
        f"task {task.task_id!r}: runs the newer definition of {new.__name__}()",
    )


def newest(function: Any) -> Any:
    """What the function's name means in its session now; itself, if that is no function."""
    if not isinstance(function, FunctionType) or function.__module__ != "__main__":
        return function
    if "<" in function.__qualname__:
        return function
    there = plain_function(look_up(sys.modules["__main__"], function.__qualname__))
    if isinstance(there, FunctionType) and there.__globals__ is function.__globals__:
        return there
    return function


def same_code(one: FunctionType, other: FunctionType) -> bool:
    """Do both do the same, wherever they are written?"""
    return _facts(one.__code__) == _facts(other.__code__) and (
        repr((one.__defaults__, one.__kwdefaults__))
        == repr((other.__defaults__, other.__kwdefaults__))
    )


def _facts(code: CodeType) -> tuple[object, ...]:
    constants: list[object] = []
    for constant in code.co_consts:
        inner = isinstance(constant, CodeType)
        constants.append(_facts(constant) if inner else f"{type(constant)}{constant!r}")
    return code.co_code, code.co_names, code.co_varnames, constants
