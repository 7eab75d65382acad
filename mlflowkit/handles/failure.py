"""Why a run failed, as an error to raise: what `run.wait()` ends with.

Reads the attempts' facts; never decides what counts as a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.core.machine.people import CANCELLED
from mlflowkit.core.states import TaskState
from mlflowkit.core.values import StoredValue
from mlflowkit.core.view import RunView
from mlflowkit.errors import RunFailed, TaskFailed
from mlflowkit.store.reading import AttemptView

if TYPE_CHECKING:
    from mlflowkit.handles.run import RunHandle


def failure_of(run: RunHandle, view: RunView) -> RunFailed:
    """What to raise for a run that ended without success; the task's own error is its cause."""
    for task in view.tasks:
        for instance in task.instances:
            if instance.state is not TaskState.FAILED or instance.reason == CANCELLED:
                continue  # what was ended with its run says nothing of why
            attempts = run[task.task_id][instance.map_index].attempts()
            error = attempts[-1].error if attempts else ""
            failure = RunFailed(run.run_id, task.task_id, instance.reason)
            failure.__cause__ = _cause(run.home, attempts, error or instance.reason)
            return failure
    return RunFailed(run.run_id, "", view.reason)


def _cause(home: Path, attempts: list[AttemptView], text: str) -> BaseException:
    """The task's own exception, if it could travel; else its text."""
    stored = attempts[-1].facts.get("exception") if attempts else None
    if stored is not None:
        value = msgspec.convert(stored, StoredValue)
        try:
            found = serializers.load(value, FileArtifacts(home / "artifacts"))
        except Exception:  # noqa: BLE001 - it is only a nicety; the text says the same
            found = None
        if isinstance(found, BaseException):
            found.add_note(text)
            return found
    return TaskFailed(text)
