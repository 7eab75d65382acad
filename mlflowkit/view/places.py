"""Where everything stands in the picture of a DAG, as a screen draws it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, Final, Literal

from mlflowkit.core.layout import lay_out
from mlflowkit.core.layout_shapes import Arrow, Box, Group, Layout, Node, Path, Point
from mlflowkit.core.screen import group_labels
from mlflowkit.core.screen_groups import ShownBox, with_folded
from mlflowkit.core.spec import DagSpec

#: Width and heights of boxes, in the picture's own units (pixels at full size).
WIDTH: Final = 200.0
HEIGHT: Final = 52.0
MAPPED_HEIGHT: Final = 66.0
MARGIN: Final = 16.0
#: Width of a letter of an arrow's or a group's text, about.
LETTER: Final = 6.5

Direction = Literal["right", "down"]


def layout(
    spec: DagSpec, folded: Collection[str], direction: Direction = "right"
) -> dict[str, Any]:
    """Places of what is drawn with these groups folded, from (0, 0) to (width, height)."""
    shown = with_folded(spec, folded)
    labels = group_labels(spec)
    made = lay_out(
        [Node(b.box_id, WIDTH, _height(b), b.group) for b in shown.boxes],
        [Arrow(a.source, a.target, len(a.label) * LETTER) for a in shown.arrows],
        [Group(g, p, 60 + len(labels[g]) * LETTER) for g, p in shown.open_groups],
        direction=direction,
    )
    texts = {(a.source, a.target): a.label for a in shown.arrows}
    return {
        "direction": direction,
        "width": round(made.width + 2 * MARGIN, 1),
        "height": round(made.height + 2 * MARGIN, 1),
        "folded": sorted(set(folded) & spec.groups.keys()),
        "boxes": [
            {"id": b.box_id.removeprefix("group:"), "kind": b.kind, **_place(made, b)}
            for b in shown.boxes
        ],
        "frames": [{"id": name, **_rectangle(box)} for name, box in made.frames.items()],
        "arrows": [
            _arrow(path, texts[path.upstream, path.downstream], direction)
            for path in made.paths
        ],
    }


def _height(box: ShownBox) -> float:
    return MAPPED_HEIGHT if box.mapped or box.kind == "group" else HEIGHT


def _place(made: Layout, box: ShownBox) -> dict[str, float]:
    return _rectangle(made.boxes[box.box_id])


def _rectangle(box: Box) -> dict[str, float]:
    x, y = round(box.x + MARGIN, 1), round(box.y + MARGIN, 1)
    return {"x": x, "y": y, "w": round(box.width, 1), "h": round(box.height, 1)}


def _arrow(path: Path, label: str, direction: Direction) -> dict[str, Any]:
    found: dict[str, Any] = {
        "from": path.upstream,
        "to": path.downstream,
        "path": drawn(path.points, direction),
    }
    if label and path.label is not None:
        found["label"] = label
        found["at"] = [round(path.label.x + MARGIN, 1), round(path.label.y + MARGIN, 1)]
    return found


def drawn(points: Sequence[Point], direction: Direction) -> str:
    """An arrow as the `d` of an SVG path: curves where it changes lanes, else straight."""
    parts = [f"M{_at(points[0])}"]
    for one, other in pairwise(points):
        if one.x == other.x or one.y == other.y:
            parts.append(f"L{_at(other)}")
            continue
        middle = (one.x + other.x) / 2 if direction == "right" else (one.y + other.y) / 2
        first = Point(middle, one.y) if direction == "right" else Point(one.x, middle)
        second = Point(middle, other.y) if direction == "right" else Point(other.x, middle)
        parts.append(f"C{_at(first)} {_at(second)} {_at(other)}")
    return "".join(parts)


def _at(point: Point) -> str:
    return f"{round(point.x + MARGIN, 1):g},{round(point.y + MARGIN, 1):g}"
