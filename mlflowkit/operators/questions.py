"""What a running task may ask the engine of other DAG runs. Answers are plain data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, cast

from mlflowkit.errors import NotInTask
from mlflowkit.ports import running_task


class RunStates(TypedDict):
    """A DAG run and its tasks; of a mapped task, the state of the worst instance."""

    run_id: str
    state: str
    tasks: Mapping[str, str]


def ask(who: str, what: str, **arguments: object) -> Any:
    """Ask the engine something, and wait for its answer.

    Raises:
        NotInTask: no task runs here. `who` is named in the message.
    """
    task = running_task()
    if task is None:
        raise NotInTask(who)
    return task.ask(what, **arguments)


def run_states(
    who: str,
    dag_id: str,
    *,
    logical_date: datetime | None = None,
    run_id: str | None = None,
) -> RunStates | None:
    """The run of a DAG with this logical date or id; None when there is none."""
    date = logical_date.isoformat() if logical_date is not None else None
    found = ask(who, "run_states", dag_id=dag_id, logical_date=date, run_id=run_id)
    return cast("RunStates | None", found)


def run_date(context: Mapping[str, Any]) -> datetime | None:
    """The logical date of the run; without one, the moment from which it could start."""
    dag_run = context.get("dag_run")
    for found in (context.get("logical_date"), getattr(dag_run, "run_after", None)):
        if isinstance(found, datetime):
            return found
    return None
