"""`mlflowkit dags simulate FILE[:DAG]`: what a schedule would do, without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

import typer

from mlflowkit.cli.airflow import AIRFLOW, VERSION
from mlflowkit.cli.params import texts_of
from mlflowkit.cli.run import PIPELINE


def simulate(
    pipeline: str = PIPELINE,
    start: str = typer.Option(
        ..., "-s", "--start", metavar="DATE", help="Where the clock starts."
    ),
    end: str = typer.Option(
        ..., "-e", "--end", metavar="DATE", help="From here on no run starts."
    ),
    outcome: list[str] | None = typer.Option(
        None,
        "--outcome",
        metavar="TASK=STATE",
        help="success, failed or skipped; several by try: failed,success.",
    ),
    duration: list[str] | None = typer.Option(
        None, "--duration", metavar="TASK=SECONDS", help="Default: 60 for all tasks."
    ),
    places: int | None = typer.Option(
        None, min=1, help="Tasks that may run at once; default: no limit."
    ),
    caught_up: bool | None = typer.Option(
        None,
        "--caught-up/--missed",
        help="What was due before the start has run already, or was missed; default: missed "
        "with catchup.",
    ),
    json: bool = typer.Option(False, "--json", help="Print runs and tasks as JSON."),
    airflow: bool = AIRFLOW,
    airflow_version: int | None = VERSION,
) -> None:
    """Which runs would start when, and how they would end, with stubs in place of tasks.

    As if the DAG was published at the start. Pools are those of the home.
    """
    from mlflowkit.cli.airflow import load_one
    from mlflowkit.cli.console import print_json, say

    dag = load_one(pipeline, airflow, airflow_version)
    tries = {name: text.split(",") for name, text in texts_of(outcome).items()}
    found = dag.simulate(
        start,
        end,
        outcomes=tries,
        durations=_seconds(duration),
        places=places,
        pools=_pools(),
        caught_up=caught_up,
    )
    if not json:
        say(repr(found))
        return
    told = {
        name: [_plain(asdict(row)) for row in rows]
        for name, rows in (("runs", found.runs), ("tasks", found.tasks))
    }
    print_json({"dag_id": dag.dag_id, **told})


def _seconds(given: list[str] | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, text in texts_of(given).items():
        try:
            found[name] = float(text)
        except ValueError:
            why = f"{text!r} is no number of seconds"
            raise typer.BadParameter(why, param_hint="--duration") from None
    return found


def _pools() -> dict[str, int] | None:
    from mlflowkit.settings import home_path
    from mlflowkit.store.pools import get_pools

    folder = home_path()
    if not (folder / "store.db").exists():
        return None
    from mlflowkit.home_store import database

    with database(folder).reading() as tx:
        return get_pools(tx)


def _plain(row: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }
