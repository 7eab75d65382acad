"""A `Graph` as an SVG: for a cell, a page, a file. No scripts; every text is escaped.

Colours are those of the page it stands in (JupyterLab's and VS Code's variables), else light or
dark as the reader prefers. A state is a colour, a sign and a word: never a colour alone.
Where a page strips style sheets, attributes keep the shapes and the texts readable.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from typing import Final

from mlflowkit.core.graph import DETAIL_PX, TITLE_PX, Graph, GraphNode
from mlflowkit.core.layout_shapes import Box, Path, Point
from mlflowkit.core.states import TaskState

_EDGE: Final = 12.0
_CAPTION: Final = 30.0
#: Sizes down to which a picture shrinks before it scrolls.
_SHRINK: Final = 0.75
#: What a shape looks like without the style sheet.
_BOX: Final = 'class="mk-box" fill="#fff" stroke="#b4bcc6"'
_FRAME: Final = 'class="mk-frame" fill="none" stroke="#b4bcc6"'
_ARROW: Final = 'class="mk-arrow" fill="none" stroke="#57606a"'
_SIGN: Final = 'fill="none" stroke-width="1.5"'
#: Colours that can be read on white and on black, by state.
COLOURS: Final[dict[str, str]] = {
    TaskState.NONE: "#8b95a1",
    TaskState.SCHEDULED: "#8b95a1",
    TaskState.QUEUED: "#7d8796",
    TaskState.RUNNING: "#2f81e0",
    TaskState.SUCCESS: "#2b9a58",
    TaskState.FAILED: "#db4a40",
    TaskState.UP_FOR_RETRY: "#c67a12",
    TaskState.UP_FOR_RESCHEDULE: "#149a98",
    TaskState.SKIPPED: "#9476b8",
    TaskState.UPSTREAM_FAILED: "#c8662b",
    TaskState.REMOVED: "#8b95a1",
}
#: Signs in a field of 16 × 16, by state.
_SIGNS: Final[dict[str, str]] = {
    TaskState.NONE: "M4 8h8",
    TaskState.SCHEDULED: "M8 4.5V8l2.5 1.8",
    TaskState.QUEUED: "M5 5h6M5 8h6M5 11h6",
    TaskState.RUNNING: "M6.2 4.6 11.4 8 6.2 11.4z",
    TaskState.SUCCESS: "M4.4 8.3l2.4 2.5 4.8-5.4",
    TaskState.FAILED: "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6",
    TaskState.UP_FOR_RETRY: "M11 6.2A3.7 3.7 0 1 0 11.6 9M11.4 3.8v2.6H8.8",
    TaskState.UP_FOR_RESCHEDULE: "M5 4h6L5 12h6z",
    TaskState.SKIPPED: "M4.6 4.8 8 8l-3.4 3.2M8.4 4.8 11.8 8l-3.4 3.2",
    TaskState.UPSTREAM_FAILED: "M8 3.8v5M8 11.3v.6",
    TaskState.REMOVED: "M4.5 11.5l7-7",
}
#: Signs in a field of 16 × 16, by kind of task.
_KINDS: Final[dict[str, str]] = {
    "task": "M5.6 4.6 2.8 8l2.8 3.4M10.4 4.6 13.2 8l-2.8 3.4",
    "notebook": "M4 2.8h8.5v10.4H4zM6.2 2.8v10.4M8.4 5.6h2.2",
    "branch": "M3 8h4l4.4-3.8M7 8l4.4 3.8M9.6 3.8h2.2V6M9.6 12.2h2.2V10",
    "sensor": "M8 6.8a1.2 1.2 0 1 0 .01 0M4.9 11.1a4.4 4.4 0 0 1 0-6.2M11.1 4.9a4.4 4.4 0 0 1 0 6.2",
    "setup": "M8 12.6V3.6M4.4 7.2 8 3.6l3.6 3.6",
    "teardown": "M8 3.4v9M4.4 8.8 8 12.4l3.6-3.6",
    "fold": "M3.2 10.2 8 12.6l4.8-2.4M3.2 7.8 8 10.2l4.8-2.4M8 3.4l4.8 2.2L8 8 3.2 5.6z",
}
#: An image follows the theme of its page where the page says which it is.
_THEMES: Final = (
    "<style>[data-jp-theme-light=true] .mk-picture,.vscode-light .mk-picture"
    "{color-scheme:light}[data-jp-theme-light=false] .mk-picture,"
    ".vscode-dark .mk-picture{color-scheme:dark}</style>"
)
_STYLE: Final = """
.mk-graph{--mk-ink:var(--jp-content-font-color1,var(--vscode-editor-foreground,#1c2128));
--mk-soft:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#57606a));
--mk-paper:var(--jp-layout-color1,var(--vscode-editor-background,#ffffff));
--mk-line:var(--jp-border-color1,var(--vscode-panel-border,#b4bcc6));
font-family:var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif)}
@media (prefers-color-scheme:dark){.mk-graph{
--mk-ink:var(--jp-content-font-color1,var(--vscode-editor-foreground,#e6e9ed));
--mk-soft:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#9aa4b0));
--mk-paper:var(--jp-layout-color1,var(--vscode-editor-background,#14171b));
--mk-line:var(--jp-border-color1,var(--vscode-panel-border,#454c56))}}
.mk-graph .mk-name{font-size:13px;font-weight:600;fill:var(--mk-ink)}
.mk-graph .mk-detail{font-size:11px;fill:var(--mk-soft)}
.mk-graph .mk-box{fill:var(--mk-paper);stroke:var(--mk-line);stroke-width:1}
.mk-graph .mk-frame{fill:var(--mk-soft);fill-opacity:.07;stroke:var(--mk-soft);stroke-opacity:.45;stroke-dasharray:5 4}
.mk-graph .mk-arrow{fill:none;stroke:var(--mk-soft);stroke-opacity:.75;stroke-width:1.3}
.mk-graph .mk-tip{fill:var(--mk-soft);stroke:none}
.mk-graph .mk-sign{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
.mk-graph .mk-kind{stroke:var(--mk-soft)}
.mk-graph .mk-halo{stroke:var(--mk-paper);stroke-width:4;paint-order:stroke;stroke-linejoin:round}
"""


def svg_of(graph: Graph) -> str:
    """The picture, as a file of its own: it has a ground."""
    layout = graph.layout
    width, height = _size(graph)
    ground = (
        f'<rect class="mk-ground" width="{width:.0f}" height="{height:.0f}" rx="8" '
        'fill="#fff" style="fill:var(--mk-paper)"/>'
    )
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="mk-graph" width="{width:.0f}" '
            f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
            'font-family="system-ui,sans-serif" font-size="12">',
            f"<title>{escape(graph.dag_id)}: {escape(graph.caption)}</title>",
            f"<style>{_STYLE}</style>{ground}",
            f'<text x="{_EDGE:.0f}" y="24"><tspan class="mk-name">{escape(graph.dag_id)}'
            f'</tspan><tspan class="mk-detail" dx="10">{escape(graph.caption)}</tspan></text>',
            f'<g transform="translate({_EDGE:.0f} {_EDGE + _CAPTION:.0f})">',
            *_frames(graph),
            *(_arrow(graph, path) for path in layout.paths),
            *(_node(node, layout.boxes[name]) for name, node in graph.nodes.items()),
            *_labels(graph),
            "</g></svg>",
        ]
    )


def _size(graph: Graph) -> tuple[float, float]:
    layout = graph.layout
    caption = len(f"{graph.dag_id}  {graph.caption}") * 7.2
    width = max(layout.width, min(caption, 1000.0)) + 2 * _EDGE
    return width, layout.height + 2 * _EDGE + _CAPTION


def image_of(graph: Graph) -> str:
    """The picture for a cell: it shrinks a little where there is no room, then scrolls.

    An `<img>` that holds it: many pages let no SVG through as HTML, and keep its loose words.
    """
    width, height = _size(graph)
    data = b64encode(svg_of(graph).encode()).decode()
    alt = escape(f"Graph of {graph.dag_id}: {graph.caption}")
    look = f"max-width:100%;min-width:{width * _SHRINK:.0f}px;height:auto;display:block"
    tips = "".join(_tips(graph, width, height))
    return (
        f'{_THEMES}<div style="overflow-x:auto;max-width:100%">'
        '<div style="position:relative;display:inline-block;max-width:100%">'
        f'<img class="mk-picture" alt="{alt}" width="{width:.0f}" height="{height:.0f}" '
        f'style="{look}" src="data:image/svg+xml;base64,{data}">{tips}</div></div>'
    )


def _tips(graph: Graph, width: float, height: float) -> Iterator[str]:
    """What is said of a node when the pointer rests on it: an empty field above its box."""
    for name, node in graph.nodes.items():
        box = graph.layout.boxes[name]
        left, top = box.x + _EDGE, box.y + _EDGE + _CAPTION
        place = (
            f"left:{left / width:.2%};top:{top / height:.2%};"
            f"width:{box.width / width:.2%};height:{box.height / height:.2%}"
        )
        tip = escape(node.tooltip)
        yield f'<span title="{tip}" style="position:absolute;{place}"></span>'


def _frames(graph: Graph) -> Iterator[str]:
    for name, box in graph.layout.frames.items():
        group = graph.groups[name]
        mapped = ' <tspan class="mk-detail">× mapped</tspan>' if group.mapped else ""
        yield (
            f"<g><title>{escape(group.tooltip)}</title>"
            f'<rect {_FRAME} {_rect(box)} rx="10"/>'
            f'<text class="mk-detail" x="{_n(box.x + 12)}" y="{_n(box.y + 18)}" '
            f'font-weight="600">{escape(group.title)}{mapped}</text></g>'
        )


def _node(node: GraphNode, box: Box) -> str:
    colour = COLOURS.get(node.state, "")
    radius = 20 if node.kind == "sensor" else 7
    parts = [f"<g><title>{escape(node.tooltip)}</title>"]
    if node.mapped or len(node.members) > 1:  # a pile of cards
        for off in (6, 3):
            behind = Box(box.x + off, box.y + off, box.width, box.height)
            parts.append(f'<rect {_BOX} {_rect(behind)} rx="{radius}"/>')
    parts.append(_shape(node, box, radius))
    if colour:
        loud = node.state in (TaskState.RUNNING, TaskState.FAILED)
        parts.append(_shape(node, box, radius, colour, 2.0 if loud else 1.2))
    parts.append(_sign(node, box, colour))
    x = _n(box.x + 36)
    parts += [
        f'<text class="mk-name" x="{x}" y="{_n(box.y + 20)}">{escape(node.title)}</text>',
        f'<text class="mk-detail" x="{x}" y="{_n(box.y + 36)}">{escape(node.detail)}</text>',
        "</g>",
    ]
    return "".join(parts)


def _shape(
    node: GraphNode, box: Box, radius: float, colour: str = "", stroke: float = 1.0
) -> str:
    tint = f'style="fill:{colour};fill-opacity:.13;stroke:{colour};stroke-width:{stroke}"'
    look = tint if colour else _BOX
    if node.kind == "branch":
        tip, x, y = 9.0, box.x, box.y
        return (
            f'<path {look} d="M{_n(x + tip)} {_n(y)}H{_n(box.right - tip)}L{_n(box.right)} '
            f"{_n(y + box.height / 2)}L{_n(box.right - tip)} {_n(box.bottom)}H{_n(x + tip)}"
            f'L{_n(x)} {_n(y + box.height / 2)}z" stroke-linejoin="round"/>'
        )
    if node.kind == "notebook":
        ear, x, y = 11.0, box.x, box.y
        return (
            f'<path {look} d="M{_n(x + 5)} {_n(y)}H{_n(box.right - ear)}l{ear} {ear}'
            f"V{_n(box.bottom - 5)}q0 5-5 5H{_n(x + 5)}q-5 0-5-5V{_n(y + 5)}q0-5 5-5z"
            f'M{_n(box.right - ear)} {_n(y)}v{ear}h{ear}" stroke-linejoin="round"/>'
        )
    return f'<rect {look} {_rect(box)} rx="{radius}"/>'


def _sign(node: GraphNode, box: Box, colour: str) -> str:
    at = f'transform="translate({_n(box.x + 13)} {_n(box.y + 15)})"'
    if not colour:
        return (
            f'<path class="mk-sign mk-kind" {_SIGN} stroke="#57606a" {at} '
            f'd="{_KINDS[node.kind]}"/>'
        )
    return (
        f'<g {at}><circle cx="8" cy="8" r="8.5" fill="{colour}"/>'
        f'<path class="mk-sign" {_SIGN} stroke="#fff" d="{_SIGNS[node.state]}"/></g>'
    )


# ── arrows ──


def _arrow(graph: Graph, path: Path) -> str:
    points = path.points
    right = graph.layout.direction == "right"
    end = points[-1]
    text = f"M{_n(points[0].x)} {_n(points[0].y)}"
    for here, there in pairwise(points):
        text += _piece(here, there, right)
    tip = f"M{_n(end.x)} {_n(end.y)}l-7-3.6v7.2z" if right else _down_tip(end)
    return f'<path {_ARROW} d="{text}"/><path class="mk-tip" d="{tip}"/>'


def _down_tip(end: Point) -> str:
    return f"M{_n(end.x)} {_n(end.y)}l-3.6-7h7.2z"


def _piece(here: Point, there: Point, right: bool) -> str:
    if here.x == there.x or here.y == there.y:
        return f"L{_n(there.x)} {_n(there.y)}"
    if right:
        mid = (here.x + there.x) / 2
        return (
            f"C{_n(mid)} {_n(here.y)} {_n(mid)} {_n(there.y)} {_n(there.x)} {_n(there.y)}"
        )
    mid = (here.y + there.y) / 2
    return f"C{_n(here.x)} {_n(mid)} {_n(there.x)} {_n(mid)} {_n(there.x)} {_n(there.y)}"


def _labels(graph: Graph) -> Iterator[str]:
    for path in graph.layout.paths:
        text = graph.labels.get((path.upstream, path.downstream), "")
        if text and path.label is not None:
            yield (
                f'<text class="mk-detail mk-halo" text-anchor="middle" x="{_n(path.label.x)}" '
                f'y="{_n(path.label.y + 3.5)}">{escape(text)}</text>'
            )


def _rect(box: Box) -> str:
    return (
        f'x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}"'
    )


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


#: Sizes of the texts, as `graph` measures them.
assert (TITLE_PX, DETAIL_PX) == (13.0, 11.0)
