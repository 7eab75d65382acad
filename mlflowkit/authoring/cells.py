"""The cells of a notebook that define DAGs: which are run when it is loaded, and as what.

Tags of code cells decide. If any is tagged `dag`, only those are run; else all are, up to
a cell tagged `stop` (which is not run itself). A cell tagged `skip` never is. Cells have to
be plain Python: magics are for people at a notebook, not for a file that is loaded.

Only reads; runs nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.notebook_text import SAVE_AGAIN, decoded, parsed
from mlflowkit.errors import DagCellMagic, NotebookInvalid

DAG_TAG: Final = "dag"
STOP_TAG: Final = "stop"
SKIP_TAG: Final = "skip"
_MAKES_DAGS = re.compile(
    r"^\s*from\s+(?:mlflowkit|airflow)[\w.]*\s+import\s[^#]*?\b(?:DAG|dag)\b"
    r"|\b\w+\.(?:DAG|dag)\b\s*[(\n]",
    re.MULTILINE,
)
_MAGIC = re.compile(r"^\s*(?:[%!?]|\w[\w, ]*=\s*[%!])|^[^#\n]*\?\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A code cell."""

    #: Its place among all cells of the notebook, counted from 1.
    number: int
    source: str
    tags: tuple[str, ...]

    def name_in(self, file: Path) -> str:
        """What its code is called in tracebacks."""
        return f"{file}, cell {self.number}"


def code_cells(file: Path) -> list[Cell]:
    """All code cells of a notebook.

    Raises:
        NotebookInvalid: the file is no notebook.
    """
    try:
        data = file.read_bytes()
    except OSError as exc:
        unreadable = f"it cannot be read ({exc.strerror})"
        raise NotebookInvalid(file, unreadable, "Mend its permissions.") from exc
    content: Any = parsed(decoded(data, file), file)
    try:
        return list(_cells(content["cells"]))
    except (LookupError, TypeError, AttributeError) as exc:
        damaged = f"its format is damaged ({exc!r})"
        raise NotebookInvalid(file, damaged, SAVE_AGAIN) from exc


def _cells(found: Any) -> Iterator[Cell]:
    for number, cell in enumerate(found, start=1):
        if cell["cell_type"] == "code":
            source = cell["source"]
            yield Cell(
                number=number,
                source=source if isinstance(source, str) else "".join(source),
                tags=tuple(cell.get("metadata", {}).get("tags", ())),
            )


def dag_cells(file: Path) -> list[Cell]:
    """The cells that are run when the notebook is loaded for its DAGs, in their order.

    Raises:
        NotebookInvalid: the file is no notebook.
        DagCellMagic: one of them has a line that is no Python.
    """
    chosen = _chosen(code_cells(file))
    for cell in chosen:
        _refuse_magics(file, cell)
    return chosen


def _chosen(cells: list[Cell]) -> list[Cell]:
    usable = [cell for cell in cells if SKIP_TAG not in cell.tags]
    tagged = [cell for cell in usable if DAG_TAG in cell.tags]
    if tagged:
        return tagged
    stop = next((i for i, c in enumerate(usable) if STOP_TAG in c.tags), len(usable))
    return usable[:stop]


def defines_dags(file: Path) -> bool:
    """May the notebook define DAGs, going by its text? A notebook that is a task does not."""
    try:
        cells = _chosen(code_cells(file))
    except NotebookInvalid:
        return False
    return any(DAG_TAG in cell.tags or _MAKES_DAGS.search(cell.source) for cell in cells)


def _refuse_magics(file: Path, cell: Cell) -> None:
    try:
        ast.parse(cell.source)
    except SyntaxError:
        number, line = next(
            ((n, line) for n, line in _lines(cell) if _MAGIC.search(line)), (0, "")
        )
        if number and _is_ipython(cell.source):
            raise DagCellMagic(str(file), cell.number, number, line.strip()) from None


def _lines(cell: Cell) -> Iterator[tuple[int, str]]:
    return enumerate(cell.source.splitlines(), start=1)


def _is_ipython(source: str) -> bool:
    """Is it Python once IPython has rewritten its magics?"""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        manager: Any = TransformerManager  # it has no types
        ast.parse(manager().transform_cell(source))
    except SyntaxError:
        return False
    return True
