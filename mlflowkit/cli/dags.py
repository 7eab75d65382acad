"""`mlflowkit dags …`: what a pipeline file defines."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="What a pipeline file defines.", no_args_is_help=True, rich_markup_mode=None
)
FILE = typer.Argument(..., metavar="FILE", help="A pipeline file.")


@app.command("list")
def list_(
    file: str = FILE,
    json: bool = typer.Option(False, "--json", help="Print a JSON list."),
) -> None:
    """The DAGs of a file: tasks, schedule, parameters."""
    from mlflowkit.authoring.loader import load_dags
    from mlflowkit.cli.console import print_json, say

    specs = [dag.spec() for dag in load_dags(file)]
    if json:
        found = [
            {
                "dag_id": spec.dag_id,
                "schedule": spec.schedule,
                "tasks": [task.task_id for task in spec.in_order()],
                "params": [param.name for param in spec.params],
            }
            for spec in specs
        ]
        print_json(found)
        return
    for spec in specs:
        tasks = ", ".join(task.task_id for task in spec.in_order())
        say(f"{spec.dag_id}  ({spec.schedule or 'no schedule'}): {tasks}")


@app.command()
def show(
    pipeline: str = typer.Argument(..., metavar="FILE[:DAG]", help="A DAG of a file."),
) -> None:
    """One DAG: its tasks with what they wait for, and its parameters."""
    from mlflowkit.authoring.loader import load_dag
    from mlflowkit.cli.console import say

    dag = load_dag(pipeline)
    say(repr(dag))
    for param in dag.param_specs:
        default = "required" if param.required else f"= {param.default_json}"
        say(f"  -p {param.name}: {param.annotation or 'any'} {default}")
