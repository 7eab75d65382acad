"""One notebook as a test runs it: in a kernel of its own, with no home, no engine, no store.

What `mlflowkit.testing.run_notebook` gives. The source is never written to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.errors import CellFailed, TaskSkipped

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class CellResult:
    """What became of one code cell."""

    #: Its position in the notebook as it was executed, from 0, all cells counted.
    index: int
    source: str
    tags: tuple[str, ...]
    #: "completed", "failed", "timeout", "killed", "interrupted", "skipped" or "not run".
    status: str
    #: As nbformat keeps them.
    outputs: list[Any]
    execution_count: int | None = None

    @property
    def text(self) -> str:
        """What it printed, and its displays and its result as text."""
        return "".join(_texts(self.outputs))

    def data(self, mime: str) -> list[Any]:
        """What its displays have for a MIME type, in order."""
        found = (out.get("data", {}) for out in self.outputs)
        return [data[mime] for data in found if mime in data]


def _texts(outputs: Sequence[Any]) -> Iterator[str]:
    for out in outputs:
        if out["output_type"] == "stream":
            yield out["text"]
        elif out["output_type"] != "error":
            yield out["data"].get("text/plain", "") + "\n"


@dataclass(frozen=True)
class NotebookResult:
    """A notebook that was run. `result["name"]` is a value that it gave."""

    #: What it pushed, what cells tagged `outputs` assigned, what `returns` named.
    values: Mapping[str, Any]
    #: Its code cells.
    cells: list[CellResult]
    #: The executed notebook.
    notebook: NotebookNode
    #: What ended it early, if anything did.
    error: CellFailed | TaskSkipped | None = field(default=None)

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            known = ", ".join(sorted(self.values)) or "nothing"
            raise KeyError(f"the notebook gave no {name!r} (it gave: {known})")
        return self.values[name]

    def tagged(self, tag: str) -> CellResult:
        """The first code cell with this tag.

        Raises:
            KeyError: there is none.
        """
        for cell in self.cells:
            if tag in cell.tags:
                return cell
        raise KeyError(f"no code cell has the tag {tag!r}")

    @property
    def statuses(self) -> list[str]:
        """Of its code cells, in order."""
        return [cell.status for cell in self.cells]


@contextmanager
def notebook_file(given: str | Path | NotebookNode) -> Iterator[Path]:
    """The file of a notebook; one that is built in code is written for as long as it runs."""
    if isinstance(given, str | Path):
        yield Path(given)
        return
    import nbformat

    with tempfile.TemporaryDirectory(prefix="mlflowkit-nb-") as folder:
        path = Path(folder) / "notebook.ipynb"
        nbformat.write(given, path)  # type: ignore[no-untyped-call]  # untyped
        yield path


def execute(
    path: Path,
    parameters: Mapping[str, object],
    *,
    check: bool = True,
    returns: Sequence[str] = (),
    cwd: Path | None = None,
    cell_timeout: timedelta | None = None,
) -> NotebookResult:
    """Run a file by the engine of notebook tasks. Arguments as `testing.run_notebook`."""
    from mlflowkit.nbrun.engine import NotebookEngine
    from mlflowkit.ports import NotebookOrder

    error: CellFailed | TaskSkipped | None = None
    with tempfile.TemporaryDirectory(prefix="mlflowkit-executed-") as folder:
        order = NotebookOrder(
            path=path,
            parameters=parameters,
            returns=tuple(returns),
            output=Path(folder) / path.name,
            cwd=cwd,
            cell_timeout=cell_timeout,
        )
        values: Mapping[str, Any] = {}
        try:
            values = NotebookEngine().run(order, lambda _: None)
        except CellFailed as exc:
            if check:
                raise
            error, values = exc, exc.values
        except TaskSkipped as exc:
            error = exc
        return _result(order.output, values, error)


def _result(
    output: Path, values: Mapping[str, Any], error: CellFailed | TaskSkipped | None
) -> NotebookResult:
    import nbformat

    notebook = nbformat.read(output, as_version=4)  # type: ignore[no-untyped-call]  # untyped
    cells = [
        CellResult(
            index=at,
            source=cell.source,
            tags=tuple(cell.metadata.get("tags", ())),
            status=cell.metadata.mlflowkit.status,
            outputs=list(cell.outputs),
            execution_count=cell.execution_count,
        )
        for at, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
    ]
    return NotebookResult(dict(values), cells, notebook, error)
