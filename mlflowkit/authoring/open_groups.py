"""Which task groups are open while a DAG is being written: state alone."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.group import TaskGroup

_open: ContextVar[tuple[TaskGroup, ...]] = ContextVar("mlflowkit_open_groups", default=())


def current_group(dag: DAG | None) -> TaskGroup | None:
    """The innermost group of `dag` that is open, or None."""
    found = [group for group in _open.get() if group.dag is dag]
    return found[-1] if found and dag is not None else None


def enter(group: TaskGroup) -> None:
    _open.set((*_open.get(), group))


def leave(group: TaskGroup) -> None:
    """Close the innermost opening of `group`."""
    groups = _open.get()
    last = max((i for i, one in enumerate(groups) if one is group), default=-1)
    _open.set(tuple(one for i, one in enumerate(groups) if i != last))
