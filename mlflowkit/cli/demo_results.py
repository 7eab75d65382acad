"""What came of a run of the tutorial pipeline, told by what its tasks gave, not by their names.

So the report reads all three styles of the pipeline alike: an image manifest, the metrics of a
training, and a deployment are what they are under whatever task and key. Opens values of tasks
that are not mapped, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlflowkit.core.spec import UNMAPPED
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import RunView
from mlflowkit.handles.run import RunHandle
from mlflowkit.home_store import database
from mlflowkit.store import xcoms

if TYPE_CHECKING:
    from mlflowkit.ml.deploy import Deployment
    from mlflowkit.ml.images import Manifest


@dataclass
class Results:
    """What was found among the XComs; None where there was no such thing."""

    manifest: Manifest | None = None
    metrics: Mapping[str, float] | None = None
    deployment: Deployment | None = None


def results_of(handle: RunHandle, view: RunView) -> Results:
    """The results of a run, whether or not it has succeeded."""
    from mlflowkit.ml.deploy import Deployment
    from mlflowkit.ml.images import Manifest

    found = Results()
    for value in _values(handle, view):
        if isinstance(value, Manifest):
            found.manifest = value
        elif isinstance(value, Deployment):
            found.deployment = value
        elif isinstance(value, Mapping):
            take_mapping(found, cast("Mapping[str, Any]", value))
    return found


def take_mapping(found: Results, value: Mapping[str, Any]) -> None:
    """A deployment as the pod's JSON has it, or the numbers of a training."""
    from mlflowkit.ml.deploy import Deployment

    if set(value) == {field.name for field in fields(Deployment)}:
        found.deployment = Deployment(**value)
    elif "test_accuracy" in value or "val_accuracy" in value:
        found.metrics = value


def _values(handle: RunHandle, view: RunView) -> Iterator[object]:
    """Every XCom of the tasks that succeeded, in the order of the tasks."""
    for task in view.tasks:
        states = {i.map_index: i.state for i in task.instances}
        if states != {UNMAPPED: TaskState.SUCCESS}:
            continue
        with database(handle.home).reading() as tx:
            run_key = xcoms.run_key_of(tx, handle.run_id)
            assert run_key is not None
            keys = xcoms.keys_of(tx, run_key, task.task_id)
        for key in keys:
            yield handle[task.task_id].result(key)


def executed_notebooks(handle: RunHandle, view: RunView) -> list[Path]:
    """The executed notebooks of a run that has succeeded, in the order of its tasks."""
    files = [handle.path / f"{task.task_id}.ipynb" for task in view.tasks]
    return [file for file in files if file.exists()]
