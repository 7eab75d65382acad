"""From an operator and what it waits for to something that can be executed: both app sides do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlflowkit.authoring.refs import XComArg
from mlflowkit.authoring.resolve import render
from mlflowkit.core.spec import XComRef
from mlflowkit.worker.attempt import Executable


def prepared(
    operator: Any,
    resolve: Callable[[str, str], object],
    params: Mapping[str, Any],
    axes: Mapping[str, int],
    item: Callable[[str, str, int], object],
) -> Executable:
    """An operator with real values: XComs, parameters, and its own items of what is mapped."""
    mapped: dict[str, object] = {}
    for name, index in axes.items():
        over: Any = operator.axes[name]
        if isinstance(over, XComArg):
            mapped[name] = item(over.ref.task_id, over.ref.key, index)
        elif isinstance(over, dict):
            mapped[name] = list(over.items())[index]
        else:
            mapped[name] = over[index]

    def find(ref: XComRef) -> object:
        return resolve(ref.task_id, ref.key)

    return render(operator, find, params, mapped)
