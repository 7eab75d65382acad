"""`dag_run` in a context, and the task instances of its run: what is known when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from mlflowkit.ports import running_task


def ask_of_run() -> Mapping[str, Any]:
    """The run of the attempt that asks, as it stands now: its state, times and instances."""
    task = running_task()
    return (task.ask("run_instances") if task else None) or {}


class InstanceView:
    """A task instance as others see it."""

    def __init__(self, run: Any, facts: Mapping[str, Any]) -> None:
        self.dag_id, self.run_id = run.dag_id, run.run_id
        self.task_id: str = facts["task_id"]
        self.map_index: int = facts["map_index"]
        #: As Airflow writes it: None before its turn comes.
        self.state: str | None = None if facts["state"] == "none" else facts["state"]
        self.start_date = moment(facts.get("started_at"))
        self.end_date = moment(facts.get("ended_at"))

    @property
    def duration(self) -> float | None:
        """Seconds that it took."""
        return seconds_between(self.start_date, self.end_date)

    def current_state(self) -> str | None:
        return self.state

    def __repr__(self) -> str:
        return (
            f"<TaskInstance {self.run_id}/{self.task_id} [{self.map_index}] {self.state}>"
        )


class DagRunView(SimpleNamespace):
    """The run that a task belongs to. Its state and its instances are asked for."""

    dag_id: str
    run_id: str

    @property
    def state(self) -> str:
        return str(ask_of_run().get("state", "running"))

    @property
    def end_date(self) -> datetime | None:
        return moment(ask_of_run().get("ended_at"))

    def get_state(self) -> str:
        return self.state

    def get_task_instances(
        self, state: str | Iterable[str | None] | None = None, **_session: object
    ) -> list[InstanceView]:
        """All of them as they stand now, or those in one of these states."""
        found = [InstanceView(self, facts) for facts in ask_of_run().get("instances", ())]
        if state is None:
            return found
        wanted = {state} if isinstance(state, str) else set(state)
        return [one for one in found if one.state in wanted]

    def get_task_instance(
        self, task_id: str, *_session: object, map_index: int = -1, **_more: object
    ) -> InstanceView | None:
        """One of them; None if there is none."""
        for one in self.get_task_instances():
            if (one.task_id, one.map_index) == (task_id, map_index):
                return one
        return None


def moment(value: object) -> datetime | None:
    """A moment from the engine's answer."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if isinstance(found, datetime) else None


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
