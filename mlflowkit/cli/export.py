"""`mlflowkit export …`: pipelines for other systems."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(
    help="Pipelines for other systems.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def main() -> None:
    """Pipelines for other systems."""


@app.command()
def airflow(
    pipeline: str = typer.Argument(..., metavar="FILE[:DAG]", help="A DAG of a file."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Where to write it; standard output if left out."
    ),
    partial: bool = typer.Option(
        False, "--partial", help="Exit status 0, also if parts could not be exported."
    ),
) -> None:
    """Write a DAG file for Airflow 3; notebooks run by its papermill provider.

    What has no equivalent is named in a comment at its top, and on standard error. Exit
    status: 1 if there is such a thing.
    """
    from mlflowkit.authoring.airflow_export import export_airflow
    from mlflowkit.authoring.loader import load_dags, split_name
    from mlflowkit.cli.console import say

    path, dag_id = split_name(pipeline)
    dags = load_dags(path, dag_id)
    done = export_airflow(Path(path).resolve(), [dag.spec() for dag in dags], dag_id)
    if output is None:
        typer.echo(done.text, nl=False)
    else:
        output.write_text(done.text)
        say(f"wrote {output}", stderr=True)
    for problem in done.problems:
        say(f"not exported: {problem}", stderr=True)
    raise typer.Exit(1 if done.problems and not partial else 0)
