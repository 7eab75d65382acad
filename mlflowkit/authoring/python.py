"""PythonOperator: a function as a task. `@task` makes these, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar, cast

from mlflowkit.authoring.axes import mapped_names, refuse_twice
from mlflowkit.authoring.context import CONTEXT_NAMES
from mlflowkit.authoring.edge_types import (
    check_arrow,
    given_by_function,
    taken_by_function,
)
from mlflowkit.authoring.meaning import meant_by_name, plain_function
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.refs import XComArg
from mlflowkit.core.spec import KWARGS_AXIS
from mlflowkit.errors import (
    BadOption,
    MissingParameter,
    NotSeveralOutputs,
    TooManyArguments,
    UnknownParameter,
    a,
)
from mlflowkit.ports import running_task


class PythonOperator(BaseOperator):
    """Calls a function with arguments; parameters named like the context get it filled in.

    Raises:
        UnknownParameter, MissingParameter: the arguments do not fit the function.
    """

    template_fields: ClassVar[Sequence[str]] = ("templates_dict", "op_args", "op_kwargs")
    #: Said by each class of which it is so: a branch, a command make something else of it.
    gives_what_it_returns: ClassVar[bool] = True

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[object] = (),
        op_kwargs: Mapping[str, object] | None = None,
        multiple_outputs: bool = False,
        templates_dict: Mapping[str, object] | None = None,
        templates_exts: Sequence[str] = (),
        show_return_value_in_logs: bool = True,
        **options: Any,
    ) -> None:
        check_outputs(task_id, python_callable, op_args, op_kwargs or {})
        super().__init__(task_id, **options)
        del show_return_value_in_logs  # Airflow's; what a task gives is shown, never logged
        self.python_callable: Callable[..., Any] = plain_function(python_callable)
        if not callable(self.python_callable):
            raise BadOption(f"task {task_id!r}", "python_callable", "must be a function")
        self._given += meant_by_name(self.python_callable)
        self.op_args: tuple[object, ...] = tuple(op_args)
        self.op_kwargs: dict[str, object] = dict(op_kwargs or {})
        self.multiple_outputs = multiple_outputs
        #: Templates that the function finds rendered in `templates_dict`.
        self.templates_dict = dict(templates_dict) if templates_dict is not None else None
        if templates_exts:
            vars(self)["template_ext"] = tuple(templates_exts)

    def call(self, context: Mapping[str, Any]) -> Any:
        """Call the function: what it returns."""
        if self.templates_dict is not None:
            cast("dict[str, Any]", context)["templates_dict"] = self.templates_dict
        kwargs = with_context(self.python_callable, self.op_args, self.op_kwargs, context)
        return self.python_callable(*self.op_args, **kwargs)

    def gives(self, key: str) -> tuple[str, str]:
        if "gives_what_it_returns" not in vars(type(self)):
            return "", ""
        said = given_by_function(self.python_callable, key)
        return (said, "the return annotation says so") if said else ("", "")

    def execute(self, context: Mapping[str, Any]) -> object:
        value = self.call(context)
        if self.multiple_outputs and value is not None:
            push_each(self.task_id, value)
        return value

    def take_mapped(self, mapped: Mapping[str, object]) -> None:
        where = f"task {self.task_id!r}"
        refuse_twice(where, mapped, self.op_kwargs, ".expand_kwargs()")
        self.op_kwargs = {**self.op_kwargs, **mapped}
        if KWARGS_AXIS in self.axes:
            check_call(where, self.python_callable, self.op_args, self.op_kwargs)

    def check_arguments(self) -> None:
        """Raises UnknownParameter or MissingParameter if they do not fit the function."""
        given = {**self.op_kwargs, **dict.fromkeys(mapped_names(self.axes))}
        check_call(
            f"task {self.task_id!r}",
            self.python_callable,
            self.op_args,
            given,
            some_missing=KWARGS_AXIS in self.axes,
        )

    def arguments(self) -> dict[str, object]:
        own = ("python_callable", "multiple_outputs", "template_ext", "conditions")
        return {k: v for k, v in super().arguments().items() if k not in own}


def check_outputs(
    task_id: str,
    function: Callable[..., Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    *,
    mapped: bool = False,
) -> None:
    """Could the outputs of notebooks among these arguments be what the function takes?

    What other functions give is held against nothing: they may say of it what they like.

    Raises:
        WrongEdge: one surely could not.
    """
    given = [*args, *kwargs.values()]
    if not any(isinstance(one, XComArg) for one in given):
        return
    where, function = f"task {task_id!r}", plain_function(function)
    for name, wanted, value in taken_by_function(function, args, kwargs):
        if isinstance(value, XComArg) and not isinstance(value.operator, PythonOperator):
            check_arrow(where, name, wanted, wanted, value, mapped=mapped)


def push_each(task_id: str, value: object) -> None:
    """Give out each item of a dict as an XCom of its own."""
    if not isinstance(value, Mapping):
        raise NotSeveralOutputs(task_id, a(type(value).__name__))
    outputs = cast("Mapping[object, object]", value)
    task = running_task()
    for key, item in outputs.items():
        if not isinstance(key, str):
            raise NotSeveralOutputs(task_id, f"a dict with the key {key!r}")
        if task is not None:
            task.push(key, item)


def signature_of(function: Callable[..., Any]) -> Signature | None:
    """Its signature, or None where it has none (some built-in functions)."""
    try:
        return signature(function)
    except (TypeError, ValueError):
        return None


def with_context(
    function: Callable[..., Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    context: Mapping[str, Any],
) -> dict[str, object]:
    """`kwargs`, and what of the context the function has parameters for."""
    found = signature_of(function)
    if found is None:
        return dict(kwargs)
    parameters = list(found.parameters.values())
    by_place = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    taken = {p.name for p in parameters[: len(args)] if p.kind in by_place}
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        names = set(context)
    else:
        keyword = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        names = {p.name for p in parameters if p.kind in keyword} & set(context)
    unasked = getattr(context, "by_keyword", None)
    named = {p.name for p in parameters}
    filled = {
        k: context[k] if unasked is None or k in named else unasked(k)
        for k in names - taken - set(kwargs)
    }
    return {**filled, **kwargs}


def check_call(
    where: str,
    function: Callable[..., Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    *,
    some_missing: bool = False,
) -> None:
    """Would the function take these arguments, once the context is filled in?

    Raises:
        UnknownParameter, MissingParameter: it would not.
    """
    found = signature_of(function)
    if found is None:
        return
    known = found.parameters
    named = {n for n, p in known.items() if p.kind is not Parameter.VAR_POSITIONAL}
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in known.values())
    unknown = set(kwargs) - named
    if unknown and not takes_any:
        raise UnknownParameter(where, min(unknown), named)
    positional = [
        p.name
        for p in known.values()
        if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    ]
    takes_more = any(p.kind is Parameter.VAR_POSITIONAL for p in known.values())
    if len(args) > len(positional) and not takes_more:
        raise TooManyArguments(where, len(args), positional)
    given = {*positional[: len(args)], *kwargs, *CONTEXT_NAMES}
    for name, parameter in known.items():
        variadic = parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        optional = variadic or parameter.default is not Parameter.empty
        if name not in given and not optional and not some_missing:
            raise MissingParameter(where, name)
