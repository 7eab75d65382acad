"""`mlflowkit runs …`: what ran, how it went, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli.run import JSON, LOGS

if TYPE_CHECKING:
    from pathlib import Path

    from mlflowkit.run_handle import RunHandle

app = typer.Typer(
    help="What ran, how it went, and what to do about it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
RUN = typer.Argument(..., metavar="RUN", help="A run, as train/3.")


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
    from mlflowkit.run_handle import database
    from mlflowkit.store.reading import list_runs

    folder = _home()
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

    handle = _handle(run)
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

    show_logs(_handle(run), task, attempt, follow=follow)


@app.command()
def watch(run: str = RUN, logs: bool = LOGS) -> None:
    """Show how a run goes until it has ended. Ctrl-C stops watching, not the run.

    Exit status: 0 success, 1 failed, 130 after Ctrl-C.
    """
    from mlflowkit.cli.watch import watch_run

    raise typer.Exit(watch_run(_handle(run), logs=logs))


@app.command()
def retry(
    run: str = RUN,
    task: list[str] | None = typer.Option(
        None, "--task", help="Only this task and all below it. May be given again."
    ),
    code: str = typer.Option(
        "latest", help="latest: as the pipeline file is now; same: as the run had it."
    ),
    resume: str = typer.Option(
        "", help="cell: notebooks go on from the failed cell; else they begin anew."
    ),
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Run again what did not succeed; the XComs of what did are kept."""
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Retry
    from mlflowkit.cli.newer import newer_code

    if code not in ("latest", "same"):
        raise typer.BadParameter("is latest or same", param_hint="--code")
    if resume not in ("", "cell"):
        raise typer.BadParameter("is cell", param_hint="--resume")
    handle = _handle(run)
    handle.refuse_if_cleaned("it cannot be tried again")
    for task_id in task or ():
        _ = handle[task_id]
    _stop_waiting(handle)
    newer = newer_code(handle, quiet=json) if code == "latest" else None
    job = Retry(run, tuple(task or ()), newer, resume)
    raise typer.Exit(do_and_tell(job, handle.home, json=json, logs=logs))


@app.command()
def mark(
    run: str = RUN,
    task: str = typer.Argument(..., metavar="TASK", help="Or TASK[INDEX]."),
    state: str = typer.Argument(..., metavar="STATE", help="success or failed."),
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Say how a task ended, whatever its code does; what waits for it goes on.

    What runs is killed. In a run that has ended, what failed below a success runs now.
    """
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Mark
    from mlflowkit.cli.logs import named

    if state not in ("success", "failed"):
        raise typer.BadParameter("is success or failed", param_hint="STATE")
    handle = _handle(run)
    task_id, index = named(handle, task)
    job = Mark(run, str(task_id), index, state)
    raise typer.Exit(do_and_tell(job, handle.home, json=json, logs=logs))


def _stop_waiting(handle: RunHandle) -> None:
    """A run that only waits for a retry is ended, so that the retry can be now."""
    from mlflowkit.cli.console import console
    from mlflowkit.cli.drive import carry_out
    from mlflowkit.cli.jobs import Cancel
    from mlflowkit.cli.screen import waits_until

    view = handle.view()
    if not view.ended and waits_until(view) is not None:
        carry_out(Cancel(handle.run_id), handle.home, console(stderr=True))


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

    folder = _home()
    if run is not None:
        view = _handle(run).view()
        if view.ended:
            raise RunHasEnded(run, view.state)
    run_ids = (run,) if run is not None else tuple(_unfinished(folder))
    if not run_ids:
        say("nothing to resume: every run has ended", stderr=json)
        return
    raise typer.Exit(do_and_tell(Resume(run_ids), folder, json=json, logs=logs))


@app.command()
def cancel(run: str = RUN, json: bool = JSON) -> None:
    """Stop a run: what runs is ended, what waits is skipped."""
    from mlflowkit.cli.closing import as_json
    from mlflowkit.cli.console import console, print_json, say
    from mlflowkit.cli.drive import carry_out
    from mlflowkit.cli.jobs import Cancel

    handle = _handle(run)
    before = handle.view()
    if not before.ended:
        carry_out(Cancel(run), handle.home, console(stderr=True))
    view = handle.view()
    if json:
        print_json(as_json(view))
    else:
        say(f"{run} {'had ended already' if before.ended else 'was stopped'}: {view.state}")


def _home() -> Path:
    from mlflowkit.cli.places import the_home

    return the_home()


def _handle(run_id: str) -> RunHandle:
    from mlflowkit.run_handle import RunHandle

    handle = RunHandle(run_id, _home())
    handle.view()
    return handle


def _unfinished(folder: Path) -> list[Any]:
    from mlflowkit.run_handle import database
    from mlflowkit.store.runs import unfinished

    with database(folder).reading() as tx:
        return [run_id for run_id, _ in unfinished(tx)]
