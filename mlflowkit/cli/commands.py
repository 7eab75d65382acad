"""All commands, put together. Each noun has a file; none loads anything heavy before it is used."""

from __future__ import annotations

import typer

from mlflowkit.cli import (
    backfill,
    clean,
    connections,
    dags,
    demo,
    engine,
    export,
    kernels,
    notebook,
    notebook_dag,
    notebook_held,
    notebook_schedule,
    pools,
    run,
    runs,
    scheduler,
    simulate,
    variables,
)

app = typer.Typer(
    name="mlflowkit",
    help="Pipelines for people who live in notebooks. Exit status: 0 fine, 1 the run failed, "
    "2 wrong use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("test")(run.in_process)
app.command("scheduler")(scheduler.scheduler)
app.command("backfill")(backfill.backfill)
app.command("clean")(clean.clean)
app.add_typer(runs.app, name="runs")
dags.app.command("simulate")(simulate.simulate)
app.add_typer(dags.app, name="dags")
app.add_typer(export.app, name="export")
notebook.app.command("to-dag")(notebook_dag.to_dag)
notebook.app.command("open")(notebook_held.open_)
notebook.app.command()(notebook_held.held)
notebook.app.command()(notebook_held.release)
notebook.app.command("schedule")(notebook_schedule.schedule)
notebook.app.command("outputs")(notebook_schedule.outputs)
app.add_typer(notebook.app, name="notebook")
app.add_typer(engine.app, name="engine")
app.add_typer(connections.app, name="connections")
app.add_typer(variables.app, name="variables")
app.add_typer(pools.app, name="pools")
app.command("install-kernel")(kernels.install_kernel)
app.command("demo")(demo.demo)


@app.callback(invoke_without_command=True)
def version(
    show: bool = typer.Option(False, "--version", "-V", help="Show the version."),
) -> None:
    """Pipelines for people who live in notebooks. Exit status: 0 fine, 1 the run failed, 2 wrong use."""
    if show:
        from mlflowkit import __version__

        typer.echo(f"mlflowkit {__version__}")
        raise typer.Exit
