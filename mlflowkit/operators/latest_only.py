"""LatestOnlyOperator: what stands directly below it runs only in the latest scheduled run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring import waiting
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.core.timetable import (
    DataInterval,
    TimeRestriction,
    is_custom,
    timetable_from_json,
)
from mlflowkit.errors import BadOption, NotInTask
from mlflowkit.operators.questions import run_date
from mlflowkit.ports import running_task

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


class LatestOnlyOperator(BaseOperator):
    """Skips the tasks directly below when a later scheduled run is due already.

    Their own trigger rules decide about what is further down. Runs that a person started
    always go on, as do runs after which the schedule has no more.

    Raises:
        BadOption: the DAG's timetable is a class of its own, which cannot be asked here.
    """

    #: What a simulation must know of it.
    only_latest = True
    _kept_timetable = ""

    def enter_dag(self, dag: DAG | None) -> None:
        super().enter_dag(dag)
        if is_custom(timetable_from_json(self._timetable_json)):
            why = (
                "is a timetable of its own, which LatestOnlyOperator cannot ask for its next "
                "run: use @task.short_circuit and compare the dates"
            )
            raise BadOption(f"the DAG of task {self.task_id!r}", "schedule", why)

    def execute(self, context: Mapping[str, Any]) -> None:
        """Let what is below go on, or skip it."""
        task = running_task()
        if task is None:
            raise NotInTask(str(self))
        if not self._is_latest(context):
            task.halt(direct_only=True)

    def _is_latest(self, context: Mapping[str, Any]) -> bool:
        dag_run = context.get("dag_run")
        interval = _interval(context)
        if (
            getattr(dag_run, "run_type", "manual")
            in ("manual", "operator_triggered", "test")
            or interval is None
        ):
            return True
        now = waiting.now()
        coming = timetable_from_json(self._timetable_json).next_dagrun_info(
            last_automated_data_interval=interval,
            restriction=TimeRestriction(interval.end, None, True, now),
        )
        return coming is None or interval.start < now <= coming.data_interval.end

    @property
    def _timetable_json(self) -> str:
        """Of the DAG; in a worker, where there is none, as it was when the task left it."""
        return self._dag.timetable_json if self._dag is not None else self._kept_timetable

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_kept_timetable": self._timetable_json}


def _interval(context: Mapping[str, Any]) -> DataInterval | None:
    date = run_date(context)
    start = context.get("data_interval_start") or date
    end = context.get("data_interval_end") or date
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return None
    return DataInterval(start, end)
