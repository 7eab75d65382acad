"""`mlflowkit run` and `mlflowkit test`: one run of a DAG, now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli import one_task
from mlflowkit.cli.airflow import AIRFLOW, VERSION
from mlflowkit.cli.params import PARAM, texts_of

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

PIPELINE = typer.Argument(
    ..., metavar="FILE[:DAG]", help="A pipeline file, and which of its DAGs."
)
JSON = typer.Option(False, "--json", help="Print one JSON object at the end.")
LOGS = typer.Option(False, "--logs", help="Show what the tasks print, too.")


def run(
    pipeline: str = PIPELINE,
    param: list[str] | None = PARAM,
    retries: int | None = typer.Option(
        None, min=0, help="Tries after the first one, for all tasks."
    ),
    retry_delay: float | None = typer.Option(
        None, min=0, help="Seconds before a retry, for all tasks."
    ),
    json: bool = JSON,
    logs: bool = LOGS,
    wait: bool = typer.Option(
        True,
        "--wait/--no-wait",
        help="Without: hand the run to an engine in the background, and return at once.",
    ),
    airflow: bool = AIRFLOW,
    airflow_version: int | None = VERSION,
) -> None:
    """Run a DAG once, now, and show how it goes.

    The engine that is alive in the home does it; if none is, this process is the engine.
    Ctrl-C stops the run. Exit status: 0 success, 1 failed, 2 wrong use, 130 stopped by Ctrl-C.
    """
    from mlflowkit.cli.console import say
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Submit
    from mlflowkit.cli.places import the_home
    from mlflowkit.handles.request import make_request

    folder = the_home()
    dag, params = load(pipeline, param, airflow, airflow_version)
    dag.check(params)
    options = {"retries": retries, "retry_delay": retry_delay}
    request = make_request(dag, params, options, folder)
    for note in request.notes:
        say(note, stderr=json)
    job = Submit(request)
    if not wait:
        _hand_over(job, folder, json)
        return
    raise typer.Exit(do_and_tell(job, folder, json=json, logs=logs))


def load(
    pipeline: str,
    param: list[str] | None,
    airflow: bool = False,
    airflow_version: int | None = None,
) -> tuple[DAG, dict[str, Any]]:
    """A DAG of a file, and its parameters from the command line."""
    from mlflowkit.authoring.params import params_from_text
    from mlflowkit.cli.airflow import load_one

    texts = texts_of(param)
    dag = load_one(pipeline, airflow, airflow_version)
    return dag, params_from_text(dag.spec(), texts)


def _hand_over(job: Any, folder: Any, json: bool) -> None:
    from mlflowkit.cli.closing import as_json
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.engine.client import ensure_engine
    from mlflowkit.handles.run import RunHandle

    client = ensure_engine(folder)
    run_id = job.send(client)[0]
    client.close()
    if json:
        print_json(as_json(RunHandle(run_id, folder).view()))
    else:
        say(f"{run_id} was started; `mlflowkit runs show {run_id}` says how it goes")


def in_process(
    pipeline: str = PIPELINE,
    task: str | None = one_task.TASK,
    param: list[str] | None = PARAM,
    logical_date: str | None = typer.Option(
        None, "--logical-date", metavar="DATE", help="ISO date of the run; default: now."
    ),
    xcom: list[str] | None = one_task.XCOM,
    from_run: str | None = one_task.FROM_RUN,
    map_index: int | None = one_task.MAP_INDEX,
    json: bool = JSON,
    airflow: bool = AIRFLOW,
    airflow_version: int | None = VERSION,
) -> None:
    """Run a DAG, or one task of it, in this process: prints and breakpoints are yours.

    Nothing is stored. Exit status: 0 success or skipped, 1 failed, 2 wrong use.
    """
    import sys
    import traceback
    from contextlib import nullcontext, redirect_stdout

    from mlflowkit.authoring.loader import persons_frames
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.errors import RunFailed, UserError

    dag, params = load(pipeline, param, airflow, airflow_version)
    options: dict[str, Any] = {"logical_date": logical_date} if logical_date else {}
    if task is not None:
        status = one_task.test_task(
            dag,
            task,
            params,
            xcom=xcom,
            from_run=from_run,
            map_index=map_index,
            options=options,
            json=json,
        )
        raise typer.Exit(status)
    state, states = "success", dict[str, str]()
    with redirect_stdout(sys.stderr) if json else nullcontext():
        try:
            states = dag.test(params, **options).states()
        except RunFailed as exc:
            state, states, cause = "failed", exc.states, exc.__cause__
            if cause is not None and not isinstance(cause, UserError):
                frames = persons_frames(cause.__traceback__)
                say("".join(traceback.format_list(frames)).rstrip(), stderr=True)
            said = f"{type(cause).__name__}: {cause}" if cause else exc.why
            say(f"task {exc.task_id} failed: {said}", stderr=True)
    if json:
        tasks = {_indexed(name): s for name, s in states.items()}
        run_id = f"{dag.dag_id}/test"
        print_json({"dag_id": dag.dag_id, "run_id": run_id, "state": state, "tasks": tasks})
    else:
        for name, one in states.items():
            say(f"{name}: {one}")
        say(f"{dag.dag_id}: {state}")
    raise typer.Exit(0 if state == "success" else 1)


def _indexed(name: str) -> str:
    return name if name.endswith("]") else f"{name}[-1]"
