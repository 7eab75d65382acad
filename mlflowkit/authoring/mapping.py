"""Classic operators that are mapped: `Operator.partial(...).expand(...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring import opened
from mlflowkit.authoring.axes import (
    checked_axes,
    checked_kwargs,
    expansion_of,
    mapped_values,
    refuse_options,
    refuse_twice,
    values_at,
    written_kwargs,
)
from mlflowkit.authoring.defaults import default_args_of, filling, surroundings_of
from mlflowkit.authoring.fill import as_data, fill_rest, filled_options
from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.operator import BaseOperator, accepted_options
from mlflowkit.authoring.options import OPTION_NAMES, OWN_ATTRIBUTES
from mlflowkit.authoring.refs import Ref
from mlflowkit.errors import UnknownOption

if TYPE_CHECKING:
    from mlflowkit.authoring.template import Templates

__all__ = [
    "MappedOperator",
    "OperatorPartial",
    "checked_axes",
    "checked_kwargs",
    "expansion_of",
    "mapped_values",
    "values_at",
]


class OperatorPartial:
    """A classic operator with the arguments that all instances share."""

    def __init__(
        self,
        operator_class: type[BaseOperator],
        task_id: str,
        options: Mapping[str, Any],
    ) -> None:
        self.operator_class, self.task_id = operator_class, task_id
        self.options = dict(options)
        _check_known(operator_class, options)
        dag, _ = surroundings_of(self.options)
        if dag is not None:
            dag.partials.add(task_id)

    def expand(self, **axes: object) -> MappedOperator:
        """One task instance for each combination of the items of `axes`."""
        self._check_names(axes)
        _, inside = surroundings_of(self.options)
        over = checked_axes(self._where, axes, self.options, inside=inside)
        return self._make(over)

    def expand_kwargs(self, kwargs: object) -> MappedOperator:
        """One task instance for each item of `kwargs`: dicts of arguments, or an output."""
        _, inside = surroundings_of(self.options)
        over = checked_kwargs(self._where, kwargs, self.options, inside=inside)
        for item in written_kwargs(over):
            self._check_names(item)
        return self._make(over)

    @property
    def _where(self) -> str:
        return f"task {self.task_id!r}"

    def _check_names(self, names: Mapping[str, object]) -> None:
        _check_known(self.operator_class, names)
        refuse_options(self._where, names)

    def _make(self, over: Mapping[str, object]) -> MappedOperator:
        dag, group = surroundings_of(self.options)
        if dag is not None:
            dag.partials.discard(self.task_id)
        defaults = default_args_of(dag, group)
        fill = filling(self.operator_class, defaults, {*self.options, *over})
        return MappedOperator(
            self.task_id,
            operator_class=self.operator_class,
            shared={**fill, **self.options},
            over=over,
            dag=dag,
            task_group=group,
        )


def _check_known(operator_class: type[BaseOperator], options: Mapping[str, object]) -> None:
    known = accepted_options(operator_class)
    for name in options:
        if name not in known:
            raise UnknownOption(operator_class.__name__, name, known)


def _class_defaults(operator_class: type[BaseOperator]) -> dict[str, Any]:
    """Options of every task for which this class has a default of its own."""
    found: dict[str, Any] = {}
    for cls in operator_class.__mro__:
        if cls is BaseOperator:
            break
        if "__init__" not in vars(cls):
            continue
        for name, one in signature(vars(cls)["__init__"]).parameters.items():
            if name in OPTION_NAMES and one.default not in (one.empty, None):
                found.setdefault(name, one.default)
    return found


class MappedOperator(BaseOperator):
    """A classic operator that is mapped: the operator itself is made in each instance."""

    def __init__(
        self,
        task_id: str,
        *,
        operator_class: type[BaseOperator],
        shared: Mapping[str, Any],
        over: Mapping[str, object],
        **options: Any,
    ) -> None:
        own = accepted_options(BaseOperator)
        mine = {k: v for k, v in shared.items() if k in own and k != "task_id"}
        mine = {**_class_defaults(operator_class), **mine}
        super().__init__(task_id, **{**mine, **options})
        self.operator_class = operator_class
        self.shared = {k: v for k, v in shared.items() if k not in own}
        self.axes = dict(over)
        self._given += meant_by_name(operator_class)

    @property
    def operator_name(self) -> str:
        return self.operator_class.shown_as or self.operator_class.__name__

    def rendered(
        self,
        give: Callable[[Ref], object],
        mapped: Mapping[str, object],
        templates: Templates | None = None,
    ) -> BaseOperator:
        where = f"task {self.task_id!r}"
        refuse_twice(where, mapped, self.shared, ".expand_kwargs()")
        _check_known(self.operator_class, mapped)
        refuse_options(where, mapped)
        given = {**self.shared, **as_data(mapped, self.axes)}
        options = filled_options(self.operator_class, given, give, templates)
        with opened.nothing():
            made = self.operator_class(self.task_id, **options)
        fill_rest(made, options, templates)
        for name in OWN_ATTRIBUTES - {"task_id"}:
            setattr(made, name, getattr(self, name))
        return made

    def arguments(self) -> dict[str, object]:
        return {"shared": self.shared}
