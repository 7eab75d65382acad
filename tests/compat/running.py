"""Runs a DAG file for Airflow in this process, and gives the state of the run and of all tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.params import validate_params
from mlflowkit.compat.airflow import answering, load_dag
from mlflowkit.errors import RunFailed
from mlflowkit.inline import TestRun

DAGS = Path(__file__).parent / "dags"


def loaded(name: str, dag_id: str | None = None) -> DAG:
    return load_dag(str(DAGS / name), dag_id)


def outcome(
    dag: DAG, home: Path, params: Mapping[str, object] | None = None
) -> tuple[str, dict[str, str]]:
    """The state of a run in this process, and the states of its tasks."""
    spec = dag.spec()
    with answering(dag.compat["airflow"]):
        run = TestRun(dag, spec, validate_params(spec, params or {}), home)
        try:
            run.go()
        except RunFailed:
            assert run.state == "failed"
    return run.state, run.states()
