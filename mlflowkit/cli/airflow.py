"""`--airflow`: a file that was written for Airflow, loaded as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

AIRFLOW = typer.Option(
    False, "--airflow", help="The file is written for Airflow 2 or 3: run it as it is."
)
IN_FOLDERS = typer.Option(
    False,
    "--airflow",
    help="A file, or those of a folder that import airflow, are written for Airflow; "
    ".airflowignore is honoured, too.",
)
VERSION = typer.Option(
    None,
    "--airflow-version",
    min=2,
    max=3,
    help="Whose meaning of schedules and names it has; else its imports say.",
)


def load_one(pipeline: str, airflow: bool, version: int | None = None) -> DAG:
    """The DAG of `FILE[:DAG]`, a file of ours or for Airflow.

    Raises:
        UserError: there is no such file or DAG, or it cannot be loaded.
    """
    if not airflow and version is None:
        from mlflowkit.authoring.loader import load_dag

        return load_dag(pipeline)
    from mlflowkit.compat import airflow as compat

    dag = compat.load_dag(pipeline, version=version)
    _tell(dag)
    compat.answer(dag.compat.get("airflow"))  # this process is for that file alone
    return dag


def load_all(file: str, airflow: bool, version: int | None = None) -> list[DAG]:
    """All DAGs of a file.

    Raises:
        UserError: as `load_one`.
    """
    if not airflow and version is None:
        from mlflowkit.authoring.loader import load_dags

        return load_dags(file)
    from mlflowkit.compat import airflow as compat

    dags = compat.load_dags(file, version=version)
    _tell(dags[0])
    compat.answer(dags[0].compat.get("airflow"))
    return dags


def _tell(dag: DAG) -> None:
    from mlflowkit.cli.console import say
    from mlflowkit.compat.airflow.finder import installed_version
    from mlflowkit.compat.airflow.load import notes_of

    there = installed_version()
    if there:
        say(
            f"Airflow {there} is installed here; this file gets mlflowkit's stand-ins",
            stderr=True,
        )
    for note in notes_of(dag):
        say(note, stderr=True)
