"""Handing DAGs to the scheduler: `d.publish()`, `d.backfill()`, `mlflowkit.schedule(...)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring import opened
from mlflowkit.authoring.run_options import joined_params
from mlflowkit.authoring.runtime import get_runtime
from mlflowkit.errors import RunWhileLoading

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def publish_dag(dag: DAG, *, paused: bool | None, replace: bool) -> Any:
    """Hand a DAG to the scheduler, with its code as it is now."""
    _refuse_while_loading(dag.dag_id)
    dag.check_graph()
    return get_runtime().publish(dag, paused=paused, replace=replace)


def backfill_dag(
    dag: DAG,
    start: object,
    end: object,
    params: Mapping[str, object] | None,
    more: Mapping[str, object],
    options: Mapping[str, Any],
) -> Any:
    """Start the runs of a span that are not there."""
    _refuse_while_loading(dag.dag_id)
    given = joined_params(dag, params, more)
    dag.check(given)
    return get_runtime().backfill(dag, start, end, given, options)


def schedule(
    path: str | Path,
    cron: object,
    tz: str | None = None,
    *,
    dag_id: str | None = None,
    paused: bool | None = None,
    replace: bool = False,
    **parameters: object,
) -> Any:
    """Have a notebook run by a schedule: a DAG with one task is made of it and published.

    Args:
        path: The notebook, beside the file that names it or in the root.
        cron: A cron expression, or what else `DAG(schedule=...)` takes.
        tz: The zone of its times; the machine's if None.
        dag_id: The notebook's name if None.
        paused, replace: As in `DAG.publish`.
        parameters: Values for names of its `parameters` cell, and options of `notebook()`.

    Returns:
        The `Schedule`: `.next`, `.pause()`, `.delete()`.

    Raises:
        NotebookMissing, BadSchedule, WrongType: before anything is published.
    """
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.notebook import find_notebook
    from mlflowkit.authoring.notebook_task import notebook

    found = find_notebook(path)
    name = dag_id or re.sub(r"[^\w.-]", "_", found.stem)
    with DAG(name, schedule=cron, timezone=tz) as dag:
        notebook(found, **parameters)
    dag.origin = str(found)
    dag.check()
    return publish_dag(dag, paused=paused, replace=replace)


def _refuse_while_loading(dag_id: str) -> None:
    why = opened.why_not_run()
    if why:
        raise RunWhileLoading(dag_id, why)
