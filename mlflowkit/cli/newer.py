"""The code of a run's DAG as its pipeline file is now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.loader import load_dags
from mlflowkit.authoring.open_bundle import read_facts
from mlflowkit.cli.console import say
from mlflowkit.errors import GraphError, ShapeChanged
from mlflowkit.handles.request import retry_code
from mlflowkit.handles.run import RunHandle
from mlflowkit.home_store import database
from mlflowkit.store.runs import load_run, spec_of


def newer_code(
    handle: RunHandle, *, quiet: bool = False
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """What a retry goes on with, and the tasks that it changes. None keeps the run's own,
    where its file is gone or no file: that is said.

    Raises:
        ShapeChanged: the DAG has other tasks or arrows now.
        GraphError: the file is broken.
    """
    with database(handle.home).reading() as tx:
        spec = spec_of(tx, handle.run_id)
    if spec is None:
        return None, ()
    origin = Path(spec.origin)
    if origin.suffix != ".py" or not origin.is_file():
        where = spec.origin or "a place that is not known"
        say(
            f"the DAG came from {where}, which is no pipeline file here: going on with the "
            "code that the run had",
            stderr=quiet,
        )
        return None, ()
    try:
        dag = _load(handle, origin, spec.dag_id)
        code, changed = retry_code(dag, spec, handle.home)
    except (GraphError, ShapeChanged) as exc:
        exc.add_note("With --code same, the run goes on with the code that it had.")
        raise
    return code, tuple(changed)


def _load(handle: RunHandle, origin: Path, dag_id: str) -> DAG:
    """The DAG of the file, which is one for Airflow if it was one when the run was started."""
    with database(handle.home).reading() as tx:
        stored = load_run(tx, handle.run_id)
    place = Path(stored.bundle) if stored is not None else None
    facts = read_facts(place) if place is not None and place.is_dir() else {}
    version = facts.get("compat", {}).get("airflow")
    if version is None:
        return load_dags(origin, dag_id)[0]
    from mlflowkit.compat import airflow

    found = airflow.load_dags(origin, dag_id, version=version)[0]
    airflow.answer(version)
    return found
