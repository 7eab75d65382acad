"""Joining tasks: `a >> [b, c]`, `set_upstream`, `chain`. An arrow means "waits for"."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar, cast

from mlflowkit.errors import BadOption, NotATask

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator

T = TypeVar("T")


class Arrows:
    """What can stand on either side of an arrow."""

    def joined(self) -> list[BaseOperator]:
        """The tasks that an arrow from or to this means."""
        raise NotImplementedError

    def set_downstream(self, other: object) -> None:
        """`other` waits for this."""
        _join(self, other)

    def set_upstream(self, other: object) -> None:
        """This waits for `other`."""
        _join(other, self)

    def __rshift__(self, other: T) -> T:
        _join(self, other)
        return other

    def __lshift__(self, other: T) -> T:
        _join(other, self)
        return other

    def __rrshift__(self, other: object) -> Arrows:
        _join(other, self)
        return self

    def __rlshift__(self, other: object) -> Arrows:
        _join(self, other)
        return self


def chain(*things: object) -> None:
    """`chain(a, [b, c], [d, e], f)`: each waits for the one before it.

    Two lists side by side are joined pair by pair, as in Airflow.

    Raises:
        BadOption: two lists of different lengths stand side by side.
    """
    for before, after in pairwise(things):
        firsts, lasts = _listed(before), _listed(after)
        if firsts is None or lasts is None:
            _join(before, after)
        else:
            _join_pairs(firsts, lasts)


def _listed(thing: object) -> list[object] | None:
    if isinstance(thing, (list, tuple)):
        return list(cast("Iterable[object]", thing))
    return None


def _join_pairs(before: list[object], after: list[object]) -> None:
    if len(before) != len(after):
        raise BadOption(
            "chain()",
            "tasks",
            f"has lists of {len(before)} and {len(after)} tasks side by side: they are "
            "joined pair by pair and must be equally long",
        )
    for one, other in zip(before, after, strict=True):
        _join(one, other)


def _join(before: object, after: object) -> None:
    firsts, lasts = tasks_of(before), tasks_of(after)
    for last in lasts:
        last.wait_for(firsts)


def tasks_of(thing: object) -> list[BaseOperator]:
    """The tasks in a task, an output, or lists of them.

    Raises:
        NotATask: there is something else among them.
    """
    if isinstance(thing, Arrows):
        return thing.joined()
    if isinstance(thing, (list, tuple, set)):
        items = cast("Iterable[object]", thing)
        return [task for item in items for task in tasks_of(item)]
    raise NotATask(thing)
