"""Where the boxes, frames and arrows of a graph go: plain numbers, for every face that draws.

    layout = lay_out(
        [Node("load", 90, 40), Node("fit", 80, 40, group="train")],
        [Arrow("load", "fit")],
        [Group("train")],
    )
    layout.boxes["load"]    Box(x=0, y=…, width=90, height=40)
    layout.frames["train"]  the rectangle around its tasks, its title inside at the top
    layout.paths[0].points  ((90, …), …): corners of the arrow, from box to box

What holds of every layout (tests/core/test_layout.py):
  * no two boxes touch; a frame holds its boxes and frames, and nothing else;
  * arrows never go back: along the direction, each corner is as far as the one before or
    further; they start at the side of one box and end at the side of the other;
  * an arrow passes no box but its own two;
  * the same graph has the same layout, in every process.

Between two corners that differ on both axes an arrow is in the free room between columns: draw
it as a curve that leaves and arrives along the direction. Other pieces are straight.

A group is drawn as a frame only where all of it can stand together. If a task outside stands
between two of its tasks, it is in `unframed`, and its tasks stand among those around it.

Pure: no clock, no file, no font. Who draws says how large boxes are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from mlflowkit.core.layout_groups import TOP, Tree, group_tree
from mlflowkit.core.layout_level import Distances, Link, Placed, Size, place
from mlflowkit.core.layout_shapes import (
    Arrow,
    Box,
    Direction,
    Group,
    Layout,
    Node,
    Path,
    Point,
)

#: Room inside a frame: at its left, right and bottom; its title stands in the room at its top.
PADDING: Final = 14.0
TITLE: Final = 28.0
#: The height of a text at an arrow, with some air.
LINE: Final = 36.0


def lay_out(
    nodes: Sequence[Node],
    arrows: Sequence[Arrow],
    groups: Iterable[Group] = (),
    *,
    direction: Direction = "right",
    distances: Distances = Distances(),
) -> Layout:
    """Place boxes and arrows.

    Args:
        nodes: In the order in which they stand where nothing else decides.
        arrows: Between nodes, without a cycle; one that is given twice is drawn once.
        direction: "right": what comes later stands further right; "down": further down.

    Raises:
        CycleError: the arrows have a cycle.
    """
    once = {(a.upstream, a.downstream): a for a in arrows}
    tree, unframed = group_tree(nodes, list(once), groups)
    work = _Work(nodes, once, tree, {g.id: g for g in groups}, direction, distances)
    inside = work.inside(TOP)
    boxes, frames = dict[str, Box](), dict[str, Box]()
    work.settle(TOP, inside, (0.0, 0.0), boxes, frames)
    paths = tuple(work.path(arrow) for arrow in once.values())
    width, height = work.turned(inside.placed.size.main, inside.placed.size.cross)
    return Layout(
        width,
        height,
        direction,
        {n.id: boxes[n.id] for n in nodes},
        frames,
        paths,
        tuple(unframed),
    )


@dataclass(slots=True)
class _Inside:
    """A group, or the top, with everything in it placed from (0, 0)."""

    placed: Placed
    within: dict[str, _Inside]
    #: Where arrows enter and leave it, by the node that they are about (cross axis).
    entries: dict[str, float]
    exits: dict[str, float]
    #: The corners of the pieces of arrows here: ("exit" | "entry", node) or (node, node).
    routes: dict[tuple[str, str], tuple[tuple[float, float], ...]]
    origin: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class _Work:
    nodes: Sequence[Node]
    arrows: Mapping[tuple[str, str], Arrow]
    tree: Tree
    groups: Mapping[str, Group]
    direction: Direction
    distances: Distances
    insides: dict[str, _Inside] = field(default_factory=dict[str, "_Inside"])
    _sizes: dict[str, Size] = field(default_factory=dict[str, Size])
    _children: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    #: The pieces of arrows at each level: (name, tail, head, label).
    _pieces: dict[str, list[tuple[tuple[str, str], str, str, float]]] = field(
        default_factory=dict[str, "list[tuple[tuple[str, str], str, str, float]]"]
    )

    def __post_init__(self) -> None:
        self._sizes = {n.id: Size(*self.turned(n.width, n.height)) for n in self.nodes}
        self._children = self.tree.children()
        for (up, down), arrow in self.arrows.items():
            self._cut(up, down, arrow.label)

    def turned(self, one: float, other: float) -> tuple[float, float]:
        """(width, height) as (main, cross), and back."""
        return (one, other) if self.direction == "right" else (other, one)

    def _cut(self, up: str, down: str, label: float) -> None:
        """An arrow in pieces: out of each group around its tail, across, and into each around
        its head."""
        ups, downs = self.tree.chain(up), self.tree.chain(down)
        common = next(one for one in ups if one in downs)
        tail = up
        for level in ups[: ups.index(common)]:
            self._piece(level, ("exit", up), tail, f"\0exit {up}")
            tail = level
        head = down
        for level in downs[: downs.index(common)]:
            self._piece(level, ("entry", down), f"\0entry {down}", head)
            head = level
        self._pieces.setdefault(common, []).append(((up, down), tail, head, label))

    def _piece(self, level: str, name: tuple[str, str], tail: str, head: str) -> None:
        pieces = self._pieces.setdefault(level, [])
        if (name, tail, head, 0.0) not in pieces:
            pieces.append((name, tail, head, 0.0))

    def inside(self, level: str) -> _Inside:
        """Place what is in a group, and in the groups in there."""
        within = {c: self.inside(c) for c in self._children[level] if c in self.tree.groups}
        sizes = {
            c: self._frame_size(c, within[c]) if c in within else self._sizes[c]
            for c in self._children[level]
        }
        pieces = self._pieces.get(level, [])
        first = [t for n, t, _, _ in pieces if n[0] == "entry" and t == f"\0entry {n[1]}"]
        last = [h for n, _, h, _ in pieces if n[0] == "exit" and h == f"\0exit {n[1]}"]
        items = {**dict.fromkeys(first, Size(0, 0)), **sizes}
        items |= dict.fromkeys(last, Size(0, 0))
        links = [
            Link(
                tail,
                head,
                self._at(tail, sizes, within, "exits", self._about(name, 0)),
                self._at(head, sizes, within, "entries", self._about(name, 1)),
                label if self.direction == "right" or not label else LINE,
            )
            for name, tail, head, label in pieces
        ]
        placed = place(items, links, first=first, last=last, distances=self.distances)
        made = _Inside(placed, within, {}, {}, {})
        for (name, tail, head, _), route in zip(pieces, placed.routes, strict=True):
            made.routes[name] = route
            if name[0] == "entry" and tail in first:
                made.entries[name[1]] = placed.starts[tail][1]
            elif name[0] == "exit" and head in last:
                made.exits[name[1]] = placed.starts[head][1]
        self.insides[level] = made
        return made

    def _about(self, name: tuple[str, str], end: int) -> str:
        """The node that a piece is about, at its tail (0) or head (1)."""
        return name[1] if name[0] in ("entry", "exit") else name[end]

    def _at(
        self,
        item: str,
        sizes: Mapping[str, Size],
        within: Mapping[str, _Inside],
        side: str,
        node: str,
    ) -> float:
        """Where an arrow meets an item: the middle of a box, or a frame where it goes on."""
        if item in within:
            offset = self._padding()[2]
            ports: dict[str, float] = getattr(within[item], side)
            return offset + ports[node] + self._slack(item, within[item]).cross / 2
        return sizes[item].cross / 2 if item in sizes else 0.0

    def _padding(self) -> tuple[float, float, float, float]:
        """Room in a frame: before and after on the main axis, then on the cross axis."""
        if self.direction == "right":
            return PADDING, PADDING, TITLE, PADDING
        return TITLE, PADDING, PADDING, PADDING

    def _frame_size(self, group: str, inside: _Inside) -> Size:
        before, after, over, under = self._padding()
        main, cross = inside.placed.size
        slack = self._slack(group, inside)
        return Size(main + before + after + slack.main, cross + over + under + slack.cross)

    def _slack(self, group: str, inside: _Inside) -> Size:
        """What a frame is larger than its content for the sake of its title."""
        title = self.groups[group[1:]].title if group[1:] in self.groups else 0.0
        wide = self.turned(*inside.placed.size)[0]
        spare = max(title - wide, 0.0)
        return Size(*self.turned(spare, 0.0))

    def settle(
        self,
        level: str,
        inside: _Inside,
        origin: tuple[float, float],
        boxes: dict[str, Box],
        frames: dict[str, Box],
    ) -> None:
        """Turn places in a group into places in the drawing."""
        inside.origin = origin
        before, _, over, _ = self._padding()
        for child in self._children[level]:
            start = inside.placed.starts[child]
            main, cross = origin[0] + start[0], origin[1] + start[1]
            if child not in inside.within:
                boxes[child] = self._box(main, cross, self._sizes[child])
                continue
            deeper = inside.within[child]
            slack = self._slack(child, deeper)
            frames[child[1:]] = self._box(main, cross, self._frame_size(child, deeper))
            corner = (main + before + slack.main / 2, cross + over + slack.cross / 2)
            self.settle(child, deeper, corner, boxes, frames)

    def _box(self, main: float, cross: float, size: Size) -> Box:
        x, y = self.turned(main, cross)
        return Box(x, y, *self.turned(size.main, size.cross))

    def path(self, arrow: Arrow) -> Path:
        """An arrow from its pieces."""
        up, down = arrow.upstream, arrow.downstream
        ups, downs = self.tree.chain(up), self.tree.chain(down)
        common = next(one for one in ups if one in downs)
        pieces = [(level, ("exit", up)) for level in ups[: ups.index(common)]]
        pieces.append((common, (up, down)))
        pieces += [(lv, ("entry", down)) for lv in reversed(downs[: downs.index(common)])]
        points, label = list[Point](), None
        for level, name in pieces:
            inside = self.insides[level]
            route = [
                (m + inside.origin[0], c + inside.origin[1]) for m, c in inside.routes[name]
            ]
            here = [Point(*self.turned(*one)) for one in route]
            if name == (up, down) and arrow.label:
                label = _middle(here)
            points += [p for p in here if not points or p != points[-1]]
        return Path(up, down, tuple(points), label)


def _middle(points: Sequence[Point]) -> Point:
    """The middle of the first piece that is not a point: the free room after the box."""
    pairs = list(pairwise(points))
    bent = [(a, b) for a, b in pairs if a.x != b.x and a.y != b.y]
    one, other = (bent or pairs)[0]
    return Point((one.x + other.x) / 2, (one.y + other.y) / 2)
