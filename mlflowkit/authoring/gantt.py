"""A simulation as a picture: one row for each run, its attempts as bars from when it was due.

Inline SVG without scripts, in colours that are legible on light and dark pages. All names
that a person gave are escaped. A person's notebook keeps it: the number of bars is limited.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from html import escape
from typing import Final, NamedTuple

from mlflowkit.core.history import AttemptRow, History, RunRow
from mlflowkit.core.spec import instance_name

#: Most runs and bars that are drawn, and lines of bars, in all and within a run.
MOST_RUNS: Final = 40
MOST_BARS: Final = 500
MOST_LINES: Final = 60
MOST_LANES: Final = 10

_WIDTH, _LEFT, _RIGHT, _TOP = 920, 190, 16, 28
_LANE, _GAP = 15, 7
#: Each at least 4.5:1 against its white text, and 3:1 against a white and a black page.
_COLOURS: Final = {
    "success": "#237a45",
    "failed": "#c23b3b",
    "up_for_retry": "#96610a",
    "up_for_reschedule": "#2f6fad",
    "skipped": "#6b7280",
    "running": "#2f6fad",
}
_WORDS: Final = {
    "up_for_retry": "failed, tried again",
    "up_for_reschedule": "looked, and looks again later",
}
_MARKS: Final = {"failed": "✕ ", "up_for_retry": "↻ "}
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600),
    *(43200, 86400, 172800, 604800),
)


class _Bar(NamedTuple):
    attempt: AttemptRow
    lane: int
    #: Seconds since the run was due, or since the simulation began if that is later.
    start: float
    end: float


class _Row(NamedTuple):
    run: RunRow
    origin: datetime
    bars: list[_Bar]
    lanes: int
    #: Attempts for which there was no lane.
    hidden: int


def gantt_html(history: History, headline: str) -> str:
    """The picture with its headline and legend, as HTML.

    Args:
        headline: A line of text; it is escaped here.
    """
    rows = _rows(history)
    parts = [f'<div style="{_BOX}">', f"<p style='{_HEAD}'>{escape(headline)}</p>"]
    if rows:
        parts += [_legend(rows), _svg(history, rows)]
        parts += [f"<p style='{_NOTE}'>{note}</p>" for note in _notes(history, rows)]
    return "".join([*parts, "</div>"])


_BOX: Final = (
    "max-width:920px;font:13px system-ui,-apple-system,'Segoe UI',sans-serif;"
    "color:inherit;line-height:1.4"
)
_HEAD: Final = "margin:0 0 6px;font-weight:600"
_NOTE: Final = "margin:4px 0 0;opacity:.75"


# ── what is drawn ───────────────────────────────────────────────────────────


def _rows(history: History) -> list[_Row]:
    """The first runs, and those that did not succeed, as far as there is room for them."""
    attempts: dict[str, list[AttemptRow]] = {run.run_id: [] for run in history.runs}
    for attempt in history.attempts:
        attempts[attempt.run_id].append(attempt)
    bad = [run for run in history.runs if run.state != "success"]
    chosen: dict[str, _Row] = {}
    left = _Room(MOST_RUNS, MOST_BARS, MOST_LINES)
    for run in [*bad[: MOST_RUNS // 2], *history.runs]:
        if run.run_id in chosen:
            continue
        row = _row(run, attempts[run.run_id], history)
        if chosen and not left.has(row):
            break
        left = left.without(row)
        chosen[run.run_id] = row
    return [chosen[run.run_id] for run in history.runs if run.run_id in chosen]


class _Room(NamedTuple):
    """How much may still be drawn."""

    runs: int
    bars: int
    lines: int

    def without(self, row: _Row) -> _Room:
        return _Room(self.runs - 1, self.bars - len(row.bars), self.lines - row.lanes)

    def has(self, row: _Row) -> bool:
        return min(self.without(row)) >= 0


def _row(run: RunRow, attempts: list[AttemptRow], history: History) -> _Row:
    """The bars of a run in few lanes: those of one lane do not overlap, and a task instance
    stays in its own where it can."""
    origin = max(run.run_after, history.start)
    lanes: list[datetime] = []
    own: dict[tuple[str, int], int] = {}
    bars: list[_Bar] = []
    for attempt in attempts:
        end = attempt.end_date or attempt.start_date
        free = [i for i, until in enumerate(lanes) if until <= attempt.start_date]
        who = (attempt.task_id, attempt.map_index)
        lane = own[who] if own.get(who) in free else free[0] if free else len(lanes)
        if lane >= MOST_LANES or len(bars) >= MOST_BARS:
            continue
        own[who] = lane
        lanes[lane : lane + 1] = [end]
        span = (_seconds(attempt.start_date, origin), _seconds(end, origin))
        bars.append(_Bar(attempt, lane, *span))
    hidden = len(attempts) - len(bars)
    return _Row(run, origin, bars, max(len(lanes), 1), hidden)


def _seconds(moment: datetime, origin: datetime) -> float:
    return (moment - origin).total_seconds()


def _notes(history: History, rows: list[_Row]) -> list[str]:
    notes = list[str]()
    if len(rows) < len(history.runs):
        notes.append(
            f"{len(rows):,} of {len(history.runs):,} runs are drawn: those that did not "
            "succeed, and the first ones. <code>.to_df()</code> has all of them."
        )
    hidden = sum(row.hidden for row in rows)
    if hidden:
        notes.append(f"{hidden:,} attempts of these runs are not drawn, for want of room.")
    return notes


# ── how ─────────────────────────────────────────────────────────────────────


def _legend(rows: list[_Row]) -> str:
    states = Counter(bar.attempt.state for row in rows for bar in row.bars)
    told = [
        f'<span style="display:inline-flex;align-items:center;margin-right:16px">'
        f'<svg width="12" height="12" aria-hidden="true" style="margin-right:5px">'
        f'<rect width="12" height="12" rx="2" fill="{_colour(state)}"/></svg>'
        f"{escape(_MARKS.get(state, ''))}{escape(_WORDS.get(state, state))}</span>"
        for state in sorted(states, key=list(_COLOURS).index)
    ]
    if any(_waited(row) >= 1 for row in rows):
        told.append("<span><span aria-hidden='true'>┄┄</span> waited for room</span>")
    return f'<p style="margin:0 0 2px">{"".join(told)}</p>'


def _svg(history: History, rows: list[_Row]) -> str:
    longest = max((bar.end for row in rows for bar in row.bars), default=1.0)
    longest = max([longest, *(_waited(row) for row in rows), 1.0])
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    top, body = float(_TOP), list[str]()
    for row in rows:
        body.append(_run_svg(history, row, top, scale))
        top += row.lanes * _LANE + _GAP
    label = f"{len(rows)} runs of {history.dag_id}, each from when it was due"
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" '
        f'viewBox="0 0 {_WIDTH} {top + 4:.0f}" width="100%" '
        f'style="max-width:{_WIDTH}px;display:block" fill="currentColor" '
        f'font-family="inherit" font-size="11">'
        f"{_axis(longest, scale, top)}{''.join(body)}</svg>"
    )


def _waited(row: _Row) -> float:
    return _seconds(row.run.start_date, row.origin) if row.run.start_date else 0.0


def _axis(longest: float, scale: float, bottom: float) -> str:
    step = next((s for s in _STEPS if longest / s <= 7), _STEPS[-1])
    step *= max(1, int(longest / step / 7))
    marks: list[str] = []
    at = 0.0
    while at <= longest:
        x = _LEFT + at * scale
        anchor = "start" if not at else "end" if x > _WIDTH - 40 else "middle"
        name = _span(at) if at else "due"
        marks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{bottom:.0f}" '
            f'stroke="currentColor" stroke-opacity=".18"/>'
            f'<text x="{x:.1f}" y="{_TOP - 13}" text-anchor="{anchor}" '
            f'opacity=".75">{name}</text>'
        )
        at += step
    return "".join(marks)


def _run_svg(history: History, row: _Row, top: float, scale: float) -> str:
    run, middle = row.run, top + _LANE * 0.72
    date = f"{run.logical_date.astimezone(history.zone):%Y-%m-%d %H:%M}"
    state = "" if run.state == "success" else f"{_MARKS.get(run.state, '')}{run.state}"
    told = f"{run.run_id}: {run.state}{f' ({run.reason})' if run.reason else ''}"
    parts = [
        f"<g><title>{escape(told)}</title>"
        f'<text x="0" y="{middle:.1f}" font-variant-numeric="tabular-nums">{date}</text>'
        f'<text x="{_LEFT - 10}" y="{middle:.1f}" text-anchor="end" '
        f'font-weight="600">{escape(state)}</text></g>'
    ]
    waited = _waited(row)
    if waited * scale >= 1:
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + waited * scale:.1f}" y1="{top + 6:.1f}" '
            f'y2="{top + 6:.1f}" stroke="currentColor" stroke-opacity=".5" '
            f'stroke-dasharray="2 3"><title>waited {_span(waited)} for room</title></line>'
        )
    parts += [_bar_svg(bar, top, scale) for bar in row.bars]
    return "".join(parts)


def _bar_svg(bar: _Bar, top: float, scale: float) -> str:
    one = bar.attempt
    name = instance_name(one.task_id, one.map_index)
    x, width = _LEFT + bar.start * scale, max((bar.end - bar.start) * scale, 2.0)
    y = top + bar.lane * _LANE
    told = f"{name}, try {one.try_number}: {_WORDS.get(one.state, one.state)}, "
    told += f"{_span(bar.end - bar.start)} from {_span(bar.start)} on"
    told += f" ({one.reason})" if one.reason else ""
    shown = _cut(f"{_MARKS.get(one.state, '')}{name}", width - 7)
    text = (
        f'<text x="{x + 3:.1f}" y="{y + 9.6:.1f}" font-size="9.5" fill="#fff" '
        f'pointer-events="none">{escape(shown)}</text>'
        if shown
        else ""
    )
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width - 0.6, 1.4):.1f}" '
        f'height="{_LANE - 2}" rx="2" fill="{_colour(one.state)}">'
        f"<title>{escape(told)}</title></rect>{text}"
    )


def _cut(text: str, room: float) -> str:
    """As much of a name as fits, its end too, where names differ; nothing if that says nothing."""
    most = int(room / 5.9)
    if len(text) <= most:
        return text
    if most < 4:
        return ""
    head = (most - 1) // 2
    return f"{text[:head]}…{text[head + 1 - most :]}"


def _colour(state: str) -> str:
    return _COLOURS.get(state, _COLOURS["skipped"])


def _span(seconds: float) -> str:
    """`45 s`, `10 min`, `1 h 30 min`, `2 d 6 h`."""
    left = round(seconds)
    if left < 60:
        return f"{seconds:g} s" if seconds < 10 else f"{left} s"
    parts = [(left // 86400, "d"), (left // 3600 % 24, "h")]
    parts += [(left // 60 % 60, "min"), (left % 60, "s")]
    told = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(told[:2])


__all__ = ["gantt_html"]
