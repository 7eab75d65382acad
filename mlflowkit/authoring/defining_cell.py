"""Which cell of the notebook would define a name: for errors. Only reads texts; runs nothing."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflowkit.authoring.cell_names import names_of
from mlflowkit.authoring.cell_source import without_magics
from mlflowkit.authoring.cells import code_cells
from mlflowkit.errors import NotebookInvalid


def in_notebook() -> bool:
    """Whether a notebook or an IPython prompt is around this code."""
    return _shell() is not None


def notebook_file() -> Path | None:
    """The notebook that this kernel belongs to, as far as its front end says so."""
    shell = _shell()
    if shell is None:
        return None
    names: dict[str, Any] = shell.user_ns
    told = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or ""
    path = Path(str(told))
    return path.resolve() if path.suffix == ".ipynb" and path.is_file() else None


def where_defined(name: str) -> str:
    """A sentence that names the cell which would define it; empty if no cell is known to."""
    for number, source in _history():
        if binds(source, name):
            return f"The cell [{number}] defined it in this session: run it again."
    file = notebook_file()
    if file is None:
        return ""
    try:
        cells = code_cells(file)
    except (NotebookInvalid, OSError):
        return ""
    for cell in cells:
        if binds(cell.source, name):
            first = next((s.strip() for s in cell.source.splitlines() if s.strip()), "")
            return (
                f"Code cell {cells.index(cell) + 1} of {file.name} (`{first[:60]}`) would "
                "define it: run it first."
            )
    return ""


def binds(source: str, name: str) -> bool:
    """Would a cell of this text define the name?"""
    if name not in source or source.lstrip().startswith("%%"):
        return False
    try:
        tree = ast.parse(without_magics(source))
    except SyntaxError:
        return False
    return name in names_of(tree).own


def _history() -> Iterator[tuple[int, str]]:
    """The cells that were run in this session, the latest first."""
    shell = _shell()
    texts: list[str] = shell.user_ns.get("In", []) if shell is not None else []
    for number in range(len(texts) - 2, 0, -1):  # the last one is running now
        yield number, str(texts[number])


def _shell() -> Any:
    """The IPython around this process; None if there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
