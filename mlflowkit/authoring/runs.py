"""Looking back: runs of all DAGs, or one run by its id."""

from __future__ import annotations

from typing import Any

from mlflowkit.authoring.runtime import get_runtime


def runs(dag_id: str | None = None) -> Any:
    """The runs of one DAG, or of all, the newest first."""
    return get_runtime().runs(dag_id)


def run(run_id: str) -> Any:
    """One run, by its id: `train/3`.

    Raises:
        RunNotFound: there is none of that id.
    """
    name = str(run_id)
    return get_runtime().runs(name.rpartition("/")[0] or None)[name]
