"""DAG files written for Airflow 2 or 3, run unmodified: our classes under Airflow's names.

    mlflowkit run --airflow FILE.py[:DAG]       in a terminal
    %load_ext mlflowkit.compat.airflow          in Jupyter

An import hook answers `airflow…` while such a file is loaded and run, and at no other time.
Airflow itself is not needed; where it is installed it is never replaced without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflowkit.compat.airflow.finder import answer, answering

if TYPE_CHECKING:
    from pathlib import Path

    from mlflowkit.authoring.dag import DAG

__all__ = ["answer", "answering", "load_dag", "load_dags", "load_ipython_extension"]


def load_dag(where: str, dag_id: str | None = None, *, version: int | None = None) -> DAG:
    """The DAG of `FILE` or `FILE:DAG`, a file for Airflow.

    Raises:
        SeveralDags: the file defines several, and none was named.
        GraphError: as `load_dags`.
    """
    from mlflowkit.authoring.loader import split_name
    from mlflowkit.errors import SeveralDags

    path, name = split_name(where)
    found = load_dags(path, dag_id or name, version=version)
    if len(found) > 1:
        raise SeveralDags(path, [dag.dag_id for dag in found])
    return found[0]


def load_dags(
    path: str | Path, dag_id: str | None = None, *, version: int | None = None
) -> list[DAG]:
    """The DAGs of a file for Airflow, or the one of that id. Runs it.

    Args:
        version: Whose meaning of schedules, catchup and names: 2 or 3. None: that of the
            names it imports.

    Raises:
        AirflowFeatureMissing: it uses something that is not here; with the line.
        GraphError: as `authoring.loader.load_dags`.
    """
    from mlflowkit.compat.airflow.load import load_dags as load

    return load(path, dag_id, version=version)


def load_ipython_extension(_ipython: Any) -> None:
    """`%load_ext mlflowkit.compat.airflow`: cells may import `airflow…` from now on."""
    from mlflowkit.compat.airflow.finder import installed_version

    there = installed_version()
    if there:
        print(  # noqa: T201 - said to the person who typed it
            f"Airflow {there} is installed here: cells go on importing it, not mlflowkit's "
            "stand-ins. `mlflowkit run --airflow FILE.py` uses these for one file."
        )
        return
    answer(None)


def unload_ipython_extension(_ipython: Any) -> None:
    """`%unload_ext mlflowkit.compat.airflow`: `airflow…` is no longer answered."""
    from mlflowkit.compat.airflow.finder import stop_answering

    stop_answering()
