"""One attempt of a notebook task: its order handed over, and what it left kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlflowkit.authoring.runtime import part
from mlflowkit.core.spec import UNMAPPED
from mlflowkit.errors import BadOption, MlflowkitError
from mlflowkit.ports import NotebookOrder, RunningTask, Shared
from mlflowkit.settings import settings


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


def owner_of(ti: Any) -> dict[str, Any]:
    """What a kernel of this attempt is found by, if it is held; empty without a home."""
    base = getattr(ti, "output_base", "")
    folder = str(Path(base).parent) if base else ""
    home = folder.removesuffix(f"/runs/{getattr(ti, 'run_id', '')}")
    if not base or home == folder:
        return {}
    return {
        "home": str(Path(home).resolve()),
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": None if ti.map_index == UNMAPPED else ti.map_index,
        "attempt": ti.attempt_number,
    }


def kept_for(wish: timedelta | None, context: Mapping[str, Any]) -> timedelta | None:
    """How long the kernel of a notebook is held if it fails: what the task says, or, in a
    run that a person started and can find again, what the settings say."""
    if wish is not None:
        return wish
    run_type = getattr(context.get("dag_run"), "run_type", "")
    return settings().keep_failed_kernel if run_type == "manual" else None


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


def sharing(where: str, share_prefix: object, checkpoint: str, resume: str) -> bool:
    """Whether `share_prefix` is wished.

    Raises:
        BadOption: it is no bool, or does not go with the other options.
    """
    if not isinstance(share_prefix, bool):
        raise BadOption(where, "share_prefix", f"is {share_prefix!r}: it is True or False")
    other = 'checkpoint="always"' if checkpoint == "always" else resume and 'resume="cell"'
    if share_prefix and other:
        problem = (
            f"does not go with {other}: instances that share cells store no checkpoints"
        )
        raise BadOption(where, "share_prefix", problem)
    return share_prefix


def shared(task: Any, ti: Any) -> Shared | None:
    """What an attempt of a mapped notebook task may share with other instances.

    A later attempt runs all its cells: what failed may lie in the shared ones.
    """
    if not task.share_prefix or not task.varying or ti.attempt_number > 1:
        return None
    run = f"{ti.dag_id}/{ti.run_id}/{task.task_id}"
    return Shared(mapped=task.varying, run=run, instance=f"instance {ti.map_index}")
