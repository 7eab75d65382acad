"""`mlflowkit runs …`: what ran, how it went, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli import runs_again
from mlflowkit.cli.run import JSON, LOGS
from mlflowkit.cli.runs_again import RUN, handle_of, the_home_of_runs

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(
    help="What ran, how it went, and what to do about it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_(
    dag: str | None = typer.Argument(None, help="Only runs of this DAG."),
    state: str | None = typer.Option(None, help="Only runs in this state."),
    limit: int = typer.Option(20, min=1, help="Show so many."),
    json: bool = typer.Option(False, "--json", help="Print a JSON list."),
) -> None:
    """The latest runs, the newest first."""
    from mlflowkit.cli.console import console, print_json
    from mlflowkit.cli.words import STYLES, took, when
    from mlflowkit.engine.locks import engine_alive
    from mlflowkit.home_store import database
    from mlflowkit.store.reading import list_runs

    folder = the_home_of_runs()
    with database(folder).reading() as tx:
        found = list_runs(tx, dag, state=state, limit=limit)
    if json:
        print_json([{n: getattr(s, n) for n in s.__dataclass_fields__} for s in found])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("Run", "State", "Started", "Took", ""):
        table.add_column(name)
    alive = engine_alive(folder)
    for one in found:
        gone = not alive and one.state in ("queued", "running")
        state_text = Text(
            "interrupted" if gone else one.state, style=STYLES.get(one.state, "")
        )
        started = when(one.started_at or one.created_at)
        spent = took(one.started_at, one.ended_at)
        table.add_row(one.run_id, state_text, started, spent, Text(one.reason))
    console().print(table if found else "no runs yet")


@app.command()
def show(run: str = RUN, json: bool = JSON) -> None:
    """The tasks of a run: states, times, reasons, and where its files are."""
    from datetime import UTC, datetime

    from mlflowkit.cli.closing import as_json
    from mlflowkit.cli.console import console, print_json
    from mlflowkit.cli.table import run_table
    from mlflowkit.cli.words import shown_path

    handle = handle_of(run)
    view = handle.view()
    if json:
        print_json(as_json(view))
        return
    terminal = console()
    terminal.print(run_table(view, {}, datetime.now(UTC)))
    if view.interrupted:
        terminal.print(
            f"interrupted: its engine is gone; `mlflowkit runs resume {run}` goes on"
        )
    for note in view.notes:
        terminal.print(note, markup=False)
    terminal.print(f"files: {shown_path(handle.path)}", highlight=False, soft_wrap=True)


@app.command()
def logs(
    run: str = RUN,
    task: str | None = typer.Argument(None, metavar="TASK", help="Or TASK[INDEX]."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Until the run has ended."),
    attempt: int | None = typer.Option(None, min=1, help="This attempt, not the latest."),
) -> None:
    """What the tasks of a run have printed."""
    from mlflowkit.cli.logs import show_logs

    show_logs(handle_of(run), task, attempt, follow=follow)


@app.command()
def watch(run: str = RUN, logs: bool = LOGS) -> None:
    """Show how a run goes until it has ended. Ctrl-C stops watching, not the run.

    Exit status: 0 success, 1 failed, 130 after Ctrl-C.
    """
    from mlflowkit.cli.watch import watch_run

    raise typer.Exit(watch_run(handle_of(run), logs=logs))


app.command()(runs_again.retry)
app.command()(runs_again.clear)
app.command()(runs_again.mark)


@app.command()
def resume(
    run: str | None = typer.Argument(None, metavar="RUN", help="All of them, if left out."),
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Go on with runs whose engine died. Nothing that has finished runs again."""
    from mlflowkit.cli.console import say
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Resume
    from mlflowkit.errors import RunHasEnded

    folder = the_home_of_runs()
    if run is not None:
        view = handle_of(run).view()
        if view.ended:
            raise RunHasEnded(run, view.state)
    run_ids = (run,) if run is not None else tuple(_unfinished(folder))
    if not run_ids:
        say("nothing to resume: every run has ended", stderr=json)
        return
    raise typer.Exit(do_and_tell(Resume(run_ids), folder, json=json, logs=logs))


app.command()(runs_again.cancel)


def _unfinished(folder: Path) -> list[Any]:
    from mlflowkit.home_store import database
    from mlflowkit.store.runs import unfinished

    with database(folder).reading() as tx:
        return [run_id for run_id, _ in unfinished(tx)]
