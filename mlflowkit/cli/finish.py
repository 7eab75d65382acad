"""From a job to an exit status: the part that `run`, `runs retry` and `runs resume` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.cli.closing import as_json, tell_end
from mlflowkit.cli.console import console, print_json
from mlflowkit.cli.drive import Outcome, carry_out, waiting_line
from mlflowkit.cli.jobs import Job
from mlflowkit.cli.stopping import SIGNALLED
from mlflowkit.core.view import RunView
from mlflowkit.handles.run import RunHandle

if TYPE_CHECKING:
    from rich.console import Console


def do_and_tell(job: Job, home: Path, *, json: bool = False, logs: bool = False) -> int:
    """Have a job done, show it, and say how it ended. Gives the exit status."""
    terminal = console(stderr=json)
    outcome = carry_out(job, home, terminal, logs=logs)
    views = [_tell(run_id, home, outcome, terminal) for run_id in outcome.run_ids]
    if json:
        print_json(as_json(views[0]) if len(views) == 1 else [as_json(v) for v in views])
    return status_of(outcome, views)


def _tell(run_id: str, home: Path, outcome: Outcome, terminal: Console) -> RunView:
    handle = RunHandle(run_id, home)
    due = outcome.left.get(run_id)
    line = waiting_line(run_id, due, outcome) if due else ""
    if handle.view().ended:
        return tell_end(handle, terminal, line)
    terminal.print(line, highlight=False, markup=False, soft_wrap=True)
    return handle.view()


def status_of(outcome: Outcome, views: list[RunView]) -> int:
    """0 if all succeeded; 128 + the signal that stopped it; else 1."""
    if all(view.state == "success" for view in views):
        return 0
    return SIGNALLED + outcome.stopped_by if outcome.stopped_by else 1
