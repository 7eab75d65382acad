"""What the names of a task's context are computed from: its order, its DAG, its run's facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from mlflowkit.core.spec import DagSpec
from mlflowkit.ports import LaunchOrder, running_task
from mlflowkit.worker.context_parts import (
    AssetEvents,
    DagView,
    events_by_uri,
    schedule_neighbours,
)


class Sources:
    """What the names of a context are computed from."""

    #: What a moment is given to tasks as: for files that know it by more names.
    shown: ClassVar[Callable[[datetime], datetime]] = staticmethod(lambda moment: moment)

    def __init__(
        self,
        order: LaunchOrder,
        spec: DagSpec,
        params: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        self.order, self.spec, self.facts = order, spec, facts
        self.run_params = params
        self.operator: Any = None
        #: The task's own `params`.
        self.own_params: Mapping[str, Any] = {}
        self.started_at = datetime.now(UTC)
        self._previous: Mapping[str, Any] | None = None
        self._events: AssetEvents | None = None

    def time(self, name: str) -> datetime | None:
        """A moment of the run, in UTC."""
        value = self.facts.get(name)
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return self._aware(moment) if isinstance(moment, datetime) else None

    def _aware(self, moment: datetime) -> datetime:
        return type(self).shown(moment.astimezone(UTC))

    def stamp(self, days: int, form: str) -> str:
        """The logical date some days on, as text."""
        return (self._dated() + timedelta(days=days)).strftime(form)

    def ts(self) -> str:
        """The logical date as ISO text."""
        return self._dated().isoformat()

    def _dated(self) -> datetime:
        moment = self.time("logical_date")
        assert moment is not None, "only asked where there is one"
        return moment

    def neighbour(self, later: bool) -> datetime | None:
        """The logical date of the run that the schedule gives before or after this one."""
        before, after = schedule_neighbours(
            self.spec,
            self.time("logical_date"),
            self.time("data_interval_end"),
            str(self.facts.get("run_type", "manual")),
        )
        found = after if later else before
        return type(self).shown(found) if found is not None else None

    def previous_success(self, name: str) -> datetime | None:
        """A moment of the successful run before this one: one question for all of them."""
        if self._previous is None:
            task = running_task()
            self._previous = (task.ask("previous_success") if task else None) or {}
        value = self._previous.get(name)
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return type(self).shown(moment) if moment is not None else None

    def params(self) -> dict[str, Any]:
        """The run's parameters; the task's own win over defaults of the DAG."""
        found = dict(self.run_params)
        if self.own_params:
            usual, nothing = DagView(self.spec).params, object()
            found |= {
                str(name): value
                for name, value in self.own_params.items()
                if name not in found or found[name] == usual.get(name, nothing)
            }
        return found

    def assets(self, name: str) -> list[Any]:
        """The assets of the task: as it was given them, else their URIs."""
        given = getattr(self.operator, name, None)
        if isinstance(given, list | tuple) and given:
            return list(given)
        task = self.spec.tasks.get(self.order.attempt.task_id)
        return list(getattr(task, name)) if task else []

    def triggering(self) -> AssetEvents:
        if self._events is None:
            task = running_task()
            self._events = events_by_uri(task.ask("asset_events_of_run") if task else None)
        return self._events

    def expanded_count(self) -> int | None:
        count = self.facts.get("expanded_ti_count")
        return count if isinstance(count, int) else None
