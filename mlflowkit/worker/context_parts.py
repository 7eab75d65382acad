"""Parts of a task's context: the DAG, its run, assets and their events. They only show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflowkit.core.spec import DagSpec
from mlflowkit.ports import LaunchOrder, running_task
from mlflowkit.worker.context_run import DagRunView

#: Runs whose logical date is a place in the schedule.
_BY_SCHEDULE = ("scheduled", "backfill")


class DagView:
    """`dag` in a context: what the DAG says of itself."""

    def __init__(self, spec: DagSpec) -> None:
        self._spec = spec
        self.dag_id: str = spec.dag_id
        self.description = self.doc_md = spec.description
        self.owner = spec.owner
        self.tags = list(spec.tags)
        self.schedule = spec.schedule
        self.start_date, self.end_date = spec.start_date, spec.end_date
        self.catchup = spec.catchup
        self.fileloc = spec.origin

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters with their defaults; None where there is none."""
        return {p.name: json.loads(p.default_json or "null") for p in self._spec.params}

    @property
    def task_ids(self) -> list[str]:
        return [str(name) for name in self._spec.tasks]

    @property
    def folder(self) -> str:
        return str(Path(self.fileloc).parent) if self.fileloc else ""

    def has_task(self, task_id: str) -> bool:
        return task_id in self._spec.tasks

    def __repr__(self) -> str:
        return f"<DAG: {self.dag_id}>"


def dag_run_view(
    spec: DagSpec,
    order: LaunchOrder,
    facts: Mapping[str, Any],
    params: Mapping[str, Any],
    time: Callable[[str], datetime | None],
) -> DagRunView:
    """`dag_run` in a context."""
    given = facts.get("conf")
    return DagRunView(
        dag_id=str(spec.dag_id),
        run_id=str(order.attempt.run_id),
        run_type=str(facts.get("run_type", "manual")),
        conf=dict(given if isinstance(given, Mapping) else params),
        logical_date=time("logical_date"),
        execution_date=time("logical_date"),
        data_interval_start=time("data_interval_start"),
        data_interval_end=time("data_interval_end"),
        run_after=time("run_after") or time("data_interval_end"),
        start_date=time("started_at"),
        queued_at=time("queued_at"),
        external_trigger=str(facts.get("run_type", "manual")) not in _BY_SCHEDULE,
    )


def schedule_neighbours(
    spec: DagSpec, logical: datetime | None, end: datetime | None, run_type: str
) -> tuple[datetime | None, datetime | None]:
    """The logical dates before and after; of a run that a person started, its own for both."""
    if logical is None or run_type not in _BY_SCHEDULE or not spec.timetable_json:
        return logical, logical
    ticks = _ticks(spec, logical)
    if ticks is not None:
        return ticks.before(logical), ticks.after(logical)
    step = (end - logical) if end and end > logical else timedelta()
    return logical - step, logical + step


def _ticks(spec: DagSpec, logical: datetime) -> Any:
    """The moments of the DAG's schedule; None where there are none to be counted."""
    from mlflowkit.core.timetable import TimeRestriction, timetable_from_json
    from mlflowkit.core.timetable.interval import IntervalTimetable

    timetable = timetable_from_json(spec.timetable_json)
    if isinstance(timetable, IntervalTimetable):
        return timetable.ticks(spec.start_date, logical)
    make = getattr(timetable, "ticks", None)
    if make is None:
        return None
    return make(TimeRestriction(spec.start_date, None, True, logical), logical)


# ── assets ──────────────────────────────────────────────────────────────────


def uri_of(asset: object) -> str:
    """The URI of an asset, or of what names one."""
    return str(getattr(asset, "uri", asset))


def _event(facts: Mapping[str, Any]) -> SimpleNamespace:
    moments = {
        name: datetime.fromisoformat(value)
        for name, value in facts.items()
        if name in ("timestamp", "created_at") and isinstance(value, str)
    }
    found = {"extra": {}, **facts, **moments}
    return SimpleNamespace(**{str(name): value for name, value in found.items()})


class AssetEvents(Mapping[str, list[Any]]):
    """Events by the URI of their asset; an asset itself works as a key, too."""

    def __init__(
        self,
        events: Mapping[str, list[Any]],
        find: Callable[[str], list[Any]] | None = None,
    ) -> None:
        self._events, self._find = dict(events), find

    @classmethod
    def of_inlets(cls) -> AssetEvents:
        """Asks the engine for the events of an asset when they are wanted."""

        def find(uri: str) -> list[Any]:
            task = running_task()
            found = task.ask("asset_events", uris=[uri]) if task else None
            return events_by_uri(found).get(uri, [])

        return cls({}, find)

    def __getitem__(self, asset: object) -> list[Any]:
        uri = uri_of(asset)
        if uri not in self._events and self._find is not None:
            self._events[uri] = self._find(uri)
        return self._events[uri]

    def __iter__(self) -> Iterator[str]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<events of {', '.join(self._events) or 'no asset'}>"


def events_by_uri(found: Any) -> AssetEvents:
    """The engine's answer, a list of events or lists by URI, as what tasks see."""
    events: dict[str, list[Any]] = {}
    if isinstance(found, Mapping):
        events = {str(uri): [_event(e) for e in several] for uri, several in found.items()}
    else:
        for facts in found or ():
            events.setdefault(str(facts.get("uri", "")), []).append(_event(facts))
    return AssetEvents(events)


class _Extra(dict[str, Any]):
    """What a task tells of an outlet: every change is handed on."""

    def __init__(self, uri: str) -> None:
        super().__init__()
        self._uri = uri

    def _tell(self) -> None:
        task = running_task()
        if task is not None:
            task.asset_event(self._uri, dict(self))

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._tell()

    def update(self, *given: Any, **more: Any) -> None:
        super().update(*given, **more)
        self._tell()


class OutletEvent:
    """What will be told of one outlet when the task succeeds."""

    def __init__(self, uri: str) -> None:
        self.uri, self._extra = uri, _Extra(uri)

    @property
    def extra(self) -> dict[str, Any]:
        return self._extra

    @extra.setter
    def extra(self, facts: Mapping[str, Any]) -> None:
        self._extra.clear()
        self._extra.update(facts)

    def add(self, asset: object = None, extra: Mapping[str, Any] | None = None) -> None:
        """Tell more of the outlet; Airflow's name."""
        self._extra.update(dict(extra or {}))


class OutletEvents(dict[str, OutletEvent]):
    """`outlet_events[asset].extra["rows"] = 7`: facts that ride on the asset's event."""

    def __getitem__(self, asset: object) -> OutletEvent:
        return self.setdefault(uri_of(asset), OutletEvent(uri_of(asset)))
