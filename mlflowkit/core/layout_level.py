"""One level of a drawing: items in columns, crossings few, arrows as straight as they go.

A small Sugiyama layout along a main axis (what follows stands further on) and a cross axis:
columns by longest path, order in a column by barycentre, places on the cross axis by least
squares with the least distances kept. Pure; `layout` puts levels together. It knows nothing
of groups, labels' texts or screens.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Final, NamedTuple

#: Sweeps over all columns that look for fewer crossings, and that straighten arrows.
_ORDER_SWEEPS: Final = 8
_PLACE_SWEEPS: Final = 6
#: Arrows up to which crossings are counted, to keep the best order that was found.
_COUNTED: Final = 4000
#: What it counts where an arrow that passes wants to be, beside the 1 of a box.
_BEND_WEIGHT: Final = 0.001


class Size(NamedTuple):
    """How far something reaches along the main and along the cross axis."""

    main: float
    cross: float


class Link(NamedTuple):
    """An arrow of this level. `*_at`: where it meets the item, from its start on the cross axis."""

    tail: str
    head: str
    tail_at: float
    head_at: float
    #: Room that its text needs along the main axis.
    label: float = 0.0


class Distances(NamedTuple):
    """The least distances: between columns, between boxes of one, and beside a passing arrow.
    `edge`: from a border that arrows come through to the first column, and from the last."""

    columns: float = 44.0
    boxes: float = 18.0
    arrows: float = 12.0
    edge: float = 22.0


@dataclass(frozen=True, slots=True)
class Placed:
    """Where everything of a level is, from (0, 0)."""

    size: Size
    #: The start of each item on both axes.
    starts: Mapping[str, tuple[float, float]]
    #: The corners of each link, in the order they were given: (main, cross).
    routes: Sequence[tuple[tuple[float, float], ...]]


@dataclass(slots=True)
class _Vertex:
    """An item, or where an arrow passes a column (then its id is empty)."""

    id: str
    column: int
    size: Size
    #: What it is joined to in the column before, and after: (vertex, at mine, at theirs).
    before: list[tuple[int, float, float]] = field(default_factory=list)  # pyright: ignore
    after: list[tuple[int, float, float]] = field(default_factory=list)  # pyright: ignore
    start: float = 0.0


def place(
    items: Mapping[str, Size],
    links: Sequence[Link],
    *,
    first: Iterable[str] = (),
    last: Iterable[str] = (),
    distances: Distances = Distances(),
) -> Placed:
    """Place the items of one level.

    Args:
        items: By id, in the order in which they stand where nothing else decides.
        links: Without cycles.
        first, last: Items of size 0 that stand alone in a column before, or after, all others.
    """
    level = _Level(items, links, set(first), set(last), distances)
    level.order()
    level.straighten()
    return level.placed()


class _Level:
    def __init__(
        self,
        items: Mapping[str, Size],
        links: Sequence[Link],
        first: set[str],
        last: set[str],
        distances: Distances,
    ) -> None:
        self._links, self._distances = links, distances
        self._edges = (bool(first), bool(last))
        columns = _columns(items, links, first, last)
        self._vertices = [_Vertex(i, columns[i], size) for i, size in items.items()]
        self._number = {v.id: n for n, v in enumerate(self._vertices)}
        self._count = max(columns.values(), default=-1) + 1
        self._chains = [self._chain(link) for link in self._shared()]
        self._columns: list[list[int]] = [[] for _ in range(self._count)]
        for number, vertex in enumerate(self._vertices):
            self._columns[vertex.column].append(number)

    # ── arrows that pass columns ──

    def _shared(self) -> Sequence[Link]:
        self._bends: dict[tuple[str, float, int], int] = {}
        return self._links

    def _chain(self, link: Link) -> list[int]:
        """The vertices that a link goes through. Links of one tail share their bends."""
        tail, head = self._number[link.tail], self._number[link.head]
        chain, at = [tail], link.tail_at
        for column in range(self._vertices[tail].column + 1, self._vertices[head].column):
            key = (link.tail, link.tail_at, column)
            bend = self._bends.get(key)
            if bend is None:
                bend = self._bends[key] = len(self._vertices)
                self._vertices.append(_Vertex("", column, Size(0.0, 0.0)))
                self._join(chain[-1], bend, at, 0.0)
            chain.append(bend)
            at = 0.0
        self._join(chain[-1], head, at, link.head_at)
        return [*chain, head]

    def _join(self, tail: int, head: int, tail_at: float, head_at: float) -> None:
        self._vertices[tail].after.append((head, tail_at, head_at))
        self._vertices[head].before.append((tail, head_at, tail_at))

    # ── order ──

    def order(self) -> None:
        """Put each column in the order that crosses least of those that were tried."""
        joined = sum(len(v.after) for v in self._vertices)
        counted = joined <= _COUNTED
        best, fewest = self._copy(), self._crossings() if counted else 0
        for sweep in range(_ORDER_SWEEPS):
            if counted and fewest == 0:
                break
            forward = sweep % 2 == 0
            for column in range(self._count) if forward else reversed(range(self._count)):
                self._sort(column, forward)
            if not counted:
                best = self._copy()
                continue
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = self._copy(), crossings
        self._columns = best

    def _copy(self) -> list[list[int]]:
        return [list(column) for column in self._columns]

    def _sort(self, column: int, forward: bool) -> None:
        """By the mean place of what each is joined to; who is joined to nothing stays."""
        step = -1 if forward else 1
        near = self._columns[column + step] if 0 <= column + step < self._count else []
        place = {number: n / max(len(near), 1) for n, number in enumerate(near)}
        here = self._columns[column]
        keys: dict[int, float] = {}
        for n, number in enumerate(here):
            vertex = self._vertices[number]
            joined = vertex.before if forward else vertex.after
            found = [place[other] for other, _, _ in joined]
            keys[number] = sum(found) / len(found) if found else n / len(here)
        here.sort(key=lambda number: keys[number])

    def _crossings(self) -> int:
        total = 0
        for left, right in zip(self._columns, self._columns[1:], strict=False):
            place = {number: n for n, number in enumerate(right)}
            passed: list[int] = []
            for number in left:
                ends = sorted(place[other] for other, _, _ in self._vertices[number].after)
                total += sum(len(passed) - bisect_right(passed, end) for end in ends)
                for end in ends:
                    insort(passed, end)
        return total

    # ── places on the cross axis ──

    def straighten(self) -> None:
        """Move each column to where its arrows want it, as far as the distances allow."""
        for column in self._columns:
            self._spread(column, [0.0] * len(column), [1.0] * len(column))
        for sweep in range(_PLACE_SWEEPS):
            forward = sweep % 2 == 0
            for column in self._columns if forward else reversed(self._columns):
                wanted = [self._wanted(n, forward) for n in column]
                weights = [1.0 if self._vertices[n].id else _BEND_WEIGHT for n in column]
                self._spread(column, wanted, weights)
        least = min((v.start for v in self._vertices), default=0.0)
        for vertex in self._vertices:
            vertex.start -= least

    def _wanted(self, number: int, forward: bool) -> float:
        vertex = self._vertices[number]
        joined = (vertex.before if forward else vertex.after) or (
            vertex.after if forward else vertex.before
        )
        if not joined:
            return vertex.start
        # Boxes stand in line with boxes; an arrow that passes goes around them.
        joined = [j for j in joined if self._vertices[j[0]].id] or joined
        found = [self._vertices[o].start + theirs - mine for o, mine, theirs in joined]
        return sum(found) / len(found)

    def _spread(
        self, column: list[int], wanted: Sequence[float], weights: Sequence[float]
    ) -> None:
        """The places nearest to `wanted` that keep order and distances: neighbours that would
        come too close are pooled and moved as one."""
        offsets, offset = list[float](), 0.0
        for here, after in zip(column, [*column[1:], None], strict=True):
            offsets.append(offset)
            if after is not None:
                offset += self._vertices[here].size.cross + self._gap(here, after)
        pools: list[tuple[float, float, int]] = []  # (weighted sum, weight, how many)
        for want, weight, moved in zip(wanted, weights, offsets, strict=True):
            pool = ((want - moved) * weight, weight, 1)
            while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
                before = pools.pop()
                pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
            pools.append(pool)
        number = 0
        for total, weight, many in pools:
            for _ in range(many):
                self._vertices[column[number]].start = total / weight + offsets[number]
                number += 1

    def _gap(self, one: int, other: int) -> float:
        boxes = self._vertices[one].size.cross and self._vertices[other].size.cross
        return self._distances.boxes if boxes else self._distances.arrows

    # ── the end ──

    def placed(self) -> Placed:
        mains = [
            max((self._vertices[n].size.main for n in column), default=0.0)
            for column in self._columns
        ]
        begins, ends, here = list[float](), list[float](), 0.0
        for column, main in enumerate(mains):
            begins.append(here)
            ends.append(here + main)
            here += main + self._room_after(column)
        starts: dict[str, tuple[float, float]] = {}
        for vertex in self._vertices:
            if vertex.id:
                spare = mains[vertex.column] - vertex.size.main
                starts[vertex.id] = (begins[vertex.column] + spare / 2, vertex.start)
        cross = max((v.start + v.size.cross for v in self._vertices), default=0.0)
        main = ends[-1] if ends else 0.0
        routes = [
            self._route(link, chain, begins, ends, starts)
            for link, chain in zip(self._links, self._chains, strict=True)
        ]
        return Placed(Size(main, cross), starts, routes)

    def _room_after(self, column: int) -> float:
        edge = (column == 0, column == self._count - 2)
        if any(both for both in zip(edge, self._edges, strict=True) if all(both)):
            return self._distances.edge
        labels = [
            link.label
            for link, chain in zip(self._links, self._chains, strict=True)
            if link.label and self._vertices[chain[0]].column == column
        ]
        return max(self._distances.columns, *(label + 24.0 for label in labels), 0.0)

    def _route(
        self,
        link: Link,
        chain: Sequence[int],
        begins: Sequence[float],
        ends: Sequence[float],
        starts: Mapping[str, tuple[float, float]],
    ) -> tuple[tuple[float, float], ...]:
        tail, head = self._vertices[chain[0]], self._vertices[chain[-1]]
        cross = tail.start + link.tail_at
        route = [(starts[tail.id][0] + tail.size.main, cross), (ends[tail.column], cross)]
        for number in chain[1:-1]:
            bend = self._vertices[number]
            route += [(begins[bend.column], bend.start), (ends[bend.column], bend.start)]
        cross = head.start + link.head_at
        route += [(begins[head.column], cross), (starts[head.id][0], cross)]
        return tuple(
            point for n, point in enumerate(route) if n == 0 or point != route[n - 1]
        )


def _columns(
    items: Mapping[str, Size], links: Sequence[Link], first: set[str], last: set[str]
) -> dict[str, int]:
    """The column of each item: one after the furthest that it follows. What follows nothing
    stands just before what it is first joined to."""
    above: dict[str, list[str]] = {item: [] for item in items}
    below: dict[str, list[str]] = {item: [] for item in items}
    for link in links:
        above[link.head].append(link.tail)
        below[link.tail].append(link.head)
    base = 1 if first else 0
    found: dict[str, int] = {}
    for item in TopologicalSorter(above).static_order():
        start = 0 if item in first else base
        found[item] = max((found[up] + 1 for up in above[item]), default=start)
    end = max((c for i, c in found.items() if i not in last), default=base - 1) + 1
    found |= dict.fromkeys(last & items.keys(), end)
    for item in items:
        if not above[item] and below[item] and item not in first and item not in last:
            found[item] = max(base, min(found[down] for down in below[item]) - 1)
    return {item: found[item] for item in items}
