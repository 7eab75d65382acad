"""`mlflowkit engine …`: the process that works on the runs of a home."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="The process that works on the runs of a home.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def start() -> None:
    """Start one in the background, unless one is alive. It ends by itself when idle."""
    from mlflowkit.cli.console import say
    from mlflowkit.cli.places import the_home
    from mlflowkit.engine.client import ensure_engine

    folder = the_home()
    client = ensure_engine(folder)
    answer = client.call("ping")
    client.close()
    say(f"engine {answer['engine_id']} works in {folder}")


@app.command()
def stop() -> None:
    """Stop it. Runs that have not ended are interrupted; `runs resume` goes on."""
    import time

    from mlflowkit.cli.console import say
    from mlflowkit.cli.places import the_home
    from mlflowkit.engine.client import EngineClient
    from mlflowkit.engine.locks import engine_alive

    folder = the_home()
    client = EngineClient(folder)
    if not client.connect():
        say(f"no engine works in {folder}")
        return
    client.call("stop")
    client.close()
    deadline = time.monotonic() + 60
    while engine_alive(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    say("the engine was stopped")


@app.command()
def status(
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """Whether one is alive, and what it works on. Exit status 1 if none is."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.cli.places import the_home
    from mlflowkit.engine.client import EngineClient
    from mlflowkit.home_store import database
    from mlflowkit.store.runs import unfinished

    folder = the_home()
    client = EngineClient(folder)
    engine_id = client.call("ping")["engine_id"] if client.connect() else None
    client.close()
    with database(folder).reading() as tx:
        open_runs = [str(run_id) for run_id, _ in unfinished(tx)]
    if json:
        print_json({"home": str(folder), "engine_id": engine_id, "unfinished": open_runs})
    else:
        say(f"home: {folder}")
        say(f"engine: {engine_id or 'none is alive'}")
        say(f"runs that have not ended: {', '.join(open_runs) or 'none'}")
    raise typer.Exit(0 if engine_id else 1)
