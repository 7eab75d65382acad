"""Asking a person's own timetables what comes next. Their code runs in workers, never here.

The answer comes with a later turn of the engine's loop. One that was asked before the DAG
changed is not heard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import msgspec

from mlflowkit.core.spec import UNMAPPED, AttemptId, RunId, TaskId
from mlflowkit.core.timetable import (
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    info_from_json,
)
from mlflowkit.ports import LaunchOrder
from mlflowkit.store.published import Published

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess

#: Told of a DAG: its next run or None, and why there is none, if that is a problem.
Tell = Callable[[str, DagRunInfo | None, str], None]


class OwnTimetables:
    """The questions that are out."""

    def __init__(self, engine: EngineProcess, tell: Tell) -> None:
        self._engine, self._tell = engine, tell
        #: The number of the latest question about each DAG that has no answer yet.
        self._asked: dict[str, int] = {}
        self._numbers = 0

    @property
    def asked(self) -> Collection[str]:
        """The DAGs whose timetable is being asked."""
        return self._asked.keys()

    def forget(self, dag_ids: Iterable[str]) -> None:
        """They have changed: what is being asked about them does not count."""
        for dag_id in dag_ids:
            self._asked.pop(dag_id, None)

    def ask(self, one: Published, restriction: TimeRestriction) -> None:
        """Ask for the next run of a DAG. Twice before there is an answer asks once."""
        if one.dag_id in self._asked:
            return
        self._numbers += 1
        number = self._asked[one.dag_id] = self._numbers

        def done(answer: bytes | None, why: str) -> None:
            self._heard(one, number, answer, why)

        arguments = {"last": one.last, **restriction._asdict()}
        order = self._order(one, number, msgspec.json.encode(arguments))
        self._engine.service_attempts.start(order, done)

    def _heard(self, one: Published, number: int, answer: bytes | None, why: str) -> None:
        if self._asked.get(one.dag_id) != number:
            return  # it was changed meanwhile, and is asked anew
        del self._asked[one.dag_id]
        if answer is None:
            self._tell(one.dag_id, None, f"its timetable failed: {why}")
            return
        info = info_from_json(answer.decode())
        problem = _nonsense(info, one.last) if info is not None else ""
        self._tell(one.dag_id, None if problem else info, problem)

    def _order(self, one: Published, number: int, arguments: bytes) -> LaunchOrder:
        run_id = RunId(f"{one.dag_id}/timetable")
        folder = self._engine.home / "logs" / "scheduler"
        return LaunchOrder(
            attempt=AttemptId(run_id, TaskId(""), UNMAPPED, -number),
            try_number=1,
            max_tries=1,
            bundle=one.bundle,
            surroundings=one.surroundings,
            params_json=b"{}",
            facts_json=b"{}",
            isolate=True,
            service="timetable",
            service_json=arguments,
            log=str(folder / f"{one.dag_id}.timetable.log"),
            journal=str(folder / f"{one.dag_id}.timetable.jsonl"),
            state_dir=str(folder),
            artifacts=str(self._engine.home / "artifacts"),
        )


def _nonsense(info: DagRunInfo, last: DataInterval | None) -> str:
    """Why a run cannot be; empty if it can."""
    start, end = info.data_interval
    if end < start:
        return "its timetable gave an interval that ends before it begins"
    if last is not None and (end, start) <= (last.end, last.start):
        return "its timetable gave an interval that does not come after the one before"
    return ""
