"""`@task`: a function becomes a task each time it is called in a DAG."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from mlflowkit.authoring.mapping import checked_axes
from mlflowkit.authoring.meaning import plain_function
from mlflowkit.authoring.opened import current_dag
from mlflowkit.authoring.operator import BaseOperator, accepted_options
from mlflowkit.authoring.params import hints_of
from mlflowkit.authoring.python import PythonOperator, check_call
from mlflowkit.authoring.refs import XComArg
from mlflowkit.errors import CannotExpand, NoDagOpen, NotATask, UnknownOption
from mlflowkit.ports import running_task

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

P = ParamSpec("P")
R = TypeVar("R")
_OPTIONS = frozenset(accepted_options(BaseOperator) | {"multiple_outputs"})


class TaskFunction(Generic[P, R]):
    """A function under `@task`: called inside a DAG, it adds a task and gives its output."""

    is_task_function: ClassVar[bool] = True

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in _OPTIONS:
                raise UnknownOption(f"@task on {function.__name__}()", name, _OPTIONS)
        self.function = function
        self.options = dict(options)
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        """Add a task to the DAG that is being written.

        Inside a running task, where no DAG is written, the function itself is called.
        """
        if self._dag() is None and running_task() is not None:
            return self.function(*args, **kwargs)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
        self._open_dag()
        check_call(f"task {self._name!r}", self.function, args, kwargs)
        return self._make(args, kwargs, {}).output

    def override(self, **options: Any) -> TaskFunction[P, R]:
        """The same function with other options."""
        return TaskFunction(self.function, {**self.options, **options})

    def partial(self, **kwargs: Any) -> MappedCall:
        """Arguments that all instances of the mapped task share."""
        check_call(f"task {self._name!r}", self.function, (), kwargs, some_missing=True)
        return MappedCall(self, kwargs)

    def expand(self, **axes: Any) -> XComArg:
        """One task instance for each combination of the items of `axes`."""
        return MappedCall(self, {}).expand(**axes)

    def map_over(self, shared: Mapping[str, Any], axes: Mapping[str, object]) -> XComArg:
        self._open_dag()
        where = f"task {self._name!r}"
        twice = sorted(set(axes) & set(shared))
        if twice:
            raise CannotExpand(where, f"{twice[0]} is in .partial() and in .expand()")
        checked = checked_axes(where, axes)
        check_call(where, self.function, (), {**shared, **checked})
        return self._make((), shared, checked).output

    def _make(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], axes: dict[str, object]
    ) -> PythonOperator:
        dag = self._open_dag()
        options: dict[str, Any] = {
            "multiple_outputs": returns_mapping(self.function),
            "doc": (self.function.__doc__ or "").strip(),
            **self.options,
        }
        options["dag"] = dag
        options["task_id"] = dag.free_task_id(options.get("task_id", self._name))
        made = _Decorated(
            python_callable=self.function, op_args=args, op_kwargs=kwargs, **options
        )
        made.axes = axes
        return made

    def _dag(self) -> DAG | None:
        return cast("DAG | None", self.options.get("dag")) or current_dag()

    def _open_dag(self) -> DAG:
        dag = self._dag()
        if dag is None:
            how = f"To call the function itself: {self._name}.function(...)."
            raise NoDagOpen(f"task {self._name}()", how)
        return dag

    @property
    def _name(self) -> str:
        return str(self.options.get("task_id") or self.function.__name__.strip("<>"))

    def __get__(self, instance: object, owner: object = None) -> TaskFunction[..., R]:
        if instance is None:
            return self
        bound = cast("Callable[..., R]", MethodType(self.function, instance))
        return TaskFunction(bound, self.options)

    def __rshift__(self, other: object) -> None:
        raise NotATask(self.function)

    __lshift__ = __rrshift__ = __rlshift__ = __rshift__

    def __repr__(self) -> str:
        return f"<@task {self._name}>"


class _Decorated(PythonOperator):
    shown_as = "@task"


class MappedCall:
    """A task function with shared arguments, waiting for `.expand()`."""

    def __init__(self, function: TaskFunction[..., Any], shared: Mapping[str, Any]) -> None:
        self._function, self._shared = function, shared

    def partial(self, **kwargs: Any) -> MappedCall:
        return self._function.partial(**{**self._shared, **kwargs})

    def expand(self, **axes: Any) -> XComArg:
        """One task instance for each combination of the items of `axes`."""
        return self._function.map_over(self._shared, axes)


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(
    *, multiple_outputs: bool = ..., **options: Any
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make tasks of a function: `@task`, or `@task(retries=3, ...)`.

    Options: task_id, retries, retry_delay, retry_exponential_backoff, max_retry_delay,
    execution_timeout, isolate, doc, multiple_outputs. A function whose return annotation
    is a dict with text keys has `multiple_outputs` unless it says otherwise.

    Raises:
        UnknownOption: there is no option of that name.
    """
    if function is not None:
        return TaskFunction(plain_function(function), {})

    def decorate(under: Callable[P, R]) -> TaskFunction[P, R]:
        return TaskFunction(plain_function(under), options)

    return decorate


def returns_mapping(function: Callable[..., Any]) -> bool:
    """Does its return annotation say that it gives a dict with text keys?"""
    annotation = hints_of(function).get("return")
    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type) or not issubclass(origin, Mapping):
        return False
    arguments = get_args(annotation)
    return not arguments or arguments[0] is str
