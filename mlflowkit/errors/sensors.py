"""Errors of sensors, and of tasks that wait for other DAGs or start them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflowkit.errors.base import UserError, listing, shown
from mlflowkit.errors.runs import TaskFailed


class SensorTimeout(TaskFailed):
    """What a sensor waits for did not come in its time. Not retried, as in Airflow."""

    code = "sensor_timeout"
    retryable = False

    def __init__(
        self, task_id: str = "", waited: float | None = None, timeout: float | None = None
    ) -> None:
        """One text alone is the whole message: as a person's own sensor raises it."""
        self.waited, self.timeout = waited, timeout
        self.task_id = "" if waited is None or timeout is None else task_id
        if waited is None or timeout is None:
            super().__init__(task_id)
            return
        super().__init__(
            f"sensor {task_id!r} has waited {waited:,.1f} s, longer than its timeout of "
            f"{timeout:,g} s. See that what it waits for is on its way, or give it a longer "
            "timeout=; with soft_fail=True it is skipped instead."
        )


class SensorFailed(TaskFailed):
    """A sensor saw that what it waits for will not come."""

    code = "sensor_failed"


class ExternalTaskFailed(SensorFailed):
    """The other DAG, task or task group that a sensor waits for reached a failed state."""

    code = "external_task_failed"

    def __init__(
        self, task_id: str, what: str, run_id: str, found: Mapping[str, str]
    ) -> None:
        self.task_id, self.what, self.run_id = task_id, what, run_id
        self.found = dict(found)
        told = ", ".join(f"{name} is {state}" for name, state in sorted(found.items()))
        super().__init__(
            f"sensor {task_id!r} waits for {what}, and in run {run_id}: {told}. "
            f"Clear or retry that run (`mlflowkit runs retry {run_id}`), then this task."
        )


class ExternalTaskMissing(UserError):
    """The DAG, task or task group that a sensor waits for does not exist."""

    code = "external_task_missing"

    def __init__(self, task_id: str, what: str, known: Iterable[str]) -> None:
        known = tuple(known)
        self.task_id, self.what, self.known = task_id, what, known
        there = f" (there is: {listing(known)})" if known else ""
        super().__init__(
            f"sensor {task_id!r} waits for {what}, which does not exist{there}. Mend the name, "
            "or leave check_existence=False to wait until it does."
        )


class NoRunDate(UserError):
    """A task needs the date of its DAG run, and the run has none."""

    code = "no_run_date"

    def __init__(self, task_id: str, what: str) -> None:
        self.task_id, self.what = task_id, what
        super().__init__(
            f"task {task_id!r} needs {what} of its DAG run, which has none. Start the run with "
            "a logical date, or let a schedule start it."
        )


class DagToTriggerMissing(UserError):
    """A task is to start a run of a DAG that nobody knows."""

    code = "dag_to_trigger_missing"

    def __init__(self, task_id: str, dag_id: str) -> None:
        self.task_id, self.dag_id = task_id, dag_id
        super().__init__(
            f"task {task_id!r} triggers DAG {shown(dag_id)!r}, which this home does not know. Hand it "
            "one with `.publish()`, or have `mlflowkit scheduler FOLDER` load its file."
        )


class DagIsPaused(UserError):
    """A task is to start a run of a DAG that is paused."""

    code = "dag_is_paused"

    def __init__(self, task_id: str, dag_id: str) -> None:
        self.task_id, self.dag_id = task_id, dag_id
        super().__init__(
            f"task {task_id!r} triggers DAG {dag_id!r}, which is paused, so the run would not "
            f"start. Unpause {dag_id!r}, or leave fail_when_dag_is_paused=False."
        )


class DagRunAlreadyExists(UserError):
    """A task is to start a run of a DAG that has been started before."""

    code = "dag_run_already_exists"

    def __init__(self, task_id: str, dag_id: str, run_id: str, asked: str) -> None:
        self.task_id, self.dag_id, self.run_id, self.asked = task_id, dag_id, run_id, asked
        super().__init__(
            f"task {task_id!r} triggers DAG {dag_id!r} with {asked}, and run {run_id} has it "
            "already. Use reset_dag_run=True to run that one again, "
            "skip_when_already_exists=True to skip, or another trigger_run_id."
        )


class TriggeredRunFailed(TaskFailed):
    """The DAG run that a task started and waited for did not end well."""

    code = "triggered_run_failed"

    def __init__(self, task_id: str, run_id: str, state: str) -> None:
        self.task_id, self.run_id, self.state = task_id, run_id, state
        super().__init__(
            f"task {task_id!r} waited for run {run_id}, which is {state}. "
            f"`mlflowkit runs logs {run_id}` has its own error."
        )
