"""`mlflowkit notebook to-dag`: an existing notebook becomes a DAG, by its headings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mlflowkit.authoring.notebook_dag_parts import NotebookDag

NOTEBOOK = typer.Argument(..., metavar="NOTEBOOK", help="An .ipynb file.")


def to_dag(
    notebook: Path = NOTEBOOK,
    output: Path | None = typer.Option(
        None, "-o", "--output", metavar="FILE", help="Default: pipelines/NOTEBOOK.py."
    ),
    parallel: bool = typer.Option(
        False,
        "--parallel",
        help="Sections that share no variables run at once; else all run in their order.",
    ),
    force: bool = typer.Option(False, "--force", help="Write over a file that is there."),
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """Write a DAG file with a task for each section of a notebook, and say what crosses.

    The notebook is read, never run or changed. A section begins at a heading; the cell tagged
    `parameters` gives the DAG's parameters; imports, functions and constants are shared.
    """
    import re

    from mlflowkit.authoring.notebook_dag import notebook_dag
    from mlflowkit.authoring.notebook_dag_text import function_name, text_of
    from mlflowkit.cli.console import print_json
    from mlflowkit.errors import NotebookMissing
    from mlflowkit.nbrun.written import write_whole

    if not notebook.is_file():
        near = [p.name for p in notebook.parent.glob("*.ipynb")]
        raise NotebookMissing(notebook, [notebook.absolute()], near)
    path = notebook.resolve()
    name = re.sub(r"[^\w.-]+", "_", path.stem)
    target = (
        output or Path("pipelines") / f"{re.sub(r'[^0-9a-zA-Z_]', '_', name)}.py"
    ).absolute()
    if target.suffix == ".ipynb":
        why = f"{target} is named as a notebook, and Python is written"
        raise typer.BadParameter(why, param_hint="-o")
    if target.exists() and not force:
        raise typer.BadParameter(
            f"{target} is there already: give another file, or --force", param_hint="-o"
        )
    found = notebook_dag(path, taken=[function_name(name)])
    text = text_of(found, target, dag_id=name, parallel=parallel)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text.encode(errors="backslashreplace"))
    except OSError as exc:
        why = f"{target} cannot be written: {exc.strerror}"
        raise typer.BadParameter(why, param_hint="-o") from exc
    if json:
        print_json(_as_json(found, name, target))
    else:
        _report(found, name, target)


def _as_json(found: NotebookDag, name: str, target: Path) -> dict[str, Any]:
    return {
        "dag_id": name,
        "file": str(target),
        "parameters": [p.name for p in found.parameters],
        "tasks": [
            {
                "task_id": t.name,
                "title": t.title,
                "takes": [*t.inputs, *t.params],
                "gives": t.outputs,
                "cells": sorted({s.cell for s in t.body}),
            }
            for t in found.tasks
        ],
        "crossings": [
            {
                "name": c.name,
                "made_in": c.made_in,
                "used_in": c.used_in,
                "problem": c.problem or None,
                "where": c.where or None,
            }
            for c in found.crossings
        ],
        "notes": list(found.notes),
    }


def _report(found: NotebookDag, name: str, target: Path) -> None:
    from shlex import quote

    from mlflowkit.cli.console import say

    say(f"{target}: DAG {name} with {len(found.tasks)} tasks")
    crossing: dict[tuple[str, str], list[str]] = {}
    for one in found.crossings:
        crossing.setdefault((one.made_in, one.used_in), []).append(one.name)
    for (made_in, used_in), names in crossing.items():
        say(f"  {made_in} -> {used_in}: {', '.join(names)}")
    if not crossing:
        say("  no variable crosses between sections")
    for one in found.crossings:
        if one.problem:
            say(
                f"{one.name} cannot travel from {one.made_in} to {one.used_in}: {one.problem} "
                f"({one.where}). Make it in {one.used_in}, or put both under one heading.",
                stderr=True,
            )
    for note in found.notes:
        say(note, stderr=True)
    say(f"run it: mlflowkit run {quote(str(target))}")
