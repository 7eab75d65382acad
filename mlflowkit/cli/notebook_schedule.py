"""`mlflowkit notebook schedule|outputs`: runs of a notebook with Jupyter closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mlflowkit.cli.params import PARAM

NOTEBOOK = typer.Argument(..., metavar="NOTEBOOK", help="An .ipynb file.")


def schedule(
    notebook: Path = NOTEBOOK,
    cron: str = typer.Option(
        ..., "--cron", help='A cron expression ("0 6 * * *"), or @daily and its like.'
    ),
    tz: str | None = typer.Option(
        None, "--tz", help="The zone of its times; default: this machine's."
    ),
    param: list[str] | None = PARAM,
    name: str | None = typer.Option(
        None, "--name", help="The id of its DAG; default: the notebook's name."
    ),
    replace: bool = typer.Option(
        False, "--replace", help="Take the place of a DAG of that id from elsewhere."
    ),
    paused: bool = typer.Option(
        False, "--paused", help="Do not start before `dags unpause`."
    ),
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """Run a notebook by a schedule: a DAG with one task is made of it and published.

    Its runs use the notebook as it is now; schedule it again after a change. `mlflowkit dags
    pause|unpause|delete NAME` as for every DAG.
    """
    from mlflowkit.authoring.publish import schedule as publish
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.cli.notebook import _values
    from mlflowkit.handles.schedule import scheduler_alive

    made = publish(
        notebook.absolute(),
        cron,
        tz,
        dag_id=name,
        paused=True if paused else None,
        replace=replace,
        params=_values(notebook, param),
    )
    alive = scheduler_alive(made.home)
    if json:
        print_json(_as_json(made, alive))
        return
    say(repr(made))
    say(f"executed notebooks: mlflowkit notebook outputs {made.dag_id}")


def _as_json(made: Any, alive: bool) -> dict[str, Any]:
    found = made.upcoming()
    return {
        "dag_id": made.dag_id,
        "paused": made.paused,
        "next": [info.run_after for info in found],
        "scheduler_alive": alive,
    }


def outputs(
    notebook: str = typer.Argument(
        ..., metavar="NOTEBOOK|DAG", help="A notebook that was scheduled, or a DAG's id."
    ),
    limit: int = typer.Option(20, "-n", "--limit", min=1, help="Runs that are looked at."),
    json: bool = typer.Option(False, "--json", help="Print a JSON list."),
) -> None:
    """The executed notebooks of its runs, the newest first: date, state, file."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.cli.places import the_home
    from mlflowkit.handles.past_notebooks import notebook_outputs

    the_home()
    found = notebook_outputs(notebook, limit=limit)
    if json:
        print_json(
            [
                {
                    "date": one.date.isoformat(),
                    "run_id": one.run_id,
                    "task_id": one.task_id or None,
                    "state": one.state,
                    "run_type": one.run_type,
                    "path": str(one.path) if one.path else None,
                }
                for one in found
            ]
        )
        return
    say(repr(found))
