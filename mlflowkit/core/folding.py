"""A graph of many tasks as one of few boxes, so that a person can see it at once.

Steps, each only while there are too many: whole task groups; tasks that wait for the same and
that the same wait for; chains; at last, tasks by how far from the start they stand. What is
folded names all its members. Pure; who stands where is `layout`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple


class Fold(NamedTuple):
    """A box: one task, or several that are drawn as one."""

    #: The task's id; of several, that of the first.
    id: str
    members: tuple[str, ...]
    #: How it came about: "" (one task), "group", "alike", "chain" or "rank".
    how: str = ""
    #: The group that it stands in; of a folded group, the group itself.
    group: str = ""


class Task(NamedTuple):
    """A task of the graph that is to be folded. `groups`: those around it, the innermost first."""

    id: str
    upstream: tuple[str, ...]
    groups: tuple[str, ...] = ()


def fold(tasks: Sequence[Task], limit: int) -> list[Fold]:
    """At most about `limit` boxes, in the order of their first tasks."""
    state = _Folding(tasks)
    chains = partial(state.chains, limit)
    steps: tuple[Callable[[], None], ...] = (state.groups, state.alike, chains)
    while len(state.folds) > limit:
        before = len(state.folds)
        for step in steps:
            if len(state.folds) > limit:
                step()
        if len(state.folds) == before:
            state.ranks(limit)
            break
    return list(state.folds.values())


def arrows_between(folds: Sequence[Fold], tasks: Sequence[Task]) -> list[tuple[str, str]]:
    """The arrows that are left between boxes, each once."""
    box = {member: one.id for one in folds for member in one.members}
    found: dict[tuple[str, str], None] = {}
    for task in tasks:
        for up in task.upstream:
            if box[up] != box[task.id]:
                found[box[up], box[task.id]] = None
    return list(found)


class _Folding:
    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._groups = {t.id: t.groups for t in tasks}
        self._place = {t.id: n for n, t in enumerate(tasks)}
        self.folds: dict[str, Fold] = {
            t.id: Fold(t.id, (t.id,), "", t.groups[0] if t.groups else "") for t in tasks
        }

    def _graph(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        above: dict[str, set[str]] = {name: set() for name in self.folds}
        below: dict[str, set[str]] = {name: set() for name in self.folds}
        for up, down in arrows_between(list(self.folds.values()), self._tasks):
            above[down].add(up)
            below[up].add(down)
        return above, below

    def _merge(self, parts: Iterable[tuple[Sequence[str], str, str]]) -> None:
        """Make one box of each list of boxes: (their ids, how, group)."""
        for names, how, group in parts:
            inside = [self.folds.pop(name) for name in names]
            members = sorted(
                (m for f in inside for m in f.members), key=self._place.__getitem__
            )
            self.folds[members[0]] = Fold(members[0], tuple(members), how, group)
        order = sorted(self.folds, key=self._place.__getitem__)
        self.folds = {name: self.folds[name] for name in order}

    def groups(self) -> None:
        """Each outermost group becomes a box, where that makes no circle."""
        found: dict[str, list[str]] = {}
        for name, one in self.folds.items():
            if self._groups[name] and one.how != "group":
                found.setdefault(self._groups[name][-1], []).append(name)
        for group, names in found.items():
            before = dict(self.folds)
            self._merge([(names, "group", group)])
            if not self._acyclic():
                self.folds = before

    def _acyclic(self) -> bool:
        above, _ = self._graph()
        try:
            TopologicalSorter(above).prepare()
        except CycleError:
            return False
        return True

    def alike(self) -> None:
        """What waits for the same, and what the same wait for, becomes one box."""
        above, below = self._graph()
        found: dict[tuple[object, ...], list[str]] = {}
        for name, one in self.folds.items():
            if one.how != "group":
                key = (frozenset(above[name]), frozenset(below[name]), one.group)
                found.setdefault(key, []).append(name)
        self._merge(
            (names, "alike", self.folds[names[0]].group)
            for names in found.values()
            if len(names) > 1
        )

    def chains(self, limit: int) -> None:
        """Boxes that follow one another without branches become one, some at a time."""
        many = max(-(-len(self.folds) // max(limit, 1)), 2)
        above, below = self._graph()
        follows = {
            next(iter(ups)): name
            for name, ups in above.items()
            if len(ups) == 1 and len(below[next(iter(ups))]) == 1
        }
        starts = [name for name in follows if name not in follows.values()]
        parts: list[tuple[Sequence[str], str, str]] = []
        for start in starts:
            chain = [start]
            while chain[-1] in follows:
                chain.append(follows[chain[-1]])
            for first in range(0, len(chain), many):
                piece = chain[first : first + many]
                groups = {self.folds[name].group for name in piece}
                group = groups.pop() if len(groups) == 1 else ""
                parts += [(piece, "chain", group)] if len(piece) > 1 else []
        self._merge(parts)

    def ranks(self, limit: int) -> None:
        """What is equally far from the start becomes one box; of very many, some ranks each."""
        above, _ = self._graph()
        rank: dict[str, int] = {}
        for name in TopologicalSorter(above).static_order():
            rank[name] = max((rank[up] + 1 for up in above[name]), default=0)
        many = max(rank.values()) // max(limit, 1) + 1
        found: dict[int, list[str]] = {}
        for name in self.folds:
            found.setdefault(rank[name] // many, []).append(name)
        self._merge((names, "rank", "") for names in found.values() if len(names) > 1)


def title_of(one: Fold, labels: Mapping[str, str]) -> str:
    """What is written in the box."""
    first, last = labels[one.members[0]], labels[one.members[-1]]
    match one.how:
        case "":
            return first
        case "group":
            return one.group
        case _:
            return f"{first} … {last}"
