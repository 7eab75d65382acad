"""What scheduled and other runs of a notebook left: by date, with its state and its file.

Reads the store and looks at files; works out no state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlflowkit.errors import DagNotPublished
from mlflowkit.home_store import database
from mlflowkit.settings import home
from mlflowkit.store import published, reading


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookOutput:
    """An executed notebook, or the place of one that is not there yet."""

    #: When its run started, or was asked for.
    date: datetime
    run_id: str
    task_id: str
    #: That of its run.
    state: str
    #: "scheduled", "manual", "backfill".
    run_type: str
    #: The executed notebook; None: the run has left none.
    path: Path | None


class NotebookOutputs(list[NotebookOutput]):
    """The newest first; as a last line in a cell, a table."""

    def __repr__(self) -> str:
        lines = [
            f"{one.date.astimezone():%Y-%m-%d %H:%M}  {one.state:<8} {one.run_id}  "
            f"{one.path or '(no notebook)'}"
            for one in self
        ]
        return "\n".join(lines) or "no runs yet"


def notebook_outputs(notebook: str | Path, *, limit: int = 100) -> NotebookOutputs:
    """Executed notebooks of the runs of a DAG, the newest first.

    Args:
        notebook: A notebook's file, as it was given to `schedule`, or the id of a DAG.
        limit: Runs that are looked at.

    Raises:
        DagNotPublished: there is neither a DAG nor a run of that name.
    """
    folder = home()
    if not (folder / "store.db").is_file():
        raise DagNotPublished(_name_of(notebook), ())
    with database(folder).reading() as tx:
        lines = published.lines(tx)
        names = _dags_of(notebook, {line.dag_id: line.origin for line in lines})
        runs = [one for name in names for one in reading.list_runs(tx, name, limit=limit)]
    if not runs and not set(names) & {line.dag_id for line in lines}:
        raise DagNotPublished(_name_of(notebook), [line.dag_id for line in lines])
    runs.sort(key=lambda one: one.created_at, reverse=True)
    return NotebookOutputs(
        one
        for run in runs[:limit]
        for one in _outputs_of(folder / "runs" / run.run_id, run)
    )


def _dags_of(notebook: str | Path, origins: dict[str, str]) -> list[str]:
    path = Path(notebook)
    if path.suffix != ".ipynb":
        return [str(notebook)]
    whole = str(path.resolve())
    found = [name for name, origin in origins.items() if origin == whole]
    return found or [_name_of(notebook)]


def _name_of(notebook: str | Path) -> str:
    path = Path(notebook)
    return re.sub(r"[^\w.-]", "_", path.stem) if path.suffix == ".ipynb" else str(notebook)


def _outputs_of(folder: Path, run: reading.RunSummary) -> list[NotebookOutput]:
    files: list[Path | None] = [*sorted(folder.glob("*.ipynb"))]
    return [
        NotebookOutput(
            date=run.started_at or run.created_at,
            run_id=run.run_id,
            task_id=path.stem if path is not None else "",
            state=run.state,
            run_type=run.run_type,
            path=path,
        )
        for path in files or [None]
    ]
