"""`mlflowkit clean`: old runs lose their files and values."""

from __future__ import annotations

import typer


def clean(
    older_than: str = typer.Option(
        ..., "--older-than", metavar="AGE", help="Of runs that ended before: 30d, 12h, 2w."
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Say what would be removed; remove nothing."
    ),
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """Remove logs, journals, executed notebooks and values of runs that ended long ago.

    What such a run was stays: its states, times and errors. Nothing of a run that has not
    ended is touched, nor of the latest run of a DAG, nor of the latest that succeeded.
    """
    from dataclasses import asdict

    from mlflowkit.cleaning import clean as do
    from mlflowkit.cli.console import print_json, say

    done = do(older_than, dry_run=dry_run)
    if json:
        print_json(asdict(done))
        return
    for run_id in done.runs:
        say(f"  {run_id}")
    say(repr(done))
