"""`@setup` and `@teardown`: functions that make ready what others need, and clear it away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload

from mlflowkit.authoring.group_function import TaskGroupFunction
from mlflowkit.authoring.task import TaskFunction
from mlflowkit.errors import BadOption

P = ParamSpec("P")
R = TypeVar("R")


def _marked(function: Any, name: str, mark: Mapping[str, Any]) -> TaskFunction[..., Any]:
    if isinstance(function, TaskGroupFunction):
        raise BadOption(name, "function", "is a task group: mark the tasks inside it")
    if isinstance(function, TaskFunction):
        under = cast("TaskFunction[..., Any]", function)
        return under.like(under.function, mark=mark)
    return TaskFunction(function, {}, mark=mark)


@overload
def setup(function: TaskFunction[P, R], /) -> TaskFunction[P, R]: ...
@overload
def setup(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
def setup(function: Any, /) -> Any:
    """Make setup tasks of a function, or of one under `@task`: `@setup`."""
    return _marked(function, "@setup", {})


@overload
def teardown(function: TaskFunction[P, R], /) -> TaskFunction[P, R]: ...
@overload
def teardown(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def teardown(
    *, on_failure_fail_dagrun: bool = ...
) -> Callable[[Callable[P, R] | TaskFunction[P, R]], TaskFunction[P, R]]: ...
def teardown(function: Any = None, /, *, on_failure_fail_dagrun: bool = False) -> Any:
    """Make teardown tasks of a function, or of one under `@task`: `@teardown`.

    Args:
        on_failure_fail_dagrun: Whether the run fails when it fails.
    """
    mark = {"on_failure_fail_dagrun": on_failure_fail_dagrun}
    if function is not None:
        return _marked(function, "@teardown", mark)

    def decorate(under: Any) -> TaskFunction[..., Any]:
        return _marked(under, "@teardown", mark)

    return decorate
