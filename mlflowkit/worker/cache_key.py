"""What a result is kept under: equal for equal code, inputs and parameters.

The run, its dates and the environment are not in it, unless the task reads them through
its arguments or templates: a result is kept to be used by other runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from mlflowkit.core.spec import DagSpec
from mlflowkit.core.values import StoredValue
from mlflowkit.ports import LaunchOrder


def cache_key(
    order: LaunchOrder,
    spec: DagSpec,
    rendered: Mapping[str, object],
    ask: Callable[..., Any],
) -> str:
    """A hash of all that the result of an attempt may depend on.

    Args:
        rendered: Its template fields, as they were rendered.
        ask: Asks the engine; for the values of mapped tasks, which are read as they are used.
    """
    attempt = order.attempt
    task = spec.tasks[attempt.task_id]
    facts: dict[str, Any] = {
        "dag": spec.dag_id,
        "task": attempt.task_id,
        "code": order.cache_code,
        "params": json.loads(order.params_json),
        "axes": order.axes,
        "rendered": rendered,
        "inputs": {name: _digest(value) for name, value in order.inputs.items()},
    }
    for ref in task.inputs:
        source = spec.tasks[ref.task_id]
        if source.expansion is not None:
            facts[f"mapped {ref.task_id} {ref.key}"] = ask(
                "xcom_digest", task_id=ref.task_id, key=ref.key
            )
    # What is no plain data came of an input, whose own hash is here.
    text = json.dumps(facts, sort_keys=True, default=lambda value: type(value).__name__)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(value: StoredValue | None) -> str:
    if value is None:
        return ""
    if value.artifact is not None:
        return value.artifact
    return hashlib.sha256(value.codec.encode() + b"\0" + (value.inline or b"")).hexdigest()
