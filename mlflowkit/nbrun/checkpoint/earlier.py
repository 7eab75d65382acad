"""What the attempt before had put out, for the cells that are not run again."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.nbrun import source
from mlflowkit.nbrun.hooks import Restored

if TYPE_CHECKING:
    from nbformat import NotebookNode

log = logging.getLogger("mlflowkit.task.notebook")


def restored_from(
    earlier: Sequence[NotebookNode], at: int, *, kept: bool = False
) -> Restored:
    """A cell that is not run, with what it had put out; see `earlier_cells`."""
    if at >= len(earlier):
        return Restored(kept=kept)
    outputs = [dict(output) for output in earlier[at].get("outputs", ())]
    return Restored(outputs, earlier[at].get("execution_count"), kept)


def earlier_cells(output: str) -> list[NotebookNode]:
    """The cells of the executed notebook of the attempt before that have something to run.

    Args:
        output: Where it was written; empty: nowhere.
    """
    from mlflowkit.nbrun.journal import journal_path
    from mlflowkit.nbrun.rebuilt import rebuild

    if not output:
        return []
    path = Path(output)
    try:
        cut_off = journal_path(path)
        notebook = rebuild(cut_off) if cut_off.exists() else source.load(_newest(path))
    except Exception as exc:  # noqa: BLE001 - outputs are for people; the variables are there
        log.info("resume: the outputs of the attempt before are gone (%s)", exc)
        return []
    return [c for c in notebook.cells if c.cell_type == "code" and _ran(c)]


def _newest(output: Path) -> Path:
    """The executed notebook of the latest attempt: one that was killed has its own alone."""
    named = f"{glob.escape(output.stem)}.*.ipynb"
    found = [*output.parent.glob(f"logs/{named}"), *([output] if output.exists() else [])]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=output)


def _ran(cell: NotebookNode) -> bool:
    status = cell.metadata.get("mlflowkit", {}).get("status")
    return status != "skipped" and bool(cell.source.strip())
