"""Errors of runs and tasks: what failed, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflowkit.errors.base import MlflowkitError
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
        todo = (
            f" Its log: `mlflowkit runs logs {run_id}`; "
            f"to go on from there: `mlflowkit runs retry {run_id}`."
        )
        todo = todo if states is None else ""  # a test has left nothing behind
        super().__init__(f"the run {run_id} failed: {where.rstrip('.')}.{todo}")


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


class TaskSkipped(MlflowkitError):
    """Raise it in a task to end the task instance as skipped. Not a failure."""

    code = "task_skipped"


class TaskFailedForGood(TaskFailed):
    """Raise it in a task that another try cannot mend: it fails, whatever retries are left."""

    code = "task_failed_for_good"
    retryable = False


class ExecutionTimedOut(TaskFailed):
    """A task took longer than its `execution_timeout`, in `dag.test()`."""

    code = "execution_timed_out"

    def __init__(self, task_id: str, longest: timedelta) -> None:
        self.task_id, self.longest = task_id, longest
        super().__init__(
            f"task {task_id!r} timed out after {longest}. See what it waits for, or give it a "
            "longer execution_timeout=."
        )


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


#: Lines of a cell that are shown around the one that failed, and of what it had printed.
_SOURCE_LINES = 12
_PRINTED_LINES = 15


def _excerpt(source: str, line: int) -> list[str]:
    """A cell's code, indented; of a long one what is near `line` (from 1), which is marked."""
    lines = source.rstrip().splitlines()
    first = next((n for n, text in enumerate(lines) if text.strip()), 0)
    last = len(lines)
    if line and last - first > _SOURCE_LINES:
        first = min(max(first, line - 1 - _SOURCE_LINES // 2), last - _SOURCE_LINES)
        last = first + _SOURCE_LINES
    marks = ["--> " if n + 1 == line else "    " for n in range(len(lines))]
    shown = [marks[n] + lines[n] for n in range(first, last)]
    if not line and len(shown) > _SOURCE_LINES:
        shown = [*shown[:6], "    …", *shown[-5:]]
    above = ["    …"] if line and any(text.strip() for text in lines[:first]) else []
    return [*above, *shown, *(["    …"] if last < len(lines) else [])]


class CellFailed(TaskFailed):
    """A cell of a notebook failed; the executed notebook was written and says so.

    Attributes:
        notebook: The notebook, as it was named.
        cell: Position of the cell, from 0, all cells counted.
        status: "error", "timeout", "killed" or "interrupted".
        source: The cell's code.
        line: Which line of it failed, from 1; 0 where that is unknown.
        ename, evalue: Class and text of what it raised; KernelDied, CellTimeout for ours.
        traceback: Lines for a terminal (with colours), without frames of libraries.
        stream: What the cell had printed and shown as text, the last part of it.
        output: Path of the executed notebook.
        values: What the notebook had pushed before.
        retryable: False where the cell raised a UserError.
        hint: What to do, where we know.
    """

    code = "cell_failed"

    def __init__(  # noqa: PLR0913 - it is all that is known of a failure
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
        line: int = 0,
    ) -> None:
        self.line = line
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
        parts = [f"cell {self.cell + 1} of {self.notebook} {verb}: {said}"]
        parts += [self.hint] if self.hint else []
        parts += ["", *_excerpt(self.source, self.line)]
        printed = self.stream.rstrip().splitlines()[-_PRINTED_LINES:]
        parts += ["", "it had printed:", *printed] if self.stream.strip() else []
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
