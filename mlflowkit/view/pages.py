"""The instances of a mapped task, in pages: never all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflowkit.core import screen
from mlflowkit.core.machine import InstanceRow
from mlflowkit.core.states import TaskState
from mlflowkit.home_store import database
from mlflowkit.store import screen as rows_of
from mlflowkit.view.journals import AttemptJournals

MOST_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of a task of a run."""

    home: Path
    run_key: int
    journals: AttemptJournals
    #: It runs cells.
    notebook: bool

    def one(self, task_id: str, index: int, *, over: bool) -> dict[str, Any]:
        """A page that holds one instance, or none."""
        with database(self.home).reading() as tx:
            found = rows_of.instance(tx, self.run_key, task_id, index)
        rows = [] if found is None else [self._instance(found, over=over)]
        return {"task_id": task_id, "offset": index, "total": len(rows), "rows": rows}

    def page(
        self, task_id: str, offset: int, limit: int, states: tuple[str, ...], *, over: bool
    ) -> dict[str, Any]:
        """Instances that have a row, by index, at most 100 of them."""
        with database(self.home).reading() as tx:
            total, found = rows_of.page(
                tx,
                self.run_key,
                task_id,
                offset=max(offset, 0),
                limit=min(max(limit, 1), MOST_ROWS),
                states=states,
            )
        rows = [self._instance(row, over=over) for row in found]
        return {"task_id": task_id, "offset": offset, "total": total, "rows": rows}

    def _instance(self, row: InstanceRow, *, over: bool) -> dict[str, Any]:
        running = row.state is TaskState.RUNNING
        facts = screen.instance_facts(row, over=over, notebook=self.notebook)
        return facts | {"progress": self.journals.progress(row) if running else None}
