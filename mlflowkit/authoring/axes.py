"""What mapped tasks are mapped over: checked when written, turned into items by workers.

The last axis turns fastest, as in Airflow: x=[1, 2], y=["a", "b"] gives 1a 1b 2a 2b.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final, cast

from mlflowkit.authoring.composed import WRITTEN, Source, axis_of, item_at
from mlflowkit.authoring.options import TASK_OPTIONS
from mlflowkit.authoring.refs import (
    Composed,
    MappedArg,
    ParamRef,
    Ref,
    XComArg,
    refs_in,
    replaced,
)
from mlflowkit.core.spec import KWARGS_AXIS, Expansion, XComRef
from mlflowkit.errors import CannotExpand, NotExpandable, UnknownParameter, a
from mlflowkit.settings import root, settings

if TYPE_CHECKING:
    from mlflowkit.authoring.group import TaskGroup
    from mlflowkit.authoring.operator import BaseOperator

#: Of which nothing is read where no setting says otherwise.
_USUAL_LIMIT: Final = 100_000


def map_limit() -> int:
    """Most task instances that a mapped task may become (setting `max_map_length`)."""
    if "MLFLOWKIT_MAX_MAP_LENGTH" in os.environ or _in_project():
        return settings().max_map_length
    return _USUAL_LIMIT


def _in_project() -> bool:
    path = root() / "pyproject.toml"
    text = path.read_text() if path.is_file() else ""
    if "max_map_length" not in text:
        return False
    return "max_map_length" in tomllib.loads(text).get("tool", {}).get("mlflowkit", {})


def checked_axes(
    where: str,
    axes: Mapping[str, object],
    shared: Iterable[str] = (),
    *,
    inside: TaskGroup | None = None,
) -> dict[str, object]:
    """The axes, each an output of a task, items made of them, or a list, tuple, range or dict.

    Args:
        shared: Arguments that all instances have already.
        inside: The group in which the task is made.

    Raises:
        CannotExpand: there are none, one is a parameter of the DAG, or they are too long.
        NotExpandable: one is something else.
    """
    refuse_nested(where, inside)
    if not axes:
        raise CannotExpand(where, ".expand() needs at least one argument")
    refuse_twice(where, axes, shared, ".expand()")
    for name, value in axes.items():
        _check_axis(where, name, value)
    _check_length(where, prod(map(_written_length, axes.values())))
    return dict(axes)


def checked_kwargs(
    where: str,
    value: object,
    shared: Iterable[str] = (),
    *,
    inside: TaskGroup | None = None,
) -> dict[str, object]:
    """The axis of `.expand_kwargs()`: an output, or a list of dicts and outputs.

    Raises:
        CannotExpand, NotExpandable: it cannot be one.
    """
    refuse_nested(where, inside)
    _check_axis(where, "of expand_kwargs()", value)
    if isinstance(value, (dict, range)):
        kind = type(cast("object", value)).__name__
        why = f"expand_kwargs() takes a list of dicts, not {a(kind)}"
        raise CannotExpand(where, why)
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[object]", value)
        _check_length(where, len(items))
        for item in items:
            if not isinstance(item, XComArg):
                refuse_twice(where, kwargs_of(where, item), shared, ".expand_kwargs()")
    return {KWARGS_AXIS: value}


def written_kwargs(axes: Mapping[str, object]) -> list[dict[str, object]]:
    """The sets of arguments that stand in the DAG itself."""
    value = axes.get(KWARGS_AXIS)
    items = cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()
    return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]


def mapped_names(axes: Mapping[str, object]) -> set[str]:
    """The arguments that are mapped, as far as they are known when the DAG is written."""
    named = set(axes) - {KWARGS_AXIS}
    return named.union(*written_kwargs(axes))


def refuse_nested(where: str, inside: TaskGroup | None) -> None:
    """Raises CannotExpand inside of a mapped group."""
    if inside is not None and inside.mapped_over():
        why = f"it stands in the mapped task group {inside.mapped_id!r}, which is mapped already"
        raise CannotExpand(where, why)


def _check_axis(where: str, name: str, value: object) -> None:
    if isinstance(value, ParamRef):
        why = f"{name} is a parameter of the DAG; return it from a task and map over that"
        raise CannotExpand(where, why)
    if isinstance(value, MappedArg):
        raise CannotExpand(where, f"{name} is {value!r}, which is one item already")
    if not isinstance(value, (XComArg, Composed, *WRITTEN)):
        raise NotExpandable(f"{where}, argument {name!r}", type(value).__name__)


def _written_length(value: object) -> int:
    return len(cast("Sequence[object]", value)) if isinstance(value, WRITTEN) else 1


def refuse_twice(where: str, axes: Iterable[str], shared: Iterable[str], how: str) -> None:
    """Raises CannotExpand for an argument that is shared by all instances, and mapped, too."""
    twice = sorted(set(axes) & set(shared))
    if twice:
        raise CannotExpand(where, f"{twice[0]} is in .partial() and in {how}")


def _check_length(where: str, length: int) -> None:
    limit = map_limit()
    if length > limit:
        why = (
            f"it would become {length:,} task instances; the limit is {limit:,} "
            "(setting max_map_length)"
        )
        raise CannotExpand(where, why)


def kwargs_of(where: str, item: object) -> dict[str, object]:
    """One item of `.expand_kwargs()`.

    Raises:
        CannotExpand: it is no dict with texts as keys.
        UnknownParameter: it has an option of tasks, which is the same for all instances.
    """
    if not isinstance(item, Mapping):
        why = f"an item of expand_kwargs() is {a(type(item).__name__)}, not a dict of arguments"
        raise CannotExpand(where, why)
    found = cast("Mapping[object, object]", item)
    for key in found:
        if not isinstance(key, str):
            why = f"an item of expand_kwargs() has the key {key!r}: names of arguments are texts"
            raise CannotExpand(where, why)
    return dict(cast("Mapping[str, object]", found))


def refuse_options(where: str, names: Iterable[str]) -> None:
    """Raises CannotExpand if an option of tasks is among `names`."""
    options = sorted(TASK_OPTIONS & set(names))
    if options:
        why = f"{options[0]} is an option of the task, the same for all: use .partial()"
        raise CannotExpand(where, why)


def expansion_of(operator: BaseOperator) -> Expansion | None:
    """How it, or the group around it, is mapped, as plain data; None if it is not."""
    over = operator.group_axes or operator.axes
    if not over:
        return None
    axes = tuple(axis_of(value, name) for name, value in over.items())
    return Expansion(axes=axes, limit=map_limit())


# ── in workers ──


def values_at(
    operator: BaseOperator,
    indexes: Mapping[str, int],
    source: Source,
    give: Callable[[Ref], object],
) -> dict[str, object]:
    """The mapped arguments of one task instance, or those of the mapped group around it.

    Args:
        indexes: For each axis, which of its items.
        source: Where items of outputs come from.
        give: Gives the value of a stand-in.
    """
    over = operator.group_axes or operator.axes
    where = f"task {operator.task_id!r}"
    used = _used_of_group(operator)
    found: dict[str, object] = {}
    for name, index in indexes.items():
        if operator.group_axes and not (used if name == KWARGS_AXIS else name in used):
            continue
        item = item_at(over[name], index, source)
        if name == KWARGS_AXIS:
            found |= kwargs_of(where, replaced(item, give))
        else:
            found[name] = item
    return found


def _used_of_group(operator: BaseOperator) -> set[str]:
    """The arguments of the mapped group around it that the task takes."""
    refs = refs_in(operator.arguments()) if operator.group_axes else ()
    return {ref.name for ref in refs if isinstance(ref, MappedArg)}


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
    if map_index < 0 or not (operator.axes or operator.group_axes):
        return {}
    indexes: dict[str, int] = {}
    left = map_index
    for name, length in reversed(lengths):
        left, indexes[name] = divmod(left, length)

    def whole(ref: Ref) -> object:
        raise UnknownParameter(f"task {operator.task_id!r}", repr(ref), ())

    def item(task_id: str, key: str, index: int) -> object:
        return fetch(XComRef(cast("Any", task_id), key), index)

    in_order = {name: indexes[name] for name, _ in lengths}

    def count(task_id: str, key: str) -> int:
        raise NotExpandable(f"task {operator.task_id!r}, {key!r} of {task_id!r}", "value")

    source = Source(item, count)
    return values_at(operator, in_order, source, whole)
