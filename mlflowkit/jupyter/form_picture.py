"""A form as it stays when its kernel is gone: its values in a table, and the run below them.

Brought up to date when the form has run its DAG, and when that run ends.
"""

from __future__ import annotations

import secrets
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Final

from mlflowkit.errors import MlflowkitError
from mlflowkit.jupyter.shown import framed, live, publish, run_html

if TYPE_CHECKING:
    from mlflowkit.jupyter.form import Form

_CELL: Final = "padding:3px 14px 3px 0;text-align:left;vertical-align:top"


def bundle(form: Form, still: str = "") -> dict[str, str]:
    """The form as HTML and as text."""
    rows = form.rows_said()
    lines = [f"Run {form.dag.dag_id}", *(f"  {name} = {value}" for name, value, _ in rows)]
    html = _table(form.dag.dag_id, rows)
    if form.run is not None:
        lines.append(f"run {form.run.run_id}: {form.run.state}")
        html += run_html(form.run)
    return {"text/html": framed(html, still), "text/plain": "\n".join(lines)}


def _table(dag_id: str, rows: list[tuple[str, str, str]]) -> str:
    heads = "".join(
        f'<th style="{_CELL}">{name}</th>' for name in ("Parameter", "Value", "What it is")
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in row)
        + "</tr>"
        for row in rows
    )
    return (
        '<div style="font:13px/1.45 system-ui,sans-serif">'
        f"<p style='margin:0 0 6px'><b>Run {escape(dag_id)}</b></p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def show(form: Form, widget: dict[str, object]) -> bool:
    """Show the form in the cell, and its picture below; False where there is no front end.

    Args:
        widget: What a front end makes the form of.
    """
    if not live():
        return False
    still = f"s{secrets.token_hex(6)}"
    publish(widget)
    publish(bundle(form, still), still)
    form.on_run(partial(_follow, form, still))
    return True


def _follow(form: Form, still: str) -> None:
    """The form has run its DAG."""
    from mlflowkit.jupyter.live import pump

    _renew(form, still)
    run = form.run
    if run is not None:
        channel = pump().channel(run.home, run.run_id)
        channel.at_end(still, partial(_renew, form, still))
        pump().stir()


def _renew(form: Form, still: str) -> None:
    try:
        found = bundle(form, still)
    except (MlflowkitError, OSError):
        return  # the run was cleaned away: the picture stays as it is
    publish(found, still, update=True)
