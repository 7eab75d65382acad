"""Errors of runs and tasks: what failed, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mlflowkit.errors.base import MlflowkitError, UserError, listing, suggest
from mlflowkit.errors.graph import BadOption


class RunFailed(MlflowkitError):
    """A DAG run ended without success. `__cause__` is the error of the task that failed."""

    code = "run_failed"

    def __init__(
        self, run_id: str, task_id: str, why: str, states: Mapping[str, str] | None = None
    ) -> None:
        self.run_id, self.task_id, self.why = run_id, task_id, why
        #: How all tasks ended, where `dag.test()` failed.
        self.states = dict(states or {})
        where = (
            f"task {task_id!r} failed: {why}" if task_id else why or "it did not succeed"
        )
        super().__init__(
            f"the run {run_id} failed: {where}. Its log: `mlflowkit runs logs {run_id}`; "
            f"to go on from there: `mlflowkit runs retry {run_id}`."
        )


class RunInterrupted(MlflowkitError):
    """The engine of a run died; what it had saved is kept."""

    code = "run_interrupted"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"the run {run_id} was interrupted: its engine is gone. Nothing that was saved is "
            f"lost; `mlflowkit runs resume {run_id}` goes on."
        )


class TaskFailed(MlflowkitError):
    """A task's own code failed; it is retried as its policy says."""

    code = "task_failed"


class CommandFailed(TaskFailed):
    """The command of a BashOperator ended with an exit status other than 0."""

    code = "command_failed"

    def __init__(self, task_id: str, status: int, last_lines: str) -> None:
        self.task_id, self.status, self.last_lines = task_id, status, last_lines
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        shown = f" Its last output:\n{last_lines}" if last_lines else ""
        super().__init__(f"the command of task {task_id!r} ended with {how}.{shown}")


class TransformFailed(TaskFailed):
    """What should turn one file into another failed, or wrote nothing."""

    code = "transform_failed"

    def __init__(self, task_id: str, script: str, status: int, last_lines: str) -> None:
        self.task_id, self.script = task_id, script
        self.status, self.last_lines = status, last_lines
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        shown = f" Its last output:\n{last_lines}" if last_lines else " It said nothing."
        super().__init__(
            f"{script!r} of task {task_id!r} ended with {how}; nothing was uploaded.{shown}"
        )


class NothingTransformed(TaskFailed):
    """A script or function that should write a file wrote none."""

    code = "nothing_transformed"

    def __init__(self, task_id: str, name: str) -> None:
        self.task_id, self.name = task_id, name
        super().__init__(
            f"{name!r} of task {task_id!r} wrote no file; nothing was uploaded. It is given two "
            "paths: the downloaded file, and the one to write."
        )


class SqlFailed(TaskFailed):
    """The database refused a statement. Everything not yet committed was rolled back."""

    code = "sql_failed"

    def __init__(
        self, conn_id: str, statement: str, why: str, sqlstate: str, hint: str = ""
    ) -> None:
        self.conn_id, self.statement = conn_id, statement
        self.why, self.sqlstate, self.hint = why, sqlstate, hint
        at = f" [{sqlstate}]" if sqlstate else ""
        ran = f"\nThe statement was: {statement}" if statement else ""
        more = f"\n{hint}" if hint else ""
        super().__init__(f"connection {conn_id!r}: {why}{at}{ran}{more}")


class DatabaseUnreachable(TaskFailed):
    """No database answers there. A retry may find it."""

    code = "database_unreachable"

    def __init__(self, conn_id: str, where: str, why: str) -> None:
        self.conn_id, self.where, self.why = conn_id, where, why
        super().__init__(
            f"{where} (connection {conn_id!r}) cannot be opened: {why} Check the "
            "connection's host, port and schema, and that the server is up."
        )


class CheckFailed(TaskFailed):
    """What a SQL check found is not what it should be."""

    code = "check_failed"

    def __init__(self, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(f"the check of task {task_id!r} failed: {why}")


class PodFailed(TaskFailed):
    """A pod of a task ended without success. The message has its reason and last log lines."""

    code = "pod_failed"

    def __init__(
        self,
        pod: str,
        where: str,
        why: str,
        *,
        reason: str = "",
        exit_code: int | None = None,
        memory_limit: str | None = None,
        tail: str = "",
        events: tuple[str, ...] = (),
    ) -> None:
        self.pod, self.where, self.why, self.reason = pod, where, why, reason
        self.exit_code, self.memory_limit = exit_code, memory_limit
        self.tail, self.events = tail, events
        super().__init__(f"pod {pod!r} in {where} failed: {why}{_pod_story(tail, events)}")


class PodNotStarted(TaskFailed):
    """A pod of a task did not come so far as to run: no place, no image, no such Secret."""

    code = "pod_not_started"

    def __init__(
        self, pod: str, where: str, reason: str, why: str, events: tuple[str, ...] = ()
    ) -> None:
        self.pod, self.where, self.reason = pod, where, reason
        self.why, self.events = why, events
        super().__init__(
            f"pod {pod!r} in {where} did not start: {reason}: {why}{_pod_story('', events)}"
        )


class PodGone(TaskFailed):
    """Somebody or something deleted the pod of a task while it ran."""

    code = "pod_gone"

    def __init__(
        self, pod: str, where: str, tail: str = "", events: tuple[str, ...] = ()
    ) -> None:
        self.pod, self.where, self.tail, self.events = pod, where, tail, events
        super().__init__(
            f"pod {pod!r} in {where} was deleted before it had ended, by somebody else or "
            f"because its node went away.{_pod_story(tail, events)}"
        )


class PodXComUnreadable(TaskFailed):
    """The result that a pod wrote is no JSON, is too large, or did not arrive whole."""

    code = "pod_xcom_unreadable"

    def __init__(self, pod: str, path: str, why: str) -> None:
        self.pod, self.path, self.why = pod, path, why
        super().__init__(f"the result of pod {pod!r} ({path}) cannot be taken: {why}")


class JobFailed(TaskFailed):
    """A Kubernetes job ended without success. The message tells of its last pod."""

    code = "job_failed"

    def __init__(self, job: str, where: str, reason: str, why: str, pod: str = "") -> None:
        self.job, self.where, self.reason, self.why = job, where, reason, why
        self.pod = pod
        told = f"\n{pod}" if pod else ""
        super().__init__(f"job {job!r} in {where} failed: {reason}: {why}{told}")


class ClusterOutage(TaskFailed):
    """A Kubernetes API server was away for longer than a task waits. A retry may succeed."""

    code = "cluster_outage"

    def __init__(self, why: str, seconds: float) -> None:
        self.why, self.seconds = why, seconds
        super().__init__(
            f"gave up after {seconds:.0f} s: {why} What was started is left as it is: the "
            "next attempt of this task goes on with it."
        )


def _pod_story(tail: str, events: tuple[str, ...]) -> str:
    told = f"\nIts log ends with:\n{tail}" if tail else ""
    return told + ("\nIts events:\n" + "\n".join(events) if events else "")


class TaskSkipped(MlflowkitError):
    """Raise it in a task to end the task instance as skipped. Not a failure."""

    code = "task_skipped"


class TaskFailedForGood(TaskFailed):
    """Raise it in a task that another try cannot mend: it fails, whatever retries are left."""

    code = "task_failed_for_good"
    retryable = False


class TaskRescheduled(MlflowkitError):
    """Raise it in a task to give its place back and be started again later; no try is spent."""

    code = "task_rescheduled"

    def __init__(self, when: datetime) -> None:
        if when.tzinfo is None:
            raise BadOption(
                "TaskRescheduled", "when", "must be a datetime with a time zone"
            )
        self.when = when.astimezone(UTC)
        super().__init__(f"it goes on at {self.when.isoformat(timespec='seconds')}")


class SensorTimeout(TaskFailed):
    """What a sensor waits for did not come in its time. Not retried, as in Airflow."""

    code = "sensor_timeout"
    retryable = False

    def __init__(self, task_id: str, waited: float, timeout: float) -> None:
        self.task_id, self.waited, self.timeout = task_id, waited, timeout
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
            f"task {task_id!r} triggers DAG {dag_id!r}, which this home does not know. Hand it "
            "one with `.publish()`, or have `mlflowkit scheduler FOLDER` load its file."
        )


class PublishedElsewhere(UserError):
    """The id of a DAG belongs to one of another file."""

    code = "published_elsewhere"

    def __init__(self, dag_id: str, origin: str) -> None:
        self.dag_id, self.origin = dag_id, origin
        super().__init__(
            f"DAG {dag_id!r} is published from {origin or 'another place'}. Give this one "
            "another dag_id, or replace that one: publish(replace=True)."
        )


class DagNotPublished(UserError):
    """The scheduler does not know this DAG."""

    code = "dag_not_published"

    def __init__(self, dag_id: str, known: Iterable[str]) -> None:
        known = list(known)
        self.dag_id = dag_id
        super().__init__(
            f"the scheduler knows no DAG {dag_id!r}.{suggest(dag_id, known)} It knows: "
            f"{listing(known)}. `.publish()` hands it one, and `mlflowkit scheduler FOLDER` "
            "all of a folder."
        )


class RunExists(UserError):
    """There is a run of this id already."""

    code = "run_exists"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"there is a run {run_id} already: give the new one another id.")


class FolderNotLoaded(UserError):
    """A folder of pipeline files cannot be loaded at all."""

    code = "folder_not_loaded"

    def __init__(self, folder: object, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"the folder {folder} was not loaded: {why or 'the process that does it ended'}. "
            "Its DAGs go on as they are."
        )


class BadBackfill(UserError):
    """A backfill that would run nothing, or cannot be run so."""

    code = "bad_backfill"

    def __init__(self, dag_id: str, why: str) -> None:
        self.dag_id, self.why = dag_id, why
        super().__init__(f"DAG {dag_id!r} cannot be backfilled so: {why}.")


class SchedulerAlive(UserError):
    """A scheduler works in this home already."""

    code = "scheduler_alive"

    def __init__(self, home: object) -> None:
        self.home = home
        super().__init__(
            f"a scheduler works in the home {home} already; one home has one. Stop it with "
            "Ctrl-C where it runs, or use another MLFLOWKIT_HOME."
        )


class BadRunId(UserError):
    """A run cannot have this id: it names a folder."""

    code = "bad_run_id"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"{run_id!r} cannot be the id of a run: use letters, digits and '_ . ~ : + -', at "
            "most 200 of them."
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


class TrainingDiverged(TaskFailed):
    """The loss is no longer a number."""

    code = "training_diverged"

    def __init__(self, epoch: int, lr: float) -> None:
        self.epoch, self.lr = epoch, lr
        super().__init__(
            f"the loss stopped being a finite number in epoch {epoch}, at a learning rate of "
            f"up to {lr:.3g}. Use a smaller lr (a tenth is a good next try)."
        )


class OutOfDeviceMemory(TaskFailed):
    """The network and its batch do not fit into the device."""

    code = "out_of_device_memory"

    def __init__(self, device: str, batch_size: int) -> None:
        self.device, self.batch_size = device, batch_size
        super().__init__(
            f"{device} ran out of memory with batches of {batch_size} images. "
            "Use a smaller batch_size or image_size."
        )


class CellFailed(TaskFailed):
    """A cell of a notebook failed; the executed notebook was written and says so.

    Attributes:
        notebook: The notebook, as it was named.
        cell: Position of the cell, from 0, all cells counted.
        status: "error", "timeout", "killed" or "interrupted".
        source: The cell's code.
        ename, evalue: Class and text of what it raised; KernelDied, CellTimeout for ours.
        traceback: Lines for a terminal (with colours), without frames of libraries.
        stream: What the cell had printed, the last part of it.
        output: Path of the executed notebook.
        values: What the notebook had pushed before.
        retryable: False where the cell raised a UserError.
        hint: What to do, where we know.
    """

    code = "cell_failed"

    def __init__(
        self,
        notebook: str,
        cell: int,
        *,
        status: str,
        source: str,
        ename: str,
        evalue: str,
        traceback: tuple[str, ...] = (),
        stream: str = "",
        output: str = "",
        values: Mapping[str, object] | None = None,
        retryable: bool = True,
        hint: str = "",
    ) -> None:
        self.notebook, self.cell, self.status = notebook, cell, status
        self.source, self.ename, self.evalue = source, ename, evalue
        self.traceback, self.stream, self.output = traceback, stream, output
        self.values: Mapping[str, object] = dict(values or {})
        self.retryable, self.hint = retryable, hint
        super().__init__(self._message())

    def _message(self) -> str:
        verb = {"timeout": "ran out of time", "killed": "lost its kernel"}.get(self.status)
        verb = verb or ("was interrupted" if self.status == "interrupted" else "failed")
        said = f"{self.ename}: {self.evalue}" if self.evalue else self.ename
        lines = self.source.strip().splitlines()
        shown = lines if len(lines) <= 12 else [*lines[:6], "…", *lines[-5:]]
        parts = [f"cell {self.cell + 1} of {self.notebook} {verb}: {said}"]
        parts += [self.hint] if self.hint else []
        parts += ["", *(f"    {line}" for line in shown)]
        parts += (
            ["", "it had printed:", self.stream.rstrip()] if self.stream.strip() else []
        )
        parts += ["", *self.traceback] if self.traceback else []
        parts += ["", f"executed notebook: {self.output}"] if self.output else []
        return "\n".join(parts)

    @property
    def story(self) -> str:
        """What a person is shown; the frames of the worker tell nothing more."""
        return str(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _cell_failed, (
            {key: value for key, value in vars(self).items() if key[0] != "_"},
        )


class NotebookStopped(TaskFailed):
    """Somebody asked a notebook to end before its first cell ran. Nothing was written."""

    code = "notebook_stopped"

    def __init__(self, notebook: str) -> None:
        self.notebook = notebook
        super().__init__(f"{notebook} was asked to stop before its first cell ran.")


def _cell_failed(fields: dict[str, Any]) -> CellFailed:
    """A CellFailed from its attributes, for pickle."""
    return CellFailed(fields.pop("notebook"), fields.pop("cell"), **fields)
