"""`mlflowkit dags pause|unpause|trigger|delete|next`: DAGs that the scheduler has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli.params import PARAM, texts_of

if TYPE_CHECKING:
    from mlflowkit.handles.schedule import Schedule
    from mlflowkit.store.published import PublishedLine

DAGS = typer.Argument(..., metavar="DAG …", help="Ids of published DAGs.")
DAG = typer.Argument(..., metavar="DAG", help="The id of a published DAG.")
JSON = typer.Option(False, "--json", help="Print JSON.")


def pause(dags: list[str] = DAGS) -> None:
    """Start no more runs by the schedule of these DAGs; those under way go on."""
    from mlflowkit.cli.console import say

    for dag_id in dags:
        _schedule(dag_id).pause()
        say(f"{dag_id} is paused")


def unpause(dags: list[str] = DAGS) -> None:
    """Start runs by the schedule of these DAGs, from now on.

    Without catchup, of all that was due meanwhile only the latest is run.
    """
    from mlflowkit.cli.console import say

    for dag_id in dags:
        handle = _schedule(dag_id)
        handle.unpause()
        say(f"{dag_id} is unpaused")
        _say_next(handle, 1)


def delete(dags: list[str] = DAGS) -> None:
    """Take these DAGs from the scheduler. Their runs stay.

    One of a folder comes back when its file changes or a scheduler starts: remove the file.
    """
    from mlflowkit.cli.console import say

    for dag_id in dags:
        _schedule(dag_id).delete()
        say(f"{dag_id} was taken from the scheduler; its runs stay")


def trigger(
    dag: str = DAG,
    param: list[str] | None = PARAM,
    run_id: str | None = typer.Option(
        None, help="A name for the run, in place of a number."
    ),
    logical_date: str | None = typer.Option(None, help="As 2026-03-01T06:00."),
    json: bool = JSON,
) -> None:
    """Start a run of a published DAG now, paused or not, with its published code."""
    from mlflowkit.authoring.params import params_from_text
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.engine.client import ensure_engine
    from mlflowkit.handles.backfill import aware

    handle = _schedule(dag)
    spec = handle.known().spec
    params = params_from_text(spec, texts_of(param))
    date = aware(logical_date, spec).isoformat() if logical_date else None
    client = ensure_engine(handle.home)
    try:
        answer = client.call(
            "trigger", dag_id=dag, params=params, run_id=run_id, logical_date=date
        )
    finally:
        client.close()
    if json:
        print_json(answer)
        return
    started = answer["run_id"]
    say(f"{started} was started; `mlflowkit runs show {started}` says how it goes")


def next_(
    dag: str = DAG,
    count: int = typer.Option(3, "-n", "--count", min=1, max=1000, help="How many."),
    json: bool = JSON,
) -> None:
    """When the next runs of a published DAG start, and the data interval of each."""
    from mlflowkit.cli.console import print_json, say

    handle = _schedule(dag)
    if json:
        found = handle.upcoming(count)
        print_json([{"run_after": i.run_after, "interval": i.data_interval} for i in found])
        return
    if not _say_next(handle, count):
        say(handle.known().problem or "no run comes by itself")


def _say_next(handle: Schedule, count: int) -> bool:
    from mlflowkit.cli.console import say
    from mlflowkit.handles.schedule import run_text, scheduler_alive

    one = handle.known()
    found = handle.upcoming(count)
    for info in found:
        say(f"  {run_text(info, one.spec)}")
    if one.paused:
        say(f"paused: `mlflowkit dags unpause {one.dag_id}` starts it", stderr=True)
    elif not scheduler_alive(handle.home):
        say("no scheduler is alive: `mlflowkit scheduler` starts one", stderr=True)
    return bool(found)


def lines() -> dict[str, PublishedLine]:
    """What the scheduler of this home has, by id."""
    from mlflowkit.cli.places import the_home
    from mlflowkit.home_store import database
    from mlflowkit.store import published

    home = the_home()
    if not (home / "store.db").exists():
        return {}
    with database(home).reading() as tx:
        return {line.dag_id: line for line in published.lines(tx)}


def as_json(line: PublishedLine | None) -> dict[str, Any] | None:
    """What a list says of a published DAG; None: it is none."""
    if line is None:
        return None
    return {
        "paused": line.paused,
        "next_run": line.next_due,
        "next_interval": [line.next_start, line.next_end] if line.next_due else None,
        "problem": line.problem,
    }


def as_text(line: PublishedLine) -> str:
    """`paused`, `next run 2026-03-04 06:00 EET`, or why there is none."""
    from mlflowkit.handles.schedule import moment

    if line.paused:
        return "paused"
    if line.problem:
        return f"no next run: {line.problem}"
    return f"next run {moment(line.next_due, None)}" if line.next_due else "published"


def _schedule(dag_id: str) -> Schedule:
    """Raises DagNotPublished if the scheduler does not have it."""
    from mlflowkit.cli.places import the_home
    from mlflowkit.handles.schedule import Schedule

    handle = Schedule(dag_id, the_home())
    handle.known()
    return handle
