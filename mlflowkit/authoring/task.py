"""`@task`: a function becomes a task each time it is called in a DAG.

`@task.branch`, `@task.sensor` and their like do the same with another operator: where each
lives is a line of `KINDS`, and it is loaded on first use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    NoReturn,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from mlflowkit.authoring.axes import (
    checked_axes,
    checked_kwargs,
    mapped_names,
    written_kwargs,
)
from mlflowkit.authoring.conditions import Condition, Conditional, DecoratedPython, Question
from mlflowkit.authoring.defaults import accepted_options, surroundings_of
from mlflowkit.authoring.meaning import plain_function
from mlflowkit.authoring.params import hints_of
from mlflowkit.authoring.python import PythonOperator, check_call, check_outputs
from mlflowkit.authoring.refs import XComArg
from mlflowkit.authoring.task_kinds import ELSEWHERE
from mlflowkit.core.spec import KWARGS_AXIS
from mlflowkit.errors import BadOption, NoDagOpen, NotATask, UnknownOption, suggest
from mlflowkit.ports import running_task

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

P = ParamSpec("P")
R = TypeVar("R")
_MADE_OF: Final = frozenset({"python_callable", "op_args", "op_kwargs"})
#: Where the operator of each kind of `@task` lives.
KINDS: Final[Mapping[str, str]] = {
    "python": "mlflowkit.authoring.conditions:DecoratedPython",
    "branch": "mlflowkit.authoring.branch:DecoratedBranch",
    "short_circuit": "mlflowkit.authoring.branch:DecoratedShortCircuit",
    "sensor": "mlflowkit.authoring.decorated_sensor:DecoratedSensor",
    "bash": "mlflowkit.operators.bash_function:DecoratedBash",
}


class TaskFunction(Generic[P, R]):
    """A function under `@task`: called inside a DAG, it adds a task and gives its output."""

    is_task_function: ClassVar[bool] = True

    def __init__(
        self,
        function: Callable[P, R],
        options: Mapping[str, Any],
        *,
        operator_class: type[PythonOperator] = DecoratedPython,
        conditions: tuple[Condition, ...] = (),
        mark: Mapping[str, Any] | None = None,
    ) -> None:
        known = accepted_options(operator_class) - _MADE_OF
        for name in options:
            if name not in known:
                shown = operator_class.shown_as or "@task"
                raise UnknownOption(f"{shown} on {function.__name__}()", name, known)
        self.function = function
        self.options = dict(options)
        self.operator_class, self.conditions = operator_class, conditions
        #: What makes it a setup or a teardown: see `setup_teardown`.
        self.mark = mark
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
        return self.like(self.function, options={**self.options, **options})

    def like(self, function: Callable[..., Any], **others: Any) -> TaskFunction[P, R]:
        """Tasks as it makes them, of a function that may be another."""
        own: dict[str, Any] = {
            "options": self.options,
            "operator_class": self.operator_class,
            "conditions": self.conditions,
            "mark": self.mark,
        }
        return TaskFunction(cast("Callable[P, R]", function), **{**own, **others})

    def partial(self, **kwargs: Any) -> MappedCall:
        """Arguments that all instances of the mapped task share."""
        check_call(f"task {self._name!r}", self.function, (), kwargs, some_missing=True)
        dag = self._dag()
        if dag is not None:
            dag.partials.add(self._name)
        return MappedCall(self, kwargs)

    def expand(self, **axes: Any) -> XComArg:
        """One task instance for each combination of the items of `axes`."""
        return MappedCall(self, {}).expand(**axes)

    def expand_kwargs(self, kwargs: Any) -> XComArg:
        """One task instance for each item of `kwargs`: dicts of arguments, or an output."""
        return MappedCall(self, {}).expand_kwargs(kwargs)

    def map_over(
        self,
        shared: Mapping[str, Any],
        over: Callable[..., dict[str, object]],
        value: object,
    ) -> XComArg:
        """Add a task that is mapped: `over` is `axes.checked_axes` or `axes.checked_kwargs`."""
        self._open_dag().partials.discard(self._name)
        where = f"task {self._name!r}"
        _, inside = surroundings_of(self.options)
        axes = over(where, value, shared, inside=inside)
        given = {**shared, **dict.fromkeys(mapped_names(axes))}
        missing = KWARGS_AXIS in axes
        check_call(where, self.function, (), given, some_missing=missing)
        check_outputs(self._name, self.function, (), axes, mapped=True)
        for item in written_kwargs(axes):
            check_outputs(self._name, self.function, (), item)
        return self._make((), shared, axes).output

    def _make(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], axes: dict[str, object]
    ) -> PythonOperator:
        dag = self._open_dag()
        options: dict[str, Any] = {
            "doc": (self.function.__doc__ or "").strip(),
            **self.options,
        }
        if self.operator_class is DecoratedPython:
            options.setdefault("multiple_outputs", returns_mapping(self.function))
        options["dag"] = dag
        wanted = options.get("task_id", self._name)
        options["task_id"] = dag.free_task_id(wanted, options.get("task_group"))
        made = self.operator_class(
            python_callable=self.function, op_args=args, op_kwargs=kwargs, **options
        )
        made.axes = axes
        if self.conditions:
            cast("Conditional", made).conditions = self.conditions
        if self.mark is not None:
            made.as_teardown(**self.mark) if self.mark else made.as_setup()
        return made

    def _dag(self) -> DAG | None:
        return surroundings_of(self.options)[0]

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
        return self.like(bound)

    def __rshift__(self, other: object) -> NoReturn:
        raise NotATask(self.function)

    __lshift__ = __rrshift__ = __rlshift__ = __rshift__

    def __repr__(self) -> str:
        return f"<{self.operator_class.shown_as or '@task'} {self._name}>"


class MappedCall:
    """A task function with shared arguments, waiting for `.expand()`."""

    def __init__(self, function: TaskFunction[..., Any], shared: Mapping[str, Any]) -> None:
        self._function, self._shared = function, shared

    def partial(self, **kwargs: Any) -> MappedCall:
        return self._function.partial(**{**self._shared, **kwargs})

    def expand(self, **axes: Any) -> XComArg:
        """One task instance for each combination of the items of `axes`."""
        return self._function.map_over(self._shared, checked_axes, axes)

    def expand_kwargs(self, kwargs: Any) -> XComArg:
        """One task instance for each item of `kwargs`: dicts of arguments, or an output."""
        return self._function.map_over(self._shared, checked_kwargs, kwargs)


class FunctionKind:
    """A way to make tasks of functions: `@kind`, or `@kind(retries=3, ...)`."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def operator_class(self) -> type[PythonOperator]:
        """The operator that it makes."""
        module, _, attribute = KINDS[self._name].partition(":")
        return cast("type[PythonOperator]", getattr(import_module(module), attribute))

    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...
    @overload
    def __call__(
        self, /, *, multiple_outputs: bool = ..., **options: Any
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
    def __call__(
        self, function: Callable[..., Any] | None = None, /, **options: Any
    ) -> Any:
        """Make tasks of a function.

        Options are those of its operator: task_id, retries, trigger_rule, pool, … For plain
        `@task`, a function whose return annotation is a dict with text keys has
        `multiple_outputs` unless it says otherwise.

        Raises:
            UnknownOption: there is no option of that name.
        """
        made_of = self.operator_class

        def decorate(under: Callable[..., Any]) -> TaskFunction[..., Any]:
            return TaskFunction(plain_function(under), options, operator_class=made_of)

        return decorate if function is None else decorate(function)

    def __repr__(self) -> str:
        return f"@task.{self._name}" if self._name != "python" else "@task"


class TaskDecorator(FunctionKind):
    """`@task` itself, and what it has: `@task.branch`, `@task.run_if(...)`, …"""

    branch: Final = FunctionKind("branch")
    short_circuit: Final = FunctionKind("short_circuit")
    sensor: Final = FunctionKind("sensor")
    bash: Final = FunctionKind("bash")
    python: Final = FunctionKind("python")

    def run_if(
        self, condition: Question, skip_message: str | None = None
    ) -> Callable[[TaskFunction[P, R]], TaskFunction[P, R]]:
        """Above `@task`: skip the task unless `condition(context)` is true in the worker."""
        return _asking(Condition(condition, run_when=True, message=skip_message))

    def skip_if(
        self, condition: Question, skip_message: str | None = None
    ) -> Callable[[TaskFunction[P, R]], TaskFunction[P, R]]:
        """Above `@task`: skip the task if `condition(context)` is true in the worker."""
        return _asking(Condition(condition, run_when=False, message=skip_message))

    def __getattr__(self, name: str) -> NoReturn:
        if name in ELSEWHERE:
            raise AttributeError(f"there is no @task.{name}: {ELSEWHERE[name]}.")
        hint = suggest(name, [*KINDS, "run_if", "skip_if"])
        raise AttributeError(f"there is no @task.{name}.{hint}")


def _asking(
    condition: Condition,
) -> Callable[[TaskFunction[P, R]], TaskFunction[P, R]]:
    def decorate(under: TaskFunction[P, R]) -> TaskFunction[P, R]:
        if not isinstance(under, TaskFunction):  # pyright: ignore[reportUnnecessaryIsInstance]
            name = "run_if" if condition.run_when else "skip_if"
            why = "stands above @task, not below it"
            raise BadOption(f"@task.{name}", "function", why)
        return under.like(under.function, conditions=(condition, *under.conditions))

    return decorate


task: Final = TaskDecorator("python")


def returns_mapping(function: Callable[..., Any]) -> bool:
    """Does its return annotation say that it gives a dict with text keys?"""
    annotation = hints_of(function).get("return")
    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type) or not issubclass(origin, Mapping):
        return False
    arguments = get_args(annotation)
    return not arguments or arguments[0] is str
