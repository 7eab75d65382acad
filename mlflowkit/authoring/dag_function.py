"""`@dag`: a function whose arguments are the parameters of the DAG that it writes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar, overload

from mlflowkit.authoring.dag import DAG, DAG_OPTIONS
from mlflowkit.authoring.params import param_specs_of
from mlflowkit.authoring.refs import ParamRef
from mlflowkit.errors import (
    MissingParameter,
    TooManyArguments,
    UnknownOption,
    UnknownParameter,
)


class DagFunction:
    """A function under `@dag`. Calling it gives a new DAG; its arguments are defaults."""

    #: What it makes.
    dag_class: ClassVar[type[DAG]] = DAG

    def __init__(self, function: Callable[..., object], options: dict[str, Any]) -> None:
        name = f"@dag on {function.__name__}()"
        for option in options:
            if option not in DAG_OPTIONS:
                raise UnknownOption(name, option, DAG_OPTIONS)
        self.function, self.options = function, options
        self.called = False
        functools.update_wrapper(self, function)

    @property
    def dag_id(self) -> str:
        return str(self.options.get("dag_id", self.function.__name__))

    def __call__(self, *args: object, **kwargs: object) -> DAG:
        """Write the DAG.

        Raises:
            UnknownParameter: the function has no argument of that name.
            GraphError: the DAG cannot be drawn.
        """
        self.called = True
        where = f"DAG {self.dag_id!r}"
        given = self._bound(where, args, kwargs)
        documented: dict[str, Any] = {"doc_md": (self.function.__doc__ or "").strip()}
        options: dict[str, Any] = {**documented, **self.options}
        options["dag_id"] = self.dag_id
        dag = self.dag_class(**options)
        dag.add_params(param_specs_of(where, self._with_defaults(given)))
        with dag:
            self.function(**{p: ParamRef(p) for p in signature(self.function).parameters})
        return dag

    def _bound(
        self, where: str, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> dict[str, object]:
        names = list(signature(self.function).parameters)
        unknown = [name for name in kwargs if name not in names]
        if unknown:
            raise UnknownParameter(where, unknown[0], names)
        if len(args) > len(names):
            raise TooManyArguments(where, len(args), names)
        by_place = dict(zip(names, args, strict=False))
        twice = [name for name in kwargs if name in by_place]
        if twice:
            raise MissingParameter(where, f"{twice[0]} (given twice)")
        return {**by_place, **kwargs}

    def _with_defaults(self, given: dict[str, object]) -> Callable[..., object]:
        """A function of the same signature with other defaults, for its signature only."""
        found = signature(self.function)
        parameters = [
            p.replace(default=given[p.name]) if p.name in given else p
            for p in found.parameters.values()
        ]

        @functools.wraps(self.function)
        def stand_in() -> None: ...

        any_order = [p.replace(kind=p.KEYWORD_ONLY) if _named(p) else p for p in parameters]
        stand_in.__signature__ = found.replace(parameters=any_order)  # type: ignore[attr-defined]  # pyright: ignore
        return stand_in

    def __repr__(self) -> str:
        return f"<@dag {self.dag_id}: call it to get the DAG>"


def _named(parameter: Any) -> bool:
    return parameter.kind in (
        parameter.POSITIONAL_ONLY,
        parameter.POSITIONAL_OR_KEYWORD,
    )


@overload
def dag(function: Callable[..., object], /) -> DagFunction: ...
@overload
def dag(
    dag_id: str | None = ..., /, **options: Any
) -> Callable[[Callable[..., object]], DagFunction]: ...
def dag(function: Any = None, /, **options: Any) -> Any:
    """Write a DAG as a function: `@dag`, or `@dag(schedule="@daily", ...)`.

    Its arguments are the DAG's parameters. The options are those of `DAG`; the name is the
    function's unless `dag_id` says otherwise.

    Raises:
        UnknownOption: there is no option of that name.
    """
    if callable(function):
        return DagFunction(function, {})
    if function is not None:
        options["dag_id"] = function

    def decorate(under: Callable[..., object]) -> DagFunction:
        return DagFunction(under, options)

    return decorate


def uncalled(values: list[object]) -> list[DagFunction]:
    """The `@dag` functions among `values` that nobody has called."""
    return [one for one in values if isinstance(one, DagFunction) and not one.called]
