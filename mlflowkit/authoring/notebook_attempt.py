"""One attempt of a notebook task: its order handed over, and what it left kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflowkit.authoring.runtime import part
from mlflowkit.errors import MlflowkitError
from mlflowkit.ports import NotebookOrder, RunningTask


def run_order(task: RunningTask, order: NotebookOrder, log: str) -> Mapping[str, object]:
    """Execute a notebook: what it gave.

    Each attempt keeps its executed notebook. One that fails pushes what its notebook had
    pushed by then: that stays readable, for people alone.

    Args:
        log: The file with the attempt's log; empty if there is none.
    """
    keep, keep_cut_off = (part("mlflowkit.nbrun.kept", n) for n in ("keep", "keep_cut_off"))
    if log:
        keep_cut_off(order.output, Path(log))
    try:
        return task.notebooks.run(order, task.cell_event)
    except MlflowkitError as exc:
        pushed: Mapping[str, object] = getattr(exc, "values", {})
        for name, value in pushed.items():
            task.push(name, value)
        raise
    finally:
        if log:
            keep(order.output, Path(log))


def whole_lists(parameters: Mapping[str, object]) -> dict[str, object]:
    """The values of a mapped task are read as they are used; a kernel gets them all."""
    from mlflowkit.worker.context import MappedValues

    return {
        name: list(value) if isinstance(value, MappedValues) else value
        for name, value in parameters.items()
    }


def output_path(ti: Any, source: Path) -> Path:
    """Where the executed notebook goes."""
    base = getattr(ti, "output_base", "")
    return Path(f"{base}.ipynb") if base else Path(ti.state_dir) / source.name
