# mypy: allow-untyped-calls
"""Notebooks written by hand, and what happened when they ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mlflowkit.core.masking import Masker
from mlflowkit.errors import MlflowkitError
from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.nbrun.journal import journal_path
from mlflowkit.ports import CellEvent, NotebookOrder
from mlflowkit.worker import masking

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


def code(source: str, *tags: str) -> Any:
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def text(source: str) -> Any:
    return new_markdown_cell(source)


def save(path: Path, *cells: Any, kernelspec: dict[str, str] | None = PYTHON) -> Path:
    metadata = {"kernelspec": kernelspec} if kernelspec else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), path)
    return path


@dataclass
class Ran:
    """One execution, as its caller saw it."""

    values: Mapping[str, object] = field(default_factory=dict)
    error: Any = None
    events: list[CellEvent] = field(default_factory=list)
    notebook: Any = None

    def statuses(self) -> list[str]:
        cells = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        return [cell.metadata.mlflowkit["status"] for cell in cells]

    def papermill_statuses(self) -> list[str]:
        return [cell.metadata.papermill["status"] for cell in self.notebook.cells]

    def kinds(self) -> list[tuple[str, int]]:
        return [(event.kind, event.cell) for event in self.events]

    def printed(self, cell: int) -> str:
        outputs = self.notebook.cells[cell].outputs
        return "".join(out.text for out in outputs if out.output_type == "stream")


def execute(path: Path, engine: NotebookEngine | None = None, **order: Any) -> Ran:
    output = order.pop("output", path.with_name(f"{path.stem}-executed.ipynb"))
    wanted = NotebookOrder(
        path=path, output=output, parameters=order.pop("parameters", {}), **order
    )
    ran = Ran()
    try:
        ran.values = (engine or NotebookEngine()).run(wanted, ran.events.append)
    except MlflowkitError as exc:
        ran.error = exc
    if output.exists():
        ran.notebook = nbformat.read(output, as_version=4)
        nbformat.validate(ran.notebook)
    assert not journal_path(output).exists(), "the journal was left behind"
    return ran


@pytest.fixture(autouse=True)
def nothing_hidden_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests before this one hid in this process would be hidden here, too."""
    monkeypatch.setattr(masking, "_masker", Masker())


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Write these cells as a notebook and execute it."""

    def write_and_run(*cells: Any, **order: Any) -> Ran:
        return execute(save(tmp_path / "nb.ipynb", *cells), **order)

    return write_and_run
