"""`mlflowkit test FILE[:DAG] TASK`: one task in this process, with values of other tasks."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.handles.run import RunHandle

TASK = typer.Argument(None, metavar="[TASK]", help="Only this task; else all of them.")
XCOM = typer.Option(
    None,
    "--xcom",
    metavar="TASK[@KEY]=JSON",
    help="With TASK: the value of a task above it. May be given often.",
)
FROM_RUN = typer.Option(
    None,
    "--from-run",
    metavar="RUN",
    help="With TASK: take values that --xcom does not give from this run; default: the "
    "latest run of the DAG in the home.",
)
MAP_INDEX = typer.Option(
    None, "--map-index", min=0, help="With TASK: which instance of a mapped task."
)
#: How an attempt ends, and the state that the task instance has by that.
STATES: Final = {
    "succeeded": "success",
    "skipped": "skipped",
    "rescheduled": "up_for_reschedule",
    "failed": "failed",
    "lost": "failed",
}


def test_task(
    dag: DAG,
    task_id: str,
    params: Mapping[str, Any],
    *,
    xcom: list[str] | None,
    from_run: str | None,
    map_index: int | None,
    options: Mapping[str, Any],
    json: bool,
) -> int:
    """Run one task, and print its value. Returns the exit status."""
    import sys
    from contextlib import nullcontext, redirect_stdout

    from mlflowkit.cli.console import print_json, say
    from mlflowkit.inline.task import one_task

    xcoms = xcoms_of(dag, task_id, texts=xcom, from_run=from_run)
    with (
        redirect_stdout(sys.stderr) if json else nullcontext(),
        one_task(dag, params=params, xcoms=xcoms, options=options) as run,
    ):
        ended = run.attempt(task_id, map_index, {})
        value = run.value_of(ended)
        if run.exception is not None:
            _tell_error(run.exception)
    state = STATES[ended.outcome]
    if json:
        told = {"dag_id": dag.dag_id, "task_id": task_id, "state": state}
        print_json({**told, "why": ended.why, "value": _plain(value)})
        return int(state == "failed")
    if state == "success":
        say(repr(value))
    why = f" ({ended.why})" if ended.why else ""
    say(f"{task_id}: {state}{why}", stderr=state == "failed")
    return int(state == "failed")


def _tell_error(error: BaseException) -> None:
    import traceback

    from mlflowkit.authoring.loader import persons_frames
    from mlflowkit.cli.console import say
    from mlflowkit.errors import UserError

    if not isinstance(error, UserError):
        frames = persons_frames(error.__traceback__)
        say("".join(traceback.format_list(frames)).rstrip(), stderr=True)


def _plain(value: object) -> object:
    """As JSON has it; what it cannot say, as text."""
    return json_.loads(json_.dumps(value, default=repr))


def xcoms_of(
    dag: DAG, task_id: str, *, texts: list[str] | None, from_run: str | None
) -> dict[tuple[str, str], object]:
    """What stands in for the tasks above: as it was typed, else from a run of the home.

    Raises:
        RunNotFound, TaskNotInRun: the run that was named is not there, or has no such task.
    """
    given = dict(_typed(text) for text in texts or ())
    spec = dag.spec()
    task = spec.tasks.get(task_id)  # type: ignore[call-overload]  # a plain str is one
    if task is None:
        from mlflowkit.errors import TaskNotInRun

        raise TaskNotInRun(dag.dag_id, task_id, spec.tasks)
    axes = task.expansion.axes if task.expansion else ()
    wanted = [*task.inputs, *(ref for axis in axes for ref in axis.sources())]
    missing = [r for r in dict.fromkeys(wanted) if (str(r.task_id), r.key) not in given]
    run = _run(dag, from_run) if missing or from_run else None
    if run is None:
        return given
    ended = {one.task_id: str(one.state) for one in run.view().tasks}
    for ref in missing:
        if ended.get(ref.task_id) == "success":
            given[str(ref.task_id), ref.key] = run[ref.task_id].result(ref.key)
    return given


def _run(dag: DAG, run_id: str | None) -> RunHandle | None:
    from mlflowkit.handles.run_list import RunList
    from mlflowkit.settings import home, home_path

    if run_id is None and not (home_path() / "store.db").exists():
        return None
    runs = RunList(home(), dag.dag_id)
    return runs[run_id] if run_id is not None else runs.last()


def _typed(text: str) -> tuple[tuple[str, str], object]:
    from mlflowkit.core.spec import RETURN_VALUE

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} is not TASK=JSON", param_hint="--xcom")
    task_id, dot, key = name.strip().partition("@")
    try:
        return (task_id, key if dot else RETURN_VALUE), json_.loads(value)
    except json_.JSONDecodeError as exc:
        why = f"{value!r} is no JSON (texts stand in quotes): {exc.msg}"
        raise typer.BadParameter(why, param_hint="--xcom") from exc
