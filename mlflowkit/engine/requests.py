"""From a DAG that the store holds to the run that is asked for. Plain data; reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from mlflowkit.core import planner
from mlflowkit.core.planner import Plan
from mlflowkit.core.timetable import DataInterval, Timetable, is_custom, timetable_from_json
from mlflowkit.ports import RunRequest
from mlflowkit.store.published import Published


def timetable_of(one: Published) -> Timetable:
    """When its runs start."""
    return timetable_from_json(one.spec.timetable_json)


def plan_of(one: Published) -> Plan:
    """What the planner must know of it."""
    return Plan.of(one.spec, last=one.last, since=one.seen_at)


def request_of(one: Published, run_type: str) -> RunRequest:
    """A run of it, with its own parameters."""
    return RunRequest(
        dag_id=one.dag_id,
        spec_json=one.spec_json,
        bundle=one.bundle,
        params_json=one.params_json,
        surroundings=one.surroundings,
        run_type=run_type,
    )


def with_params(request: RunRequest, given: Mapping[str, Any]) -> RunRequest:
    """The run's own parameters in place of the defaults."""
    usual: dict[str, Any] = msgspec.json.decode(request.params_json)
    return replace(request, params_json=msgspec.json.encode({**usual, **given}))


def manual_interval_of(one: Published, moment: datetime) -> tuple[datetime, datetime]:
    """The data interval of a run that a person starts at a moment."""
    timetable = timetable_of(one)
    if is_custom(timetable):
        return moment, moment
    found: DataInterval = planner.manual_interval(timetable, moment)
    return found.start, found.end
