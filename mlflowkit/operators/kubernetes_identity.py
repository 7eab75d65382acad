"""Whose pod it is: labels that tell task instances apart, and a mark that outlives an attempt.

Run ids are short and the same in every home, so labels alone could lead to the pod of another
person in the same namespace. The mark is drawn once for a task instance, lies in the folder
that its attempts share, and is thrown away when a pod's outcome has been taken.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflowkit.hooks.kubernetes_pods import OWNER
from mlflowkit.operators import kubernetes_why as why
from mlflowkit.operators.kubernetes_plain import label_value

_FILE: Final = "kubernetes-owner"
TRY: Final = "try_number"


@dataclass(frozen=True, slots=True)
class Identity:
    """One task instance, as its pods know it."""

    labels: Mapping[str, str]
    try_number: str
    mark: str
    file: Path | None

    @classmethod
    def of(cls, context: Mapping[str, Any], kind: str) -> Identity:
        """The identity of the running task instance; an empty one outside a run."""
        ti = context.get("ti")
        if ti is None:
            return cls({kind: "True"}, "1", uuid.uuid4().hex, None)
        labels = {
            "dag_id": label_value(ti.dag_id),
            "run_id": label_value(ti.run_id),
            "task_id": label_value(ti.task_id),
            kind: "True",
        }
        if ti.map_index is not None and ti.map_index >= 0:
            labels["map_index"] = str(ti.map_index)
        file = Path(ti.state_dir) / _FILE
        return cls(labels, str(ti.try_number), _mark(file), file)

    def all_labels(self) -> dict[str, str]:
        """What a new pod or job is labelled with."""
        return {**self.labels, TRY: self.try_number, OWNER: self.mark}

    @property
    def selector(self) -> str:
        """What finds the pods of earlier attempts, whichever try they were of."""
        wanted = {**self.labels, OWNER: self.mark}
        return ",".join(f"{name}={value}" for name, value in sorted(wanted.items()))

    def forget(self) -> None:
        """No later attempt goes on with what this one started: its outcome is taken."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def _mark(file: Path) -> str:
    try:
        if found := file.read_text().strip():
            return found
    except FileNotFoundError:
        pass
    drawn = uuid.uuid4().hex
    beside = file.with_suffix(".new")
    beside.write_text(drawn)
    os.replace(beside, file)
    return drawn


def may_go_on(pod: Mapping[str, Any], identity: Identity) -> bool:
    """Whether an attempt goes on with this pod, rather than starting one of its own."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return False
    if why.phase(pod) != "Failed":
        return True
    # What ended this pod: the task's code in this very try, or the cluster?
    return not status.get("reason") and metadata["labels"].get(TRY) == identity.try_number
