"""`@task_group`: a function whose tasks become a group each time it is called in a DAG."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, overload

from mlflowkit.authoring.axes import checked_axes, checked_kwargs, mapped_names
from mlflowkit.authoring.group import MappedTaskGroup, TaskGroup
from mlflowkit.authoring.open_groups import current_group
from mlflowkit.authoring.opened import current_dag
from mlflowkit.authoring.python import check_call
from mlflowkit.authoring.refs import MappedArg
from mlflowkit.core.spec import KWARGS_AXIS
from mlflowkit.errors import BadOption, NotATask, UnknownOption

P = ParamSpec("P")
R = TypeVar("R")
_OPTIONS = frozenset(
    {"group_id", "prefix_group_id", "parent_group", "dag", "default_args", "tooltip"}
    | {"add_suffix_on_collision", "group_display_name", "ui_color", "ui_fgcolor"}
)


class TaskGroupFunction(Generic[P, R]):
    """A function under `@task_group`. Its arguments may be values, outputs, or parameters."""

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in _OPTIONS:
                raise UnknownOption(f"@task_group on {function.__name__}()", name, _OPTIONS)
        self.function = function
        self.options = dict(options)
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Write the group. Gives what the function returns, or the group itself.

        Raises:
            UnknownParameter, MissingParameter: the arguments do not fit the function.
            NoDagOpen: no DAG is being written.
        """
        check_call(self._where, self.function, args, kwargs)
        with TaskGroup(self._name, **self._group_options()) as group:
            returned = self.function(*args, **kwargs)
        return group if returned is None else returned

    def override(self, **options: Any) -> TaskGroupFunction[P, R]:
        """The same function with other options."""
        return TaskGroupFunction(self.function, {**self.options, **options})

    def partial(self, **kwargs: Any) -> MappedGroupCall:
        """Arguments that are the same for all instances of a mapped group."""
        check_call(self._where, self.function, (), kwargs, some_missing=True)
        return MappedGroupCall(self, kwargs)

    def expand(self, **axes: Any) -> Any:
        """The group once for each combination of the items of `axes`."""
        return MappedGroupCall(self, {}).expand(**axes)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """The group once for each item of `kwargs`: dicts of arguments, or an output."""
        return MappedGroupCall(self, {}).expand_kwargs(kwargs)

    def map_over(self, shared: Mapping[str, Any], axes: Mapping[str, object]) -> Any:
        """Write the group with stand-ins for what it is mapped over."""
        options = self._group_options()
        with MappedTaskGroup(self._name, axes=axes, **options) as group:
            given = self._stand_ins(group.group_id, shared, axes)
            returned = self.function(**given)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        return group if returned is None else returned

    def _stand_ins(
        self, group_id: str, shared: Mapping[str, Any], axes: Mapping[str, object]
    ) -> dict[str, Any]:
        names = mapped_names(axes)
        parameters = signature(self.function).parameters
        if KWARGS_AXIS in axes:
            variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            names |= {n for n, p in parameters.items() if p.kind not in variadic}
        given: dict[str, Any] = dict(shared)
        for name in sorted(names - set(shared)):
            default = getattr(parameters.get(name), "default", Parameter.empty)
            known = () if default is Parameter.empty else (default,)
            given[name] = MappedArg(group_id, name, known)
        return given

    def _group_options(self) -> dict[str, Any]:
        documented = (self.function.__doc__ or "").strip().split("\n")[0]
        options = {"add_suffix_on_collision": True, "tooltip": documented, **self.options}
        options.pop("group_id", None)
        return options

    def inside(self) -> TaskGroup | None:
        """The group that stands around a new one."""
        given: TaskGroup | None = self.options.get("parent_group")
        return given or current_group(self.options.get("dag") or current_dag())

    @property
    def _name(self) -> str:
        return str(self.options.get("group_id") or self.function.__name__)

    @property
    def _where(self) -> str:
        return f"task group {self._name!r}"

    def __rshift__(self, other: object) -> NoReturn:
        raise NotATask(self.function)

    __lshift__ = __rrshift__ = __rlshift__ = __rshift__

    def __repr__(self) -> str:
        return f"<@task_group {self._name}>"


class MappedGroupCall:
    """A group function with shared arguments, waiting for `.expand()`."""

    def __init__(
        self, function: TaskGroupFunction[..., Any], shared: Mapping[str, Any]
    ) -> None:
        self._function, self._shared = function, shared
        self._where = f"task group {function.function.__name__!r}"

    def expand(self, **axes: Any) -> Any:
        """The group once for each combination of the items of `axes`.

        Raises:
            CannotExpand, NotExpandable: it cannot be mapped over these.
        """
        inside = self._function.inside()
        over = checked_axes(self._where, axes, self._shared, inside=inside)
        check_call(self._where, self._function.function, (), {**self._shared, **over})
        return self._function.map_over(self._shared, over)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """The group once for each item of `kwargs`: dicts of arguments, or an output.

        Raises:
            CannotExpand, NotExpandable: it cannot be mapped over these.
        """
        inside = self._function.inside()
        over = checked_kwargs(self._where, kwargs, self._shared, inside=inside)
        given = {**self._shared, **dict.fromkeys(mapped_names(over))}
        check_call(self._where, self._function.function, (), given, some_missing=True)
        return self._function.map_over(self._shared, over)


@overload
def task_group(function: Callable[P, R], /) -> TaskGroupFunction[P, R]: ...
@overload
def task_group(
    group_id: str | None = ..., /, **options: Any
) -> Callable[[Callable[P, R]], TaskGroupFunction[P, R]]: ...
def task_group(function: Any = None, /, **options: Any) -> Any:
    """Write a task group as a function: `@task_group`, or `@task_group(tooltip="...")`.

    Options are those of TaskGroup; the id is the function's name unless `group_id` says
    otherwise, with `__1`, `__2` … where the function is called again.

    Raises:
        UnknownOption: there is no option of that name.
    """
    if callable(function):
        if hasattr(type(function), "is_task_function"):
            raise BadOption("@task_group", "function", "is a task: take @task away")
        return TaskGroupFunction(function, {})
    if function is not None:
        options["group_id"] = function

    def decorate(under: Callable[..., Any]) -> TaskGroupFunction[..., Any]:
        return TaskGroupFunction(under, options)

    return decorate
