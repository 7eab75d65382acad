"""A run that nobody needs to be alive for: an SVG and a table, as HTML without scripts.

For `_repr_mimebundle_`, nbconvert, GitHub, a kernel that is gone. All that a person wrote is
escaped; the table of a large run is cut, and says so. The SVG is in an `<img>`: pages that
clean HTML leave images alone, but drop SVG, and what is in it would stay as loose words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Final

from mlflowkit.core.graph import graph_of, words
from mlflowkit.core.graph_svg import COLOURS, image_of
from mlflowkit.core.spec import DagSpec
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import RunView, TaskView

MOST_ROWS: Final = 200
_CELL: Final = (
    "padding:3px 14px 3px 0;text-align:left;white-space:nowrap;vertical-align:top"
)
_WIDE: Final = "padding:3px 0;text-align:left;overflow-wrap:anywhere;vertical-align:top"
_SIGNS: Final = {
    TaskState.SUCCESS: "✓",
    TaskState.FAILED: "✕",
    TaskState.UPSTREAM_FAILED: "▲",
    TaskState.RUNNING: "▶",
    TaskState.QUEUED: "…",
    TaskState.UP_FOR_RETRY: "↻",
    TaskState.UP_FOR_RESCHEDULE: "‖",
    TaskState.SKIPPED: "»",
}


def static_html(spec: DagSpec, run: RunView) -> str:
    """The picture of a run as it is now, for a page that may outlive everything."""
    head = f"<b>{escape(run.run_id)}</b> · {escape(run_line(run))}"
    return (
        '<div style="font:13px/1.45 system-ui,sans-serif;max-width:100%">'
        f"<p style='margin:0 0 6px'>{head}</p>{image_of(graph_of(spec, run))}{_table(run)}</div>"
    )


def static_text(run: RunView) -> str:
    """The same for where there are only letters."""
    lines = [f"run {run.run_id}: {run_line(run)}"]
    rows = [
        [_state_words(t), t.task_id, _took(t.started_at, t.ended_at)] for t in run.tasks
    ]
    width = max((len(row[0]) for row in rows), default=0)
    lines += [
        f"  {row[0]:{width}}  {row[1]}  {row[2]}".rstrip() for row in rows[:MOST_ROWS]
    ]
    if len(rows) > MOST_ROWS:
        lines.append(f"  … {len(rows) - MOST_ROWS} more tasks")
    return "\n".join(lines)


def run_line(run: RunView) -> str:
    """`failed, 12 s, ran at 2024-05-01 08:00 UTC`."""
    state = "interrupted" if run.interrupted else run.state
    parts = [state, run.reason, _took(run.started_at, run.ended_at)]
    if run.started_at:
        parts.append(f"ran at {run.started_at:%Y-%m-%d %H:%M} UTC")
    return ", ".join(part for part in parts if part)


def _table(run: RunView) -> str:
    head = "".join(
        f'<th style="{_CELL};font-weight:600">{name}</th>'
        for name in ("Task", "State", "Took", "What it says")
    )
    rows = "".join(_row(task) for task in run.tasks[:MOST_ROWS])
    more = len(run.tasks) - MOST_ROWS
    rest = (
        f"<p style='margin:4px 0;opacity:.75'>… {more} more tasks</p>" if more > 0 else ""
    )
    return (
        '<table style="border-collapse:collapse;font-size:12px;margin-top:8px">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"
    )


def _row(task: TaskView) -> str:
    colour = COLOURS[task.state]
    state = (
        f'<span style="color:{colour};font-weight:600">{escape(_state_words(task))}</span>'
    )
    cells: Iterable[tuple[str, str]] = (
        (_CELL, escape(task.task_id)),
        (_CELL, state),
        (_CELL, _took(task.started_at, task.ended_at)),
        (_WIDE, escape(task.reason[:300])),
    )
    return "<tr>" + "".join(f'<td style="{s}">{text}</td>' for s, text in cells) + "</tr>"


def _state_words(task: TaskView) -> str:
    sign = _SIGNS.get(task.state, "–")
    if not task.mapped:
        return f"{sign} {words(task.state)}"
    counts = ", ".join(f"{n:,} {words(s)}" for s, n in task.counts.items())
    return f"{sign} {counts or 'not expanded yet'}"


def _took(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    seconds = max((end - start).total_seconds(), 0)
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
