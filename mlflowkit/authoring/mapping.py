"""Dynamic mapping: one task instance for each combination of its axes' items.

The last axis turns fastest, as in Airflow: x=[1, 2], y=["a", "b"] gives 1a 1b 2a 2b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.operator import BaseOperator, accepted_options
from mlflowkit.authoring.refs import ParamRef, Ref, XComArg, replaced
from mlflowkit.core.spec import Axis, Expansion, XComRef
from mlflowkit.errors import CannotExpand, NotExpandable, UnknownOption

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

#: Values that tasks can be mapped over when they are written in the DAG.
EXPANDABLE = (list, tuple, dict, range)


def checked_axes(where: str, axes: Mapping[str, object]) -> dict[str, object]:
    """The axes, each an output of a task or a list, tuple, range or dict.

    Raises:
        CannotExpand: there are none, or one is a parameter of the DAG.
        NotExpandable: one is something else.
    """
    if not axes:
        raise CannotExpand(where, ".expand() needs at least one argument")
    for name, value in axes.items():
        if isinstance(value, ParamRef):
            why = (
                f"{name} is a parameter of the DAG; return it from a task and map over that"
            )
            raise CannotExpand(where, why)
        if not isinstance(value, (XComArg, *EXPANDABLE)):
            raise NotExpandable(f"{where}, argument {name!r}", type(value).__name__)
    return dict(axes)


def expansion_of(operator: BaseOperator) -> Expansion | None:
    """How it is mapped, as plain data; None if it is not."""
    if not operator.axes:
        return None
    axes = tuple(
        Axis(name=name, source=value.ref)
        if isinstance(value, XComArg)
        else Axis(name=name, length=len(cast("Sequence[object]", value)))
        for name, value in operator.axes.items()
    )
    return Expansion(axes=axes)


def mapped_values(
    operator: BaseOperator,
    lengths: Sequence[tuple[str, int]],
    map_index: int,
    fetch: Callable[[XComRef, int], object],
) -> dict[str, object]:
    """The mapped arguments of one task instance; empty if the task is not mapped.

    Args:
        lengths: Each axis with its number of items, in the order of the DagSpec.
        fetch: Gives one item of an XCom, without the rest of it.
    """
    if not operator.axes or map_index < 0:
        return {}
    found: dict[str, object] = {}
    left = map_index
    for name, length in reversed(lengths):
        left, index = divmod(left, length)
        found[name] = _item(operator.axes[name], index, fetch)
    return {name: found[name] for name, _ in lengths}


def _item(axis: object, index: int, fetch: Callable[[XComRef, int], object]) -> object:
    if isinstance(axis, XComArg):
        return fetch(axis.ref, index)
    if isinstance(axis, dict):
        return list(cast("dict[object, object]", axis).items())[index]
    return cast("Sequence[object]", axis)[index]


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

    def expand(self, **axes: object) -> MappedOperator:
        """One task instance for each combination of the items of `axes`."""
        _check_known(self.operator_class, axes)
        twice = sorted(set(axes) & set(self.options))
        if twice:
            why = f"{twice[0]} is in .partial() and in .expand()"
            raise CannotExpand(f"task {self.task_id!r}", why)
        return MappedOperator(
            self.task_id,
            operator_class=self.operator_class,
            shared=self.options,
            over=axes,
        )


def _check_known(operator_class: type[BaseOperator], options: Mapping[str, object]) -> None:
    known = accepted_options(operator_class)
    for name in options:
        if name not in known:
            raise UnknownOption(operator_class.__name__, name, known)


class MappedOperator(BaseOperator):
    """A classic operator that is mapped: the operator itself is made in each instance."""

    def __init__(
        self,
        task_id: str,
        *,
        operator_class: type[BaseOperator],
        shared: Mapping[str, Any],
        over: Mapping[str, object],
        dag: DAG | None = None,
        default_args: Mapping[str, object] | None = None,
        **options: Any,
    ) -> None:
        own = accepted_options(BaseOperator)
        mine = {k: v for k, v in shared.items() if k in own and k != "task_id"}
        super().__init__(task_id, dag=dag, **{**options, **mine})
        self.operator_class = operator_class
        self.shared = {k: v for k, v in shared.items() if k not in own}
        self.axes = checked_axes(f"task {task_id!r}", over)
        self._given += meant_by_name(operator_class)

    @property
    def operator_name(self) -> str:
        return self.operator_class.shown_as or self.operator_class.__name__

    def rendered(
        self, give: Callable[[Ref], object], mapped: Mapping[str, object]
    ) -> BaseOperator:
        options = replaced({**self.shared, **mapped}, give)
        made = self.operator_class(self.task_id, **cast("dict[str, Any]", options))
        made.retry, made.execution_timeout = self.retry, self.execution_timeout
        return made

    def arguments(self) -> dict[str, object]:
        return {"shared": self.shared}
