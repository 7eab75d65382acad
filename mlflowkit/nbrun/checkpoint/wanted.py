"""Whether a notebook's execution stores and restores, as its order says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.nbrun.cells import is_run
from mlflowkit.nbrun.checkpoint.outside import FOLDER, CheckpointHooks, Wish
from mlflowkit.nbrun.checkpoint.store import Store
from mlflowkit.nbrun.hooks import CellHooks, NoHooks
from mlflowkit.ports import NotebookOrder

if TYPE_CHECKING:
    from nbformat import NotebookNode


def hooks_for(
    order: NotebookOrder, notebook: NotebookNode, language: str, doubt: str = ""
) -> CellHooks:
    """The hooks of an execution: none, where nothing is stored and nothing restored.

    Args:
        order: As it was given.
        notebook: As it will run.
        doubt: Why an attempt to resume was given up.
    """
    wanted = order.checkpoint != "never" and order.state_dir is not None
    if not wanted or order.state_dir is None or language != "python":
        return NoHooks()
    wish = Wish(
        folder=(order.state_dir / FOLDER).absolute(),
        mode=order.checkpoint,
        resume=order.resume,
        doubt=doubt and f"all cells ran: {doubt}",
    )
    runs = [is_run(cell) for cell in notebook.cells]
    return CheckpointHooks(wish, notebook.cells, runs, order.output.absolute())


def forget_checkpoints(state_dir: Path | None) -> None:
    """A notebook that has ended well is not gone on with."""
    if state_dir is not None:
        Store(state_dir / FOLDER).clear()
