"""What a retry would do, in a terminal's words, and the question that comes before it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from mlflowkit.cli.console import print_json, say

if TYPE_CHECKING:
    from mlflowkit.handles.again import Plan


def tell_plan(plan: Plan, *, json: bool = False) -> None:
    """Print a plan: nothing of it was done."""
    if json:
        print_json(
            {name: list(getattr(plan, name)) for name in ("again", "lost", "changed")}
        )
        return
    say(f"would run again: {_listed(plan.again) or 'nothing'}")
    if plan.lost:
        say(f"results that would be replaced: {_listed(plan.lost)}")
    changed_line(plan.changed)


def changed_line(changed: tuple[str, ...], *, stderr: bool = False) -> None:
    """Which code is not as the run had it, if any."""
    if changed:
        say(f"changed since the run was started: {_listed(changed)}", stderr=stderr)


def agreed(plan: Plan, *, ask: bool, json: bool) -> bool:
    """Whether it may go on: a person who sits there is asked where results are replaced."""
    say(f"runs again: {_listed(plan.again)}", stderr=json)
    if not ask or not plan.lost or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    changed_line(plan.changed, stderr=json)
    return typer.confirm(f"The results of {_listed(plan.lost)} are replaced. Go on?")


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
