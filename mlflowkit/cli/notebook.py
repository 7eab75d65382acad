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
SECRET = typer.Option(
    None,
    "--secret",
    metavar="NAME=SECRET",
    help="A parameter that is a secret: the id of a connection, or var:NAME of a variable.",
)


@app.command()
def inspect(
    notebook: Path = NOTEBOOK,
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """What a notebook takes and gives: parameters and outputs, with their types. Runs nothing."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.nbrun.signature import inspect_notebook

    found = inspect_notebook(notebook)
    if json:
        print_json(found.as_dict())
    else:
        say(repr(found))


@app.command()
def run(
    notebook: Path = NOTEBOOK,
    param: list[str] | None = PARAM,
    secret: list[str] | None = SECRET,
    report: bool = typer.Option(False, "--report", help="Make a page without code of it."),
    json: bool = JSON,
    logs: bool = LOGS,
) -> None:
    """Run a notebook as a DAG of one task; the executed notebook is kept."""
    import re

    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.notebook import NotebookOperator
    from mlflowkit.cli.finish import do_and_tell
    from mlflowkit.cli.jobs import Submit
    from mlflowkit.cli.places import the_home
    from mlflowkit.handles.request import make_request

    folder = the_home()
    name = re.sub(r"[^\w.-]+", "_", notebook.stem)
    parameters = _values(notebook, param) | _secrets(secret)
    with DAG(name) as dag:
        NotebookOperator(name, path=notebook.absolute(), parameters=parameters)
    dag.check()
    job = Submit(make_request(dag, {}, {"retries": 0}, folder))
    status = do_and_tell(job, folder, json=json, logs=logs)
    _tell_files(folder, name, report=report, quiet=json, failed=status != 0)
    raise typer.Exit(status)


def _tell_files(
    folder: Path, name: str, *, report: bool, quiet: bool, failed: bool
) -> None:
    """Where the executed notebook is, and its report."""
    from mlflowkit.cli.console import say
    from mlflowkit.handles.run_list import RunList

    if not (report or (not failed and not quiet)):
        return
    try:
        executed = RunList(folder, name)[0][name].notebook()
    except FileNotFoundError:
        return  # it ended before its kernel started; that was said
    if not failed and not quiet:
        say(f"executed notebook: {executed.path}")
    if report:
        page = executed.path.with_suffix(".html")
        page.write_text(executed.html(report=True), encoding="utf-8")
        say(f"report: {page}", stderr=quiet)


def _values(notebook: Path, param: list[str] | None) -> dict[str, object]:
    """As the notebook's parameters ask for them."""
    from mlflowkit.nbrun.parameters import infer
    from mlflowkit.nbrun.typed_text import from_text

    texts = texts_of(param)
    known = {p.name: p for p in infer(notebook)} if texts else {}
    return {name: from_text(known.get(name), text) for name, text in texts.items()}


def _secrets(given: list[str] | None) -> dict[str, object]:
    from mlflowkit.core.secret import secret

    return {name: secret(text) for name, text in texts_of(given).items()}


@app.command()
def strip(
    notebooks: list[str] = typer.Argument(
        ..., metavar="NOTEBOOK...", help="Files, or - for standard input to output."
    ),
    check: bool = typer.Option(
        False, "--check", help="Change nothing; exit status 1 if something would be."
    ),
    keep_outputs: bool = typer.Option(
        False, "--keep-outputs", help="Take out counts, times and metadata alone."
    ),
) -> None:
    """Take outputs, counts, times and other traces of an execution out of notebooks.

    As a filter of git: `git config filter.strip.clean "mlflowkit notebook strip -"`.
    """
    from mlflowkit.cli.console import say
    from mlflowkit.nbrun.strip import strip_file

    if notebooks == ["-"]:
        raise typer.Exit(_strip_stream(check=check, keep_outputs=keep_outputs))
    paths = [Path(one) for one in notebooks]
    wanted = [
        one for one in paths if strip_file(one, keep_outputs=keep_outputs, check=True)
    ]
    for path in wanted:
        if not check:
            strip_file(path, keep_outputs=keep_outputs)
        say(f"{'would strip' if check else 'stripped'} {path}")
    raise typer.Exit(1 if check and wanted else 0)


def _strip_stream(*, check: bool, keep_outputs: bool) -> int:
    import sys

    from mlflowkit.core.notebook_text import decoded
    from mlflowkit.nbrun.strip import stripped

    data = sys.stdin.buffer.read()
    name = Path("standard input")
    after = stripped(decoded(data, name), name, keep_outputs=keep_outputs).encode()
    if not check:
        sys.stdout.buffer.write(after)
        sys.stdout.buffer.flush()
    return 1 if check and after != data else 0


@app.command()
def export(
    notebook: Path = NOTEBOOK,
    report: bool = typer.Option(False, "--report", help="Without the code."),
    to: str = typer.Option("html", "--to", help="html, or ipynb: its code folded away."),
    output: Path | None = typer.Option(
        None, "-o", "--output", help="The file to write. Beside the notebook, if not given."
    ),
) -> None:
    """An executed notebook as a page, or as a report without its code."""
    from mlflowkit.cli.console import say
    from mlflowkit.nbrun.report import to_html, write_report
    from mlflowkit.nbrun.written import write_whole

    if to not in ("html", "ipynb"):
        raise typer.BadParameter(f"{to!r} is neither html nor ipynb", param_hint="--to")
    if to == "ipynb" and not report:
        why = "a notebook is one already; with --report its code is folded away"
        raise typer.BadParameter(why, param_hint="--to")
    ending = ".report.ipynb" if to == "ipynb" else ".html"
    place = output or notebook.with_name(notebook.stem + ending)
    if place.exists() and notebook.exists() and place.samefile(notebook):
        raise typer.BadParameter("it is the notebook itself", param_hint="--output")
    if to == "html" and place.suffix == ".ipynb":
        why = f"{place} is named as a notebook, and a page would be written"
        raise typer.BadParameter(why, param_hint="--output")
    if to == "ipynb":
        write_report(notebook, place)
    else:
        page = to_html(notebook, report=report)
        try:
            write_whole(place, page.encode(errors="backslashreplace"))
        except OSError as exc:
            why = f"{place} cannot be written: {exc.strerror}"
            raise typer.BadParameter(why, param_hint="--output") from exc
    say(str(place))
