"""The runs of a DAG, or of all: `dag.runs()`, `mlflowkit.runs()`. Only reads the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflowkit.authoring.runtime import part
from mlflowkit.handles.run import RunHandle
from mlflowkit.home_store import database
from mlflowkit.store import reading
from mlflowkit.store.reading import RunSummary


class RunList:
    """The runs of a DAG, or of all, the newest first."""

    def __init__(self, home: Path, dag_id: str | None) -> None:
        self.home, self.dag_id = home, dag_id

    def _summaries(self, state: str | None = None) -> list[RunSummary]:
        with database(self.home).reading() as tx:
            return reading.list_runs(tx, self.dag_id, state=state, limit=1_000_000)

    def __iter__(self) -> Iterator[RunHandle]:
        return (RunHandle(s.run_id, self.home) for s in self._summaries())

    def __len__(self) -> int:
        return len(self._summaries())

    def __getitem__(self, which: int | str) -> RunHandle:
        """A run by position (0 is the newest) or by id."""
        if isinstance(which, int):
            return RunHandle(self._summaries()[which].run_id, self.home)
        handle = RunHandle(which, self.home)
        handle.view()
        return handle

    def last(self, *, state: str | None = None) -> RunHandle | None:
        """The newest run, or the newest in that state; None if there is none."""
        found = self._summaries(state)
        return RunHandle(found[0].run_id, self.home) if found else None

    def to_df(self) -> Any:
        """All of them as a pandas DataFrame."""
        import pandas

        rows = [_plain(s) for s in self._summaries()]
        return pandas.DataFrame(rows)

    def _ipython_display_(self) -> None:
        """A table in a notebook; a click shows the run."""
        if not part("mlflowkit.jupyter.shown", "show")(self):
            raise NotImplementedError

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        found: dict[str, str] = part("mlflowkit.jupyter.shown", "list_bundle")(self)
        return found

    def __repr__(self) -> str:
        lines = [
            f"{s.run_id}  {s.state}  {s.created_at:%Y-%m-%d %H:%M}"
            for s in self._summaries()
        ]
        return "\n".join(lines) or "no runs yet"


def _plain(summary: RunSummary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in summary.__dataclass_fields__}
