"""`mlflowkit notebook …`: notebooks as tasks, without a pipeline around them."""

from __future__ import annotations

from pathlib import Path

import typer

from mlflowkit.cli.params import PARAM, texts_of
from mlflowkit.cli.run import JSON, LOGS

app = typer.Typer(
    help="Notebooks as tasks, without a pipeline around them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
NOTEBOOK = typer.Argument(..., metavar="NOTEBOOK", help="An .ipynb file.")


@app.command()
def inspect(
    notebook: Path = NOTEBOOK,
    json: bool = typer.Option(False, "--json", help="Print a JSON list."),
) -> None:
    """What a notebook can be given: the names of its `parameters` cell. Runs nothing."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.nbrun.parameters import infer

    found = infer(notebook)
    if json:
        names = ("name", "annotation", "default_source", "help")
        print_json([{n: getattr(p, n) for n in names} for p in found])
        return
    for one in found:
        kind = f": {one.annotation}" if one.annotation else ""
        note = f"  # {one.help}" if one.help else ""
        say(f"{one.name}{kind} = {one.default_source}{note}")
    if not found:
        say("it takes no parameters: no cell is tagged 'parameters'")


@app.command()
def run(
    notebook: Path = NOTEBOOK,
    param: list[str] | None = PARAM,
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Run a notebook as a DAG of one task; the executed notebook is kept."""
    import re

    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.notebook import NotebookOperator
    from mlflowkit.cli.console import say
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Submit
    from mlflowkit.cli.places import the_home
    from mlflowkit.run_handle import RunList
    from mlflowkit.run_request import make_request

    folder = the_home()
    name = re.sub(r"[^\w.-]+", "_", notebook.stem)
    with DAG(name) as dag:
        NotebookOperator(
            name, path=notebook.absolute(), parameters=_values(notebook, param)
        )
    dag.check()
    job = Submit(make_request(dag, {}, {"retries": 0}, folder))
    status = do_and_tell(job, folder, json=json, logs=logs)
    if status == 0 and not json:
        say(f"executed notebook: {RunList(folder, name)[0][name].notebook().path}")
    raise typer.Exit(status)


def _values(notebook: Path, param: list[str] | None) -> dict[str, object]:
    """JSON where it is JSON and the parameter is not annotated as text."""
    import json

    from mlflowkit.nbrun.parameters import infer

    texts = texts_of(param)
    known = {p.name: p for p in infer(notebook)} if texts else {}
    found: dict[str, object] = {}
    for name, text in texts.items():
        one = known.get(name)
        wants_text = one is not None and (
            one.annotation == "str" or isinstance(one.default, str)
        )
        try:
            found[name] = text if wants_text else json.loads(text)
        except ValueError:
            found[name] = text
    return found
