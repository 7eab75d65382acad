"""An executed notebook for readers: as a page, or as a notebook, with or without its code.

nbconvert makes the page, as Jupyter's own export does. A report is what the notebook has to
say: text and outputs; code, warnings and progress on stderr are left out of the page, and
folded away in the notebook.
"""

from __future__ import annotations

import copy
import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import MissingExtra
from mlflowkit.nbrun import source
from mlflowkit.nbrun.written import write_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Cells with one of these tags are in no report; Jupyter's own names for it.
HIDDEN_TAGS: Final = frozenset({"remove-cell", "remove_cell", "hide-cell"})
_REPORT: Final = {
    "exclude_input": True,
    "exclude_input_prompt": True,
    "exclude_output_prompt": True,
}


def to_html(path: Path, *, report: bool = False, name: str = "") -> str:
    """An executed notebook as one page that needs no other file.

    Args:
        report: Without the code.
        name: Its title; the name of the file by default.

    Raises:
        MissingExtra: nbconvert is not installed.
        NotebookMissing, NotebookInvalid: there is no notebook.
    """
    notebook = source.load(path)
    try:
        from nbconvert import HTMLExporter
    except ImportError as exc:
        raise MissingExtra("nbconvert", "lab", "showing a notebook as HTML") from exc
    if report:
        notebook = _for_readers(notebook)
    exporter: Any = HTMLExporter(**(_REPORT if report else {}))  # type: ignore[no-untyped-call]  # untyped
    title = {"metadata": {"name": html.escape(name or path.stem)}}
    body, _ = exporter.from_notebook_node(notebook, resources=title)
    return str(body)


def write_report(path: Path, to: Path) -> None:
    """The notebook again, with its code folded away.

    Raises:
        NotebookMissing, NotebookInvalid: there is no notebook.
        ArtifactNotStored: it could not be written.
    """
    notebook = source.load(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.setdefault("jupyter", {})["source_hidden"] = True
            tags = [tag for tag in cell.metadata.get("tags", []) if tag != "hide-input"]
            cell.metadata["tags"] = [*tags, "hide-input"]
    write_notebook(notebook, to)


def _for_readers(notebook: NotebookNode) -> NotebookNode:
    """A copy without what only its author wants to see."""
    shown = copy.copy(notebook)
    shown.cells = [
        _quiet(cell)
        for cell in notebook.cells
        if not HIDDEN_TAGS & set(cell.metadata.get("tags", []))
    ]
    return shown


def _quiet(cell: Any) -> Any:
    if cell.cell_type != "code":
        return cell
    quiet = copy.copy(cell)
    quiet.outputs = [one for one in cell.outputs if not _is_noise(one)]
    return quiet


def _is_noise(output: Mapping[str, Any]) -> bool:
    return output.get("output_type") == "stream" and output.get("name") == "stderr"
