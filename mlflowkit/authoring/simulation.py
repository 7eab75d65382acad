"""What `dag.simulate()` gives: a table of runs and tasks, and a picture of them in Jupyter.

It only shows. What happened was worked out in `core.simulate`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any, Final

from mlflowkit.authoring.gantt import gantt_html
from mlflowkit.core.history import AttemptRow, History, RunRow, TaskRow
from mlflowkit.core.spec import instance_name
from mlflowkit.core.states import TaskState
from mlflowkit.core.stubs import Outcome
from mlflowkit.errors import BadSimulation, MissingExtra, suggest

__all__ = ["AttemptRow", "Outcome", "RunRow", "Simulation", "TaskRow"]

#: Runs that are listed one by one in a terminal.
MOST_LINES: Final = 40
#: States as they are told, the good ones first.
_FIRST: Final = ("success", "failed", "upstream_failed", "skipped")
_ORDER: Final = [
    *_FIRST,
    *(state for state in map(str, TaskState) if state not in _FIRST),
]
_TABLES: Final = ("runs", "tasks", "attempts")


class Simulation:
    """Runs, task instances and attempts of a simulated time, in order."""

    def __init__(self, history: History) -> None:
        self._history = history
        #: One for each run, task instance and attempt.
        self.runs: list[RunRow] = history.runs
        self.tasks: list[TaskRow] = history.tasks
        self.attempts: list[AttemptRow] = history.attempts

    @property
    def dag_id(self) -> str:
        return self._history.dag_id

    @property
    def start(self) -> datetime:
        """Where the clock started; runs are due before `end`."""
        return self._history.start

    @property
    def end(self) -> datetime:
        return self._history.end

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self.runs)

    def __iter__(self) -> Iterator[RunRow]:
        return iter(self.runs)

    def __getitem__(self, position: int) -> RunRow:
        """A run by its position; -1 is the last."""
        return self.runs[position]

    def states(self, run: int | str = -1) -> dict[str, str]:
        """How the tasks of a run ended, as `{"load": "success", "fit[0]": "failed"}`.

        Args:
            run: Its position, or its id.

        Raises:
            BadSimulation: there is no such run.
        """
        known = [one.run_id for one in self.runs]
        try:
            run_id = known[run] if isinstance(run, int) else run
        except IndexError:
            raise BadSimulation("run", f"{run} is none of {len(known)} runs") from None
        if run_id not in known:
            raise BadSimulation("run", f"there is no {run!r}.{suggest(run_id, known)}")
        return {
            instance_name(row.task_id, row.map_index): row.state
            for row in self.tasks
            if row.run_id == run_id
        }

    def to_df(self, table: str = "tasks") -> Any:
        """A table as a pandas DataFrame: "runs", "tasks" or "attempts".

        Raises:
            MissingExtra: pandas is not installed.
            BadSimulation: there is no such table.
        """
        if table not in _TABLES:
            hint = suggest(table, _TABLES)
            raise BadSimulation("table", f"{table!r} is none of {_TABLES}.{hint}")
        try:
            import pandas
        except ImportError as exc:
            raise MissingExtra("pandas", "data", "Simulation.to_df()") from exc
        rows: list[Any] = getattr(self, table)
        kinds: dict[str, Any] = {"runs": RunRow, "tasks": TaskRow, "attempts": AttemptRow}
        columns = [field.name for field in fields(kinds[table])]
        made: Any = pandas
        return made.DataFrame(map(asdict, rows), columns=columns)

    def __repr__(self) -> str:
        lines = [self._headline()]
        if self.runs:
            lines += _columns(self._history, self.runs[:MOST_LINES])
        left = len(self.runs) - MOST_LINES
        if left > 0:
            lines.append(f"… and {left:,} more runs: see .runs, or .to_df('runs')")
        return "\n".join(lines)

    def _headline(self) -> str:
        zone = self._history.zone
        first, last = (moment.astimezone(zone) for moment in (self.start, self.end))
        states = Counter(run.state for run in self.runs)
        told = ", ".join(f"{n:,} {state}" for state, n in states.items())
        number = len(self.runs)
        head = f"{self.dag_id}: {number:,} run{'s' * (number != 1)} from {_day(first)}"
        head += f" to {_day(last)} ({zone})"
        if told:
            return f"{head}: {told}"
        why = "" if self._history.schedule else "; it has no schedule: say manual=[…]"
        return head + why

    def _repr_html_(self) -> str:
        return gantt_html(self._history, self._headline())


def _day(moment: datetime) -> str:
    midnight = moment.hour == moment.minute == moment.second == 0
    return f"{moment:%Y-%m-%d}" if midnight else f"{moment:%Y-%m-%d %H:%M}"


def _columns(history: History, runs: list[RunRow]) -> list[str]:
    zone, ids = history.zone, {run.run_id for run in runs}
    counts: dict[str, Counter[str]] = {run_id: Counter() for run_id in ids}
    for row in history.tasks:
        if row.run_id in ids:
            counts[row.run_id][row.state] += 1
    table = [("run", "logical date", "started", "took", "state", "tasks")]
    for run in runs:
        found = counts[run.run_id]
        told = ", ".join(f"{found[s]} {s}" for s in sorted(found, key=_ORDER.index))
        table.append(
            (
                run.run_id,
                _moment(run.logical_date, zone),
                _moment(run.start_date, zone),
                _took(run),
                run.state,
                told,
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _moment(moment: datetime | None, zone: Any) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment else "-"


def _took(run: RunRow) -> str:
    if run.start_date is None or run.end_date is None:
        return "-"
    return str(timedelta(seconds=round((run.end_date - run.start_date).total_seconds())))
