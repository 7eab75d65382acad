"""`mlflowkit runs retry|clear|mark|cancel`: what a person does about a run, or parts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mlflowkit.cli.run import JSON, LOGS

if TYPE_CHECKING:
    from pathlib import Path

    from mlflowkit.handles.again import Wish
    from mlflowkit.handles.run import RunHandle

RUN = typer.Argument(..., metavar="RUN", help="A run, as train/3.")
CODE = typer.Option(
    "latest", help="latest: as the pipeline file is now; same: as the run had it."
)
RESUME = typer.Option(
    "", help="cell: notebooks go on from the failed cell; else they begin anew."
)
DRY_RUN = typer.Option(
    False, "--dry-run", help="Only say what would run again, and which code changed."
)


def retry(
    run: str = RUN,
    task: list[str] | None = typer.Option(
        None,
        "--task",
        help="Only this task, or TASK[INDEX], and all below it. May be given again.",
    ),
    code: str = CODE,
    resume: str = RESUME,
    dry_run: bool = DRY_RUN,
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Run again what did not succeed; the XComs of what did are kept."""
    wish = _wish(handle_of(run), task or [], code, resume, downstream=True)
    _again(handle_of(run), wish, dry_run=dry_run, json=json, logs=logs)


def clear(
    run: str = RUN,
    task: list[str] = typer.Argument(
        ..., metavar="TASK", help="Or TASK[INDEX], TASK[3,5-7] of a mapped task."
    ),
    downstream: bool = typer.Option(
        True, "--downstream/--only", help="With all that is below, or only what is named."
    ),
    code: str = CODE,
    resume: str = RESUME,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    dry_run: bool = DRY_RUN,
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Run tasks or single task instances again, whatever came of them.

    In a terminal it asks first where results would be replaced.
    """
    wish = _wish(handle_of(run), task, code, resume, downstream=downstream)
    _again(handle_of(run), wish, dry_run=dry_run, json=json, logs=logs, ask=not yes)


def _wish(
    handle: RunHandle, tasks: list[str], code: str, resume: str, *, downstream: bool
) -> Wish:
    from mlflowkit.cli.targets import targets
    from mlflowkit.handles.again import Wish

    if code not in ("latest", "same"):
        raise typer.BadParameter("is latest or same", param_hint="--code")
    if resume not in ("", "cell"):
        raise typer.BadParameter("is cell", param_hint="--resume")
    task_ids, parts = targets(handle, tasks)
    return Wish(
        task_ids=task_ids, parts=parts, code=code, resume=resume, downstream=downstream
    )


def _again(
    handle: RunHandle,
    wish: Wish,
    *,
    dry_run: bool,
    json: bool,
    logs: bool,
    ask: bool | None = None,
) -> None:
    """Say what will happen, and have it done. `ask` is None where nothing is said of results."""
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Retry
    from mlflowkit.cli.newer import newer_code
    from mlflowkit.cli.plans import agreed, changed_line, tell_plan
    from mlflowkit.handles.again import ended_run, plan_of, refuse

    handle.refuse_if_cleaned("it cannot be tried again")
    if not dry_run:
        _stop_waiting(handle)
    latest = wish.code == "latest"
    code, changed = newer_code(handle, quiet=json) if latest else (None, ())
    if wish.parts:
        refuse(ended_run(handle), wish)
    if dry_run:
        tell_plan(plan_of(handle, wish, changed), json=json)
        return
    if ask is not None and not agreed(plan_of(handle, wish, changed), ask=ask, json=json):
        raise typer.Exit(1)
    changed_line(changed, stderr=json)
    job = Retry(handle.run_id, wish, code)
    raise typer.Exit(do_and_tell(job, handle.home, json=json, logs=logs))


def mark(
    run: str = RUN,
    task: str = typer.Argument(..., metavar="TASK", help="Or TASK[INDEX], TASK[3,5-7]."),
    state: str = typer.Argument(..., metavar="STATE", help="success or failed."),
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Say how a task ended, whatever its code does; what waits for it goes on.

    What runs is killed. In a run that has ended, what failed below a success runs now.
    """
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Mark
    from mlflowkit.cli.targets import target

    if state not in ("success", "failed"):
        raise typer.BadParameter("is success or failed", param_hint="STATE")
    handle = handle_of(run)
    job = Mark(run, *target(handle, task), state)
    raise typer.Exit(do_and_tell(job, handle.home, json=json, logs=logs))


def cancel(
    run: str = RUN,
    task: list[str] | None = typer.Argument(
        None, metavar="TASK", help="Only these, or TASK[INDEX]: the run goes on."
    ),
    json: bool = JSON,
) -> None:
    """Stop a run: what runs is ended, what waits is skipped. Or only some of its tasks.

    Of one that has ended, kernels of failed notebooks may still be held: they end.
    """
    from mlflowkit.cli.closing import as_json
    from mlflowkit.cli.console import console, print_json, say
    from mlflowkit.cli.drive import carry_out
    from mlflowkit.cli.jobs import Cancel
    from mlflowkit.nbrun.held import release_run

    handle = handle_of(run)
    if task:
        _cancel_some(handle, task)
        if json:
            print_json(as_json(handle.view()))
        return
    before = handle.view()
    if not before.ended:
        carry_out(Cancel(run), handle.home, console(stderr=True))
    kernels = release_run(handle.home, run)
    view = handle.view()
    if json:
        print_json(as_json(view))
        return
    also = f"; held kernels that ended: {kernels}" if before.ended and kernels else ""
    done = "had ended already" if before.ended else "was stopped"
    say(f"{run} {done}: {view.state}{also}")


def _cancel_some(handle: RunHandle, tasks: list[str]) -> None:
    """Each in the engine that works on the run: where none does, nothing runs."""
    from mlflowkit.cli.console import say
    from mlflowkit.cli.targets import target
    from mlflowkit.errors import RunHasEnded, RunInterrupted

    view = handle.view()
    if view.ended:
        raise RunHasEnded(handle.run_id, view.state)
    if view.interrupted:
        raise RunInterrupted(handle.run_id)
    for text in tasks:
        task_id, indexes = target(handle, text)
        handle[task_id].cancel(indexes=indexes)
        say(f"{text} is being stopped", stderr=True)


def _stop_waiting(handle: RunHandle) -> None:
    """A run that only waits for a retry is ended, so that the retry can be now."""
    from mlflowkit.cli.console import console
    from mlflowkit.cli.drive import carry_out
    from mlflowkit.cli.jobs import Cancel
    from mlflowkit.cli.screen import waits_until

    view = handle.view()
    if not view.ended and waits_until(view) is not None:
        carry_out(Cancel(handle.run_id), handle.home, console(stderr=True))


def the_home_of_runs() -> Path:
    """The home that the command line is about."""
    from mlflowkit.cli.places import the_home

    return the_home()


def handle_of(run_id: str) -> RunHandle:
    """A run of it.

    Raises:
        RunNotFound: it has none of this name.
    """
    from mlflowkit.handles.run import RunHandle

    handle = RunHandle(run_id, the_home_of_runs())
    handle.view()
    return handle
