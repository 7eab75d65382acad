"""The one place where authoring reaches parts that it must not import: by name, late."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mlflowkit.errors import RuntimeMissing
from mlflowkit.ports import Runtime


def part(module: str, name: str) -> Any:
    """`module.name`, imported now.

    Raises:
        RuntimeMissing: this part of mlflowkit is not there.
    """
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as exc:
        if exc.name != module:
            raise
        raise RuntimeMissing(module, str(exc)) from exc


def get_runtime() -> Runtime:
    """What runs DAGs."""
    runtime: Runtime = part("mlflowkit.app", "runtime")()
    return runtime
