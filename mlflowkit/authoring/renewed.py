"""Functions and classes of a notebook or of `__main__`, looked up again when a run starts.

Whoever runs a cell again means the new code, also for a DAG that was written before. A task
keeps what it was given unless its name meant that very thing when the task was made.
"""

from __future__ import annotations

import copy
import functools
import sys
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring.mapping import MappedOperator
from mlflowkit.authoring.meaning import meaning_of, plain_function
from mlflowkit.authoring.places import members_of
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.authoring.redefined import ran_again
from mlflowkit.authoring.travel import TAKE_APART_ERRORS

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator


def renewed(task: BaseOperator) -> tuple[BaseOperator, str]:
    """The task with its code as it is now, and a line that says so if it differs.

    Raises:
        UnknownParameter, MissingParameter: the new function does not take the arguments.
    """
    work = _Renewal(task)
    fresh: Any = work.of_instance(task)
    if isinstance(fresh, PythonOperator):
        function = work.of_callable(fresh.python_callable)
        if function is not fresh.python_callable:
            fresh = _own_copy(fresh, task)
            fresh.python_callable = function
            fresh.check_arguments()
    elif isinstance(fresh, MappedOperator):
        made = work.newest(fresh.operator_class)
        if made is not fresh.operator_class:
            fresh = _own_copy(fresh, task)
            fresh.operator_class = made
    return fresh, work.note()


def _own_copy(fresh: Any, task: BaseOperator) -> Any:
    return copy.copy(fresh) if fresh is task else fresh


class _Renewal:
    """What one task runs, as its session defines it now."""

    def __init__(self, task: BaseOperator) -> None:
        self._task = task
        #: What has other code than when the DAG was written, as people read it.
        self.names: list[str] = []
        #: Classes whose objects cannot become objects of the newer one.
        self.kept: list[str] = []

    def note(self) -> str:
        """What a person should know; empty if nothing differs."""
        said = (
            [f"runs the newer definition of {', '.join(self.names)}"] if self.names else []
        )
        said += [
            f"keeps the older definition of {name}: its object cannot become a newer one; "
            "make the task again"
            for name in self.kept
        ]
        return f"task {self._task.task_id!r}: {'; '.join(said)}" if said else ""

    def of_callable(self, value: Any) -> Any:
        """A function, partial, bound method or callable object with its code as it is now."""
        if isinstance(value, FunctionType):
            return self.newest(value)
        if isinstance(value, functools.partial):
            return self._of_partial(value)
        if isinstance(value, MethodType):
            return self._of_method(value)
        return value if isinstance(value, type) else self.of_instance(value)

    def _of_partial(self, partial: Any) -> Any:
        inner = self.of_callable(partial.func)
        if inner is partial.func:
            return partial
        return functools.partial(inner, *partial.args, **partial.keywords)

    def _of_method(self, method: MethodType) -> Any:
        owner: Any = method.__self__
        is_class = isinstance(owner, type)
        fresh: Any = self.newest(owner) if is_class else self.of_instance(owner)
        if fresh is owner:
            return method
        found = plain_function(getattr(fresh, method.__name__, None))
        return found if callable(found) else method

    def of_instance(self, value: Any) -> Any:
        """The object itself, or a copy of it that belongs to the newer class."""
        before = list(self.names)
        new = self.newest(type(value))
        if new is type(value):
            return value
        try:
            fresh = copy.copy(value)
            fresh.__class__ = new
        except TAKE_APART_ERRORS:  # it cannot be copied, or the new class has other slots
            self.names = before
            self.kept.append(new.__name__)
            return value
        return fresh

    def newest(self, value: Any) -> Any:
        """What the name of a function or class means now; itself, if that is no successor."""
        if not self._task.was_given(value):
            return value
        there = meaning_of(value)
        if type(there) is not type(value) or not ran_again(there, value):
            return value
        if isinstance(value, FunctionType):
            if there.__globals__ is not sys.modules["__main__"].__dict__:
                return value
            if self._belongs_to_another(there):
                return value
        if not same_definition(value, there):
            call = "()" if isinstance(value, FunctionType) else ""
            self.names.append(f"{value.__name__}{call}")
        return there

    def _belongs_to_another(self, function: object) -> bool:
        """Two tasks of a DAG with two functions of one name: each keeps its own."""
        others = self._task.dag.tasks if self._task.dag else ()
        return any(
            getattr(other, "python_callable", None) is function
            for other in others
            if other is not self._task
        )


def same_definition(one: Any, other: Any) -> bool:
    """Do both do the same, wherever they are written?"""
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        same = _facts(one.__code__) == _facts(other.__code__) and (
            repr((one.__defaults__, one.__kwdefaults__))
            == repr((other.__defaults__, other.__kwdefaults__))
        )
        inner, others = (getattr(f, "__wrapped__", None) for f in (one, other))
        return same and (inner is others or same_definition(inner, others))
    if isinstance(one, type) and isinstance(other, type):
        mine, theirs = dict(members_of(one)), dict(members_of(other))
        return mine.keys() == theirs.keys() and all(
            same_definition(mine[name], theirs[name]) for name in mine
        )
    if isinstance(one, (staticmethod, classmethod)):
        inner, others = one.__func__, getattr(other, "__func__", None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return type(other) is type(one) and same_definition(inner, others)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(one, property) and isinstance(other, property):
        return all(
            same_definition(getattr(one, part), getattr(other, part))
            for part in ("fget", "fset", "fdel")
        )
    return type(one) is type(other) and repr(one) == repr(other)


def _facts(code: CodeType) -> tuple[object, ...]:
    constants: list[object] = []
    for constant in code.co_consts:
        inner = isinstance(constant, CodeType)
        constants.append(_facts(constant) if inner else f"{type(constant)}{constant!r}")
    return code.co_code, code.co_names, code.co_varnames, constants
