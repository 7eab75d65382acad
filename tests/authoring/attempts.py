"""One attempt of a task, with the facts of its run chosen by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlflowkit import DAG
from mlflowkit.core.spec import UNMAPPED, AttemptId, RunId, TaskId
from mlflowkit.inline.code import DagCode
from mlflowkit.inline.values import MemoryValues
from mlflowkit.ports import LaunchOrder, Surroundings
from mlflowkit.worker.attempt import Attempt
from mlflowkit.worker.protocol import Ended

AROUND = Surroundings(python="", env={}, cwd="", sys_path=(), umask=0)
#: Airflow's own example: the first day of 2018, daily.
NEW_YEAR = {
    "logical_date": "2018-01-01T00:00:00+00:00",
    "data_interval_start": "2018-01-01T00:00:00+00:00",
    "data_interval_end": "2018-01-02T00:00:00+00:00",
    "started_at": "2018-01-02T00:00:01+00:00",
    "run_type": "scheduled",
}


class Answers:
    """The engine, as far as an attempt asks it: answers by question, questions counted."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def ask(self, what: str, **arguments: Any) -> Any:
        self.asked.append(what)
        return self.answers.get(what)

    def note(self, line: bytes) -> None:
        return None


class One:
    """An attempt: what it gave, what it told, and what it asked."""

    def __init__(
        self,
        dag: DAG,
        task_id: str,
        facts: Mapping[str, Any] = NEW_YEAR,
        params: Mapping[str, Any] | None = None,
        answers: Mapping[str, Any] | None = None,
        axes: Mapping[str, int] | None = None,
    ) -> None:
        index = next(iter(axes.values())) if axes else UNMAPPED
        order = LaunchOrder(
            attempt=AttemptId(RunId(f"{dag.dag_id}/7"), TaskId(task_id), index, 1),
            axes=tuple((axes or {}).items()),
            try_number=1,
            max_tries=1,
            bundle="",
            surroundings=AROUND,
            params_json=json.dumps(dict(params or {})).encode(),
            facts_json=json.dumps(dict(facts)).encode(),
        )
        self._values, self.link = MemoryValues(), Answers(answers or {})
        code = DagCode(dag, dag.spec())
        self.attempt = Attempt(order, code, self._values, self.link, None)  # type: ignore[arg-type]
        self.ended: Ended = self.attempt.run()
        if self.attempt.exception is not None:
            raise self.attempt.exception

    @property
    def value(self) -> Any:
        return self._values.load(dict(self.ended.values)["return_value"])
