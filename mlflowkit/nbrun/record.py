"""What is known of an execution, cell by cell, written into the notebook's metadata.

Honest by construction: a cell begins as "not run" and changes only when something
happened to it. `metadata.mlflowkit` is ours; `metadata.papermill` says the same in
papermill's words, so that its readers go on working.

    mlflowkit      not run   running   completed   failed  timeout  killed  interrupted  skipped  restored  kept
    papermill      pending   running   completed   failed  ───────────────────────────   pending  completed ────
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.nbrun.outputs import LIMIT, Outputs

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOT_RUN: Final = "not run"
RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
TIMEOUT: Final = "timeout"
KILLED: Final = "killed"
INTERRUPTED: Final = "interrupted"
SKIPPED: Final = "skipped"
#: Not run: what it made was brought back from an earlier attempt.
RESTORED: Final = "restored"
#: Not run: an earlier attempt ran it in this very kernel, which was held.
KEPT: Final = "kept"

_PAPERMILL: Final = {
    NOT_RUN: "pending",
    SKIPPED: "pending",
    RUNNING: "running",
    COMPLETED: "completed",
}
#: Cells with one of these tags are left out.
SKIP_TAGS: Final = frozenset({"skip-execution", "skip-run"})
#: papermill marks failures with extra cells; a notebook that is run again loses them.
_ERROR_MARKER: Final = "papermill-error-cell-tag"


class Record:
    """Applies what happened to a notebook. Every method takes plain data and a time."""

    def __init__(self, notebook: NotebookNode, limit: int = LIMIT) -> None:
        self.notebook = notebook
        self.outputs = Outputs(notebook, limit)
        self._started: dict[int, datetime] = {}
        self._replayed: set[int] = set()
        self._begun: datetime | None = None

    def begin(self, at: datetime) -> None:
        """Forget earlier executions: outputs, counts, statuses."""
        self._begun = at
        self.notebook.cells = [
            cell
            for cell in self.notebook.cells
            if _ERROR_MARKER not in cell.metadata.get("tags", [])
        ]
        self.notebook.metadata.setdefault("papermill", {}).update(
            {
                "start_time": at.isoformat(),
                "end_time": None,
                "duration": None,
                "exception": None,
            }
        )
        self.notebook.metadata["mlflowkit"] = {"status": RUNNING}
        for cell in self.notebook.cells:
            self._reset(cell)

    def _reset(self, cell: NotebookNode) -> None:
        cell.metadata["papermill"] = {
            "exception": None,
            "start_time": None,
            "end_time": None,
            "duration": None,
            "status": "pending",
        }
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata["mlflowkit"] = {"status": NOT_RUN}

    def cell_passed(self, cell: int) -> None:
        """The execution went past a cell that has nothing to run."""
        node = self.notebook.cells[cell]
        if node.cell_type == "code":
            node.metadata["mlflowkit"] = {"status": SKIPPED}
        else:
            node.metadata["papermill"].update({"status": "completed", "exception": False})

    def cell_restored(
        self,
        cell: int,
        outputs: Sequence[dict[str, Any]],
        count: int | None,
        status: str = RESTORED,
    ) -> None:
        """The cell was not run: what it made then is there, and what it put out stands."""
        for output in outputs:
            self.outputs.output(cell, dict(output))
        node = self.notebook.cells[cell]
        node.execution_count = count
        node.metadata["mlflowkit"] = {"status": status}
        node.metadata["papermill"]["status"] = "completed"

    def cell_started(self, cell: int, at: datetime, *, replayed: bool = False) -> None:
        """The cell's code was sent to the kernel."""
        self._started[cell] = at
        if replayed:
            self._replayed.add(cell)
        node = self.notebook.cells[cell]
        node.metadata["mlflowkit"] = {"status": RUNNING}
        node.metadata["papermill"].update(
            {"status": "running", "start_time": at.isoformat(), "exception": False}
        )

    def cell_ended(
        self, cell: int, status: str, at: datetime, seconds: float, count: int | None
    ) -> None:
        """The cell is over, one way or another."""
        node = self.notebook.cells[cell]
        self.outputs.settle(cell)
        if count is not None:
            node.execution_count = count
        node.metadata["mlflowkit"] = {"status": status, "seconds": round(seconds, 3)}
        if cell in self._replayed:
            node.metadata["mlflowkit"]["replayed"] = True
        failed = status not in _PAPERMILL
        node.metadata["papermill"].update(
            {
                "status": _PAPERMILL.get(status, "failed"),
                "end_time": at.isoformat(),
                "duration": round(seconds, 6),
                "exception": failed,
            }
        )

    def finish(self, status: str, at: datetime, **facts: Any) -> None:
        """The execution is over. Cells that were not reached stay "not run"."""
        self.outputs.settle()
        seconds = (at - self._begun).total_seconds() if self._begun else 0.0
        self.notebook.metadata["mlflowkit"] = {
            "status": status,
            "seconds": round(seconds, 3),
            **facts,
        }
        self.notebook.metadata["papermill"].update(
            {
                "end_time": at.isoformat(),
                "duration": seconds,
                "exception": None if status in (COMPLETED, SKIPPED) else True,
            }
        )

    def running(self) -> list[int]:
        """Cells that started and did not end."""
        cells = self.notebook.cells
        status = (cell.metadata.get("mlflowkit", {}).get("status") for cell in cells)
        return [at for at, each in enumerate(status) if each == RUNNING]

    def state(self) -> dict[str, Any]:
        """What is known beside the notebook itself, as plain data for `go_on`."""
        return {
            "begun": self._begun.isoformat() if self._begun else None,
            "started": {at: when.isoformat() for at, when in self._started.items()},
            "replayed": sorted(self._replayed),
            "outputs": self.outputs.state(),
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take a notebook up where `state` was made: nothing is forgotten."""
        self._begun = datetime.fromisoformat(state["begun"]) if state["begun"] else None
        started = state["started"].items()
        self._started = {int(at): datetime.fromisoformat(when) for at, when in started}
        self._replayed = set(state["replayed"])
        self.outputs.go_on(state["outputs"])

    def started_at(self, cell: int) -> datetime | None:
        return self._started.get(cell)
