"""Every layout keeps its promises: nothing touches, nothing goes back, the same twice."""

from __future__ import annotations

from graphlib import CycleError
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflowkit.core.layout import lay_out
from mlflowkit.core.layout_shapes import Arrow, Box, Direction, Group, Layout, Node

SLACK = 1e-6
GROUPS = [Group("a", title=90), Group("b", "a", title=10), Group("c")]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[Arrow], Direction]:
    count = draw(st.integers(1, 14))
    homes = st.sampled_from(["", "", "a", "b", "c"])
    nodes = [
        Node(f"n{i}", draw(st.integers(20, 160)), draw(st.integers(20, 60)), draw(homes))
        for i in range(count)
    ]
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=24)) if pairs else []
    labels = st.sampled_from([0, 0, 60])
    arrows = [Arrow(f"n{i}", f"n{j}", draw(labels)) for i, j in chosen]
    return nodes, arrows, draw(st.sampled_from(["right", "down"]))


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.right - SLACK
        and other.x < one.right - SLACK
        and one.y < other.bottom - SLACK
        and other.y < one.bottom - SLACK
    )


def holds(frame: Box, box: Box) -> bool:
    return (
        frame.x <= box.x + SLACK
        and frame.y <= box.y + SLACK
        and frame.right >= box.right - SLACK
        and frame.bottom >= box.bottom - SLACK
    )


def members(nodes: list[Node], layout: Layout) -> dict[str, set[str]]:
    parents = {g.id: g.parent for g in GROUPS}
    found: dict[str, set[str]] = {name: set() for name in layout.frames}
    for node in nodes:
        group = node.group
        while group:
            if group in found:
                found[group].add(node.id)
            group = parents[group]
    return found


@settings(max_examples=120)
@given(graphs())
def test_no_two_boxes_touch_and_a_frame_holds_its_own_and_nothing_else(
    graph: tuple[list[Node], list[Arrow], Direction],
) -> None:
    nodes, arrows, direction = graph
    layout = lay_out(nodes, arrows, GROUPS, direction=direction)
    assert list(layout.boxes) == [n.id for n in nodes]
    for one, other in combinations(layout.boxes.values(), 2):
        assert not overlap(one, other)
    inside = members(nodes, layout)
    for name, frame in layout.frames.items():
        for node, box in layout.boxes.items():
            assert holds(frame, box) if node in inside[name] else not overlap(frame, box)
    for (name, frame), (other, box) in combinations(layout.frames.items(), 2):
        if inside[name] & inside[other]:
            assert holds(frame, box) or holds(box, frame)
        else:
            assert not overlap(frame, box)
    whole = Box(0, 0, layout.width, layout.height)
    assert all(
        holds(whole, box) for box in (*layout.boxes.values(), *layout.frames.values())
    )


@settings(max_examples=120)
@given(graphs())
def test_arrows_go_from_box_to_box_never_back_and_through_no_other(
    graph: tuple[list[Node], list[Arrow], Direction],
) -> None:
    nodes, arrows, direction = graph
    layout = lay_out(nodes, arrows, GROUPS, direction=direction)
    drawn = {(p.upstream, p.downstream) for p in layout.paths}
    assert drawn == {(a.upstream, a.downstream) for a in arrows}
    assert len(layout.paths) == len(drawn)
    for path in layout.paths:
        tail, head = layout.boxes[path.upstream], layout.boxes[path.downstream]
        first, last = path.points[0], path.points[-1]
        if direction == "right":
            assert (first.x, last.x) == pytest.approx((tail.right, head.x))
            assert tail.y < first.y < tail.bottom
            assert head.y < last.y < head.bottom
        else:
            assert (first.y, last.y) == pytest.approx((tail.bottom, head.y))
            assert tail.x < first.x < tail.right
        for here, there in pairwise(path.points):
            along = there.x - here.x if direction == "right" else there.y - here.y
            assert along >= -SLACK
            piece = Box(
                min(here.x, there.x),
                min(here.y, there.y),
                abs(there.x - here.x),
                abs(there.y - here.y),
            )
            others = {path.upstream, path.downstream}
            for name, box in layout.boxes.items():
                assert name in others or not crosses(piece, box)


def crosses(piece: Box, box: Box) -> bool:
    """A straight or curved piece stays in the rectangle of its corners."""
    return (
        piece.x < box.right - SLACK
        and box.x < piece.right - SLACK
        and piece.y < box.bottom - SLACK
        and box.y < piece.bottom - SLACK
    )


@settings(max_examples=40)
@given(graphs())
def test_the_same_graph_has_the_same_layout(
    graph: tuple[list[Node], list[Arrow], Direction],
) -> None:
    nodes, arrows, direction = graph
    one = lay_out(nodes, arrows, GROUPS, direction=direction)
    assert one == lay_out(list(nodes), list(arrows), list(GROUPS), direction=direction)


def test_a_chain_stands_in_a_straight_line() -> None:
    nodes = [Node(name, 80, 40) for name in "abcd"]
    layout = lay_out(
        nodes, [Arrow("a", "b"), Arrow("b", "c"), Arrow("c", "d"), Arrow("a", "d")]
    )
    heights = [box.y for box in layout.boxes.values()]
    assert max(heights) - min(heights) < 0.5
    assert [layout.boxes[n].x for n in "abcd"] == sorted(layout.boxes[n].x for n in "abcd")


def test_two_rows_that_would_cross_are_put_in_the_order_in_which_they_do_not() -> None:
    nodes = [Node(name, 80, 40) for name in ("a", "b", "x", "y")]
    layout = lay_out(nodes, [Arrow("a", "y"), Arrow("b", "x")])
    boxes = layout.boxes
    assert (boxes["a"].y < boxes["b"].y) == (boxes["y"].y < boxes["x"].y)


def test_a_group_with_a_task_between_its_tasks_gets_no_frame() -> None:
    nodes = [Node("one", 80, 40, "a"), Node("between", 80, 40), Node("two", 80, 40, "a")]
    layout = lay_out(nodes, [Arrow("one", "between"), Arrow("between", "two")], GROUPS)
    assert (list(layout.frames), layout.unframed) == ([], ("a",))


def test_a_cycle_is_an_error() -> None:
    nodes = [Node("a", 80, 40), Node("b", 80, 40)]
    with pytest.raises(CycleError):
        lay_out(nodes, [Arrow("a", "b"), Arrow("b", "a")])
