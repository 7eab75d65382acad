"""Joining tasks: `a >> [b, c]`, `set_upstream`, `chain`. An arrow means "waits for".

What can stand at an arrow says itself which of its tasks an arrow reaches (`firsts`) and
which it leaves (`lasts`): of a task the task itself, of a group its roots and its leaves.
"""

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
        """The tasks that it stands for."""
        raise NotImplementedError

    def firsts(self) -> list[BaseOperator]:
        """The tasks that wait for what is before it."""
        return self.joined()

    def lasts(self) -> list[BaseOperator]:
        """The tasks that what is after it waits for."""
        return self.joined()

    def came_after(self, tasks: list[BaseOperator]) -> None:
        """An arrow from these tasks leads to it: for what has no tasks of its own."""

    def set_downstream(self, other: object, edge_modifier: Label | None = None) -> None:
        """`other` waits for this. `edge_modifier` is written at the arrows."""
        _join_by(self, edge_modifier, other)

    def set_upstream(self, other: object, edge_modifier: Label | None = None) -> None:
        """This waits for `other`. `edge_modifier` is written at the arrows."""
        _join_by(other, edge_modifier, self)

    def __rshift__(self, other: T) -> T:
        join(self, other)
        return other

    def __lshift__(self, other: T) -> T:
        join(other, self)
        return other

    def __rrshift__(self, other: object) -> Arrows:
        join(other, self)
        return self

    def __rlshift__(self, other: object) -> Arrows:
        join(self, other)
        return self


class Label(Arrows):
    """A text at an arrow: `check >> Label("it failed") >> mail`."""

    def __init__(self, label: str) -> None:
        self.text = label
        self._before: list[object] = []
        self._after: list[object] = []

    def joined(self) -> list[BaseOperator]:
        """Its own arrows are made when both sides are known."""
        return []

    def follow(self, before: object) -> None:
        """It comes after `before`."""
        self._before.append(before)
        for after in self._after:
            self._join(before, after)

    def lead_to(self, after: object) -> None:
        """It comes before `after`."""
        self._after.append(after)
        for before in self._before:
            self._join(before, after)

    def _join(self, before: object, after: object) -> None:
        join(before, after)
        for task in firsts_of(after):
            for above in lasts_of(before):
                task.note_label(above, self.text)

    def __repr__(self) -> str:
        return f"Label({self.text!r})"


def chain(*things: object) -> None:
    """`chain(a, [b, c], [d, e], f)`: each waits for the one before it.

    Two lists side by side are joined pair by pair, as in Airflow.

    Raises:
        BadOption: two lists of different lengths stand side by side.
    """
    for before, after in pairwise(things):
        lefts, rights = _listed(before), _listed(after)
        if lefts is None or rights is None:
            join(before, after)
        else:
            _join_pairs(lefts, rights)


def chain_linear(*things: object) -> None:
    """`chain_linear(a, [b, c], [d, e], f)`: each waits for all of what is before it.

    Raises:
        BadOption: there are less than two.
    """
    several = [one for one in things if one != []]
    if len(several) < 2:
        raise BadOption("chain_linear()", "tasks", "must be at least two")
    for before, after in pairwise(several):
        join(before, after)


def cross_downstream(from_tasks: object, to_tasks: object) -> None:
    """Each of `to_tasks` waits for each of `from_tasks`."""
    join(from_tasks, to_tasks)


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
        join(one, other)


def join(before: object, after: object) -> None:
    """What is `after` waits for what is `before`; labels wait for their other side."""
    lefts, rights = _pieces(before), _pieces(after)
    for label in (one for one in lefts if isinstance(one, Label)):
        label.lead_to(after)
    for label in (one for one in rights if isinstance(one, Label)):
        label.follow(before)
    ends = [task for one in lefts for task in one.lasts()]
    for one in rights:
        one.came_after(ends)
        for task in one.firsts():
            task.wait_for(ends)


def _join_by(before: object, label: Label | None, after: object) -> None:
    if label is None:
        join(before, after)
    else:
        fresh = Label(label.text)
        fresh.follow(before)
        fresh.lead_to(after)


def _pieces(thing: object) -> list[Arrows]:
    """The tasks, groups, outputs and labels in a thing, or in lists of them.

    Raises:
        NotATask: there is something else among them.
    """
    if isinstance(thing, Arrows):
        return [thing]
    if isinstance(thing, (list, tuple, set)):
        items = cast("Iterable[object]", thing)
        return [piece for item in items for piece in _pieces(item)]
    raise NotATask(thing)


def firsts_of(thing: object) -> list[BaseOperator]:
    """The tasks that wait for what is before it. Raises NotATask as `>>` does."""
    return [task for piece in _pieces(thing) for task in piece.firsts()]


def lasts_of(thing: object) -> list[BaseOperator]:
    """The tasks that what is after it waits for. Raises NotATask as `>>` does."""
    return [task for piece in _pieces(thing) for task in piece.lasts()]
