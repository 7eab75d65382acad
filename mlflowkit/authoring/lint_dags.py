"""Lint rules about DAGs as they were loaded, one by one and all together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from mlflowkit.core.spec import DagSpec

MOST_TASKS: Final = 200
MOST_RUNS: Final = 1000
#: DAGs that are small enough for a task to stand alone.
_SMALL: Final = 3

#: A rule and what it found in a DAG.
Said = tuple[str, str]


def about_dag(spec: DagSpec, now: datetime) -> Iterator[Said]:
    """no-start-date, endless-catchup, too-many-tasks, lone-task"""
    period = period_of(spec)
    if period is not None and spec.start_date is None:
        yield "no-start-date", f"DAG {spec.dag_id} runs {spec.schedule!r} from no date on"
    if period is not None and _is_flood(spec, period, now):
        since = spec.start_date.date() if spec.start_date else ""
        yield "endless-catchup", f"DAG {spec.dag_id} catches up on all runs since {since}"
    if len(spec.tasks) > MOST_TASKS:
        yield "too-many-tasks", f"DAG {spec.dag_id} has {len(spec.tasks)} tasks"
    if len(spec.tasks) >= _SMALL:
        for name, task in spec.tasks.items():
            if not task.upstream and not spec.downstream(name):
                yield "lone-task", f"task {name} of DAG {spec.dag_id} is joined to no other"


def _is_flood(spec: DagSpec, period: timedelta, now: datetime) -> bool:
    if not spec.catchup or spec.end_date or spec.max_active_runs or not spec.start_date:
        return False
    return (now - spec.start_date) / period > MOST_RUNS


def period_of(spec: DagSpec) -> timedelta | None:
    """About how often a schedule by time comes; None for one that is not by time."""
    timetable: Any = json.loads(spec.timetable_json or "{}")
    if isinstance(timetable.get("delta"), dict):
        return _span(timetable["delta"].get("relative", timetable["delta"]))
    return _cron_period(str(timetable.get("cron") or spec.schedule or ""))


def _span(delta: Mapping[str, Any]) -> timedelta | None:
    days = {"years": 365, "months": 30, "weeks": 7, "days": 1}
    whole = sum(int(delta.get(name) or 0) * count for name, count in days.items())
    parts = ("hours", "minutes", "seconds", "microseconds")
    rest = {name: int(delta.get(name) or 0) for name in parts}
    return timedelta(days=whole, **rest) or None


def _cron_period(cron: str) -> timedelta | None:
    from croniter import croniter

    try:
        times = croniter(cron, datetime(2024, 1, 1, tzinfo=UTC))
        first = times.get_next(datetime)
        return (times.get_next(datetime) - first) or None
    except (ValueError, KeyError, AttributeError):
        return None


def asset_circles(dags: Mapping[str, DagSpec]) -> Iterator[tuple[str, ...]]:
    """DAGs that start one another: each circle once, as ids that come back to the first."""
    starts = asset_arrows(dags)
    reported: set[frozenset[str]] = set()
    for dag_id in sorted(starts):
        path = _way_back(dag_id, starts)
        if path and frozenset(path) not in reported:
            reported.add(frozenset(path))
            yield (*path, dag_id)


def asset_arrows(dags: Mapping[str, DagSpec]) -> dict[str, set[str]]:
    """For each DAG, those that it starts by updating an asset."""
    makers: dict[str, set[str]] = {}
    for dag_id, spec in dags.items():
        for task in spec.tasks.values():
            for uri in task.outlets:
                makers.setdefault(uri, set()).add(dag_id)
    found: dict[str, set[str]] = {}
    for dag_id, spec in dags.items():
        timetable: object = json.loads(spec.timetable_json or "null")
        texts: set[str] = set(_texts(timetable))
        for uri in texts & makers.keys():
            for maker in makers[uri]:
                found.setdefault(maker, set()).add(dag_id)
    return found


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value: the URIs of a timetable's assets are among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in cast("dict[str, object]", value).values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _texts(item)


def _way_back(start: str, starts: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The shortest way from a DAG to itself; empty if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for following in sorted(starts.get(way[-1], ())):
            if following == start:
                return way
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()
