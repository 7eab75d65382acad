"""What a layout is asked for, and what it gives: boxes, groups and arrows, in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Direction = Literal["right", "down"]


class Node(NamedTuple):
    """A box to be placed, in pixels. `group`: the innermost group that it is in."""

    id: str
    width: float
    height: float
    group: str = ""


class Group(NamedTuple):
    """A group of boxes. `parent`: the group around it; `title`: the width of its title."""

    id: str
    parent: str = ""
    title: float = 0.0


class Arrow(NamedTuple):
    """An arrow to be drawn. `label`: the width of its text, 0 for none."""

    upstream: str
    downstream: str
    label: float = 0.0


class Point(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    """A rectangle; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Path:
    """An arrow as it goes."""

    upstream: str
    downstream: str
    points: tuple[Point, ...]
    #: The middle of its text, if it has one.
    label: Point | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything in its place, from (0, 0) to (width, height)."""

    width: float
    height: float
    direction: Direction
    boxes: Mapping[str, Box]
    #: Around groups, the outer ones first.
    frames: Mapping[str, Box]
    paths: tuple[Path, ...]
    #: Groups that no frame can be drawn around.
    unframed: tuple[str, ...] = ()
