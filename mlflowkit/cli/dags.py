"""`mlflowkit dags …`: what pipeline files and folders define, and what is bad about them.

What the scheduler has of them is in `published`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli import airflow as _airflow
from mlflowkit.cli import published

if TYPE_CHECKING:
    from mlflowkit.authoring.folder import FolderReport
    from mlflowkit.authoring.folder_cache import ErrorEntry
    from mlflowkit.authoring.lint_rules import Finding
    from mlflowkit.core.spec import DagSpec
    from mlflowkit.store.published import PublishedLine

app = typer.Typer(
    help="What pipeline files define.", no_args_is_help=True, rich_markup_mode=None
)
for name, command in (
    ("pause", published.pause),
    ("unpause", published.unpause),
    ("trigger", published.trigger),
    ("delete", published.delete),
    ("next", published.next_),
):
    app.command(name)(command)
#: Where pipelines are looked for if nothing is named.
PIPELINES = "pipelines"
PLACE = typer.Argument(
    None,
    metavar="[FILE|FOLDER]",
    help=f"A pipeline file or a folder; default: {PIPELINES}.",
)
REFRESH = typer.Option(False, "--refresh", help="Load every file anew, changed or not.")
AIRFLOW = _airflow.IN_FOLDERS


@app.command("list")
def list_(
    place: str | None = PLACE,
    json: bool = typer.Option(
        False, "--json", help="Print JSON: a list for a file; DAGs and errors of a folder."
    ),
    refresh: bool = REFRESH,
    airflow: bool = AIRFLOW,
) -> None:
    """The DAGs of a folder or a file: tasks, schedule, parameters; and what cannot be loaded.

    Files that have not changed are not loaded again. Exit status: 1 if a file of the folder
    cannot be loaded.
    """
    folder = place_of(place)
    if folder.is_file() or (place and not folder.exists()):
        _list_file(str(place), json, airflow)
        return
    known = published.lines()
    if known and not place and not folder.exists():
        _say_published(known, json)
        return
    report = loaded(folder, refresh=refresh, airflow=airflow)
    if json:
        _print_folder(report, known)
    else:
        _say_folder(report, known if place is None else {}, known)
    raise typer.Exit(1 if report.errors else 0)


@app.command()
def show(
    pipeline: str = typer.Argument(..., metavar="FILE[:DAG]", help="A DAG of a file."),
    airflow: bool = _airflow.AIRFLOW,
    airflow_version: int | None = _airflow.VERSION,
) -> None:
    """One DAG: its tasks with what they wait for, and its parameters."""
    from mlflowkit.cli.console import say

    dag = _airflow.load_one(pipeline, airflow, airflow_version)
    say(repr(dag))
    for name, value in _facts(dag.spec()).items():
        say(f"  {name}: {value}")
    for param in dag.param_specs:
        default = "required" if param.required else f"= {param.default_json}"
        say(f"  -p {param.name}: {param.annotation or 'any'} {default}")


@app.command()
def lint(
    place: str | None = PLACE,
    json: bool = typer.Option(False, "--json", help="Print a JSON list of findings."),
    ignore: list[str] | None = typer.Option(
        None, "--ignore", metavar="RULE", help="Leave out a rule; may be given often."
    ),
    refresh: bool = REFRESH,
) -> None:
    """Look for what makes pipelines slow, stale or wrong. Runs no task.

    `# mlflowkit: ignore[RULE]` on a line leaves it out there. The rules are listed in
    docs/reference/lint.md. Exit status: 1 if there is a finding.
    """
    from mlflowkit.authoring.lint import lint as look
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.cli.places import the_home

    found = look(place_of(place), the_home(), ignore=ignore or (), refresh=refresh)
    if json:
        print_json([one.as_json() for one in found])
    else:
        for one in found:
            say(_finding_text(one))
        bad = sum(one.counts for one in found)
        say(f"{bad} finding{'s' * (bad != 1)}", stderr=True)
    raise typer.Exit(1 if any(one.counts for one in found) else 0)


def place_of(place: str | None) -> Path:
    """The file or folder that is meant: what was named, or the pipelines of the project."""
    from mlflowkit.settings import root

    return Path(place) if place else root() / PIPELINES


def loaded(folder: Path, *, refresh: bool = False, airflow: bool = False) -> FolderReport:
    """What a folder defines, as of now."""
    from mlflowkit.authoring.folder import load_folder
    from mlflowkit.cli.places import the_home

    return load_folder(folder, the_home(), refresh=refresh, airflow=airflow)


def _list_file(file: str, json: bool, airflow: bool) -> None:
    from mlflowkit.cli.console import print_json, say

    specs = [dag.spec() for dag in _airflow.load_all(file, airflow)]
    if json:
        print_json([_row(spec) for spec in specs])
    else:
        for spec in specs:
            say(_line(spec))


def _row(spec: DagSpec) -> dict[str, Any]:
    return {
        "dag_id": spec.dag_id,
        "schedule": spec.schedule,
        "tasks": [task.task_id for task in spec.in_order()],
        "params": [param.name for param in spec.params],
    }


def _line(spec: DagSpec) -> str:
    tasks = ", ".join(task.task_id for task in spec.in_order())
    return f"{spec.dag_id}  ({spec.schedule or 'no schedule'}): {tasks}"


def _print_folder(report: FolderReport, known: dict[str, PublishedLine]) -> None:
    import msgspec

    from mlflowkit.cli.console import print_json

    dags = [
        {
            **_row(one.spec()),
            "file": one.file,
            "published": published.as_json(known.get(one.dag_id)),
        }
        for one in report.dags
    ]
    errors = [msgspec.to_builtins(error) for error in report.errors]
    counts = {"files": len(report.files), "unchanged": report.unchanged}
    print_json({"folder": report.folder, "dags": dags, "errors": errors, **counts})


def _say_published(
    known: dict[str, PublishedLine], json: bool, *, but: Iterable[str] = ()
) -> None:
    """DAGs that the scheduler has from elsewhere."""
    from mlflowkit.cli.console import print_json, say

    lines = [line for line in known.values() if line.dag_id not in set(but)]
    if json:
        rows = [
            {"dag_id": x.dag_id, "file": x.origin, "published": published.as_json(x)}
            for x in lines
        ]
        print_json({"folder": None, "dags": rows, "errors": []})
        return
    for x in lines:
        say(f"{x.dag_id}  {published.as_text(x)}  [{x.origin or 'no file'}]")


def _say_folder(
    report: FolderReport,
    elsewhere: dict[str, PublishedLine],
    known: dict[str, PublishedLine],
) -> None:
    from mlflowkit.cli.console import say
    from mlflowkit.cli.words import shown_path

    for one in report.dags:
        state = f"  {published.as_text(known[one.dag_id])}" if one.dag_id in known else ""
        say(f"{_line(one.spec())}{state}  [{shown_path(one.file)}]")
    _say_published(elsewhere, False, but=[one.dag_id for one in report.dags])
    for error in report.errors:
        say(f"error: {error_text(error)}", stderr=True)
    dags, errors = len(report.dags), len(report.errors)
    where = f"{len(report.files)} file{'s' * (len(report.files) != 1)}"
    failed = f", {errors} error{'s' * (errors != 1)}" if errors else ""
    say(f"{dags} DAG{'s' * (dags != 1)} in {where}{failed}", stderr=True)


def error_text(error: ErrorEntry) -> str:
    """`pipelines/train.py, line 3: NameError: …`, with the place if it is another file."""
    from mlflowkit.cli.words import shown_path

    line = f", line {error.line}" if error.line else ""
    at = f"{shown_path(error.where)}{line}" if error.where else line.removeprefix(", ")
    about = (
        f"DAG {error.dag_id!r}: " if error.dag_id and error.code != "dag_id_twice" else ""
    )
    if error.where.startswith(f"{error.file}, "):
        head = at
    elif error.where:
        head = f"{shown_path(error.file)}, from {at}"
    else:
        head = f"{shown_path(error.file)}{line}"
    return f"{head}: {about}{error.error}"


def _facts(spec: DagSpec) -> dict[str, str]:
    """What a person wants to know beside tasks and parameters."""
    facts = {
        "schedule": spec.schedule or "",
        "start_date": spec.start_date.isoformat() if spec.start_date else "",
        "end_date": spec.end_date.isoformat() if spec.end_date else "",
        "catchup": "yes" if spec.catchup else "",
        "tags": ", ".join(spec.tags),
        "file": spec.origin,
    }
    return {name: value for name, value in facts.items() if value}


def _finding_text(one: Finding) -> str:
    from mlflowkit.cli.words import shown_path

    at = f":{one.line}" if one.line else ""
    return f"{shown_path(one.file)}{at}: {one.rule}: {one.reason} {one.todo}"
