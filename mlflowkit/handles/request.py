"""From a DAG in a person's hands to the plain data that an engine takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.authoring.bundle import Bundle, make_bundle, spec_json
from mlflowkit.authoring.companions import companions
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.params import default_params, validate_params
from mlflowkit.authoring.schedule import aware, schedule_zone
from mlflowkit.core.planner import manual_interval
from mlflowkit.core.spec import DagSpec, TaskSpec
from mlflowkit.core.timetable import timetable_from_json
from mlflowkit.core.timetable.zones import plain
from mlflowkit.core.values import INLINE_LIMIT, StoredValue
from mlflowkit.errors import ShapeChanged
from mlflowkit.nbrun.injection import is_plain
from mlflowkit.ports import STORED, RunRequest, Surroundings
from mlflowkit.settings import settings
from mlflowkit.surroundings import surroundings
from mlflowkit.worker.context_sources import Sources

#: Stores a value; the second argument says where it comes from, for messages.
Dump = Callable[[object, str], StoredValue]


def apply_options(spec: DagSpec, options: Mapping[str, Any]) -> DagSpec:
    """`retries`, `retry_delay` and `refresh` of `run()`, in place of what each task says."""
    if options.get("refresh"):
        spec = replace(spec, tasks={n: _anew(t) for n, t in spec.tasks.items()})
    changes: dict[str, Any] = {}
    if options.get("retries") is not None:
        changes["retries"] = int(options["retries"])
    if options.get("retry_delay") is not None:
        delay = options["retry_delay"]
        changes["retry_delay"] = (
            delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        )
    if not changes:
        return spec
    tasks = {
        name: replace(task, retry=replace(task.retry, **changes))
        for name, task in spec.tasks.items()
    }
    return replace(spec, tasks=tasks)


def _anew(task: TaskSpec) -> TaskSpec:
    """Kept results do not count, and its own is kept for others."""
    return task if task.cache is None else replace(task, cache=timedelta())


def make_request(
    dag: DAG, params: Mapping[str, object], options: Mapping[str, Any], folder: Path
) -> RunRequest:
    """A DAG and its parameters as plain data; its code is stored as it is now.

    Raises:
        UserError: something does not fit. Nothing has run.
    """
    others = companions(dag)
    others.pop(dag.dag_id, None)
    request = _request(dag, params, options, folder)
    beside = tuple(_request(one, {}, {}, folder, strict=False) for one in others.values())
    logical, interval = moments(dag, options.get("logical_date") or datetime.now(UTC))
    return replace(request, companions=beside, logical_date=logical, data_interval=interval)


def moments(dag: DAG, logical: datetime) -> tuple[datetime, tuple[datetime, datetime]]:
    """The logical date of a run that a person starts, and the data interval it is about.

    The interval is what the DAG's timetable makes of the date: with `@daily` the day that is
    over. A person's own timetable is asked here, in that person's process.

    Raises:
        BadOption: it is no datetime.
    """
    timetable = dag.own_timetable or timetable_from_json(dag.timetable_json)
    zone = schedule_zone(dag.timezone, dag.start_date)
    given = aware(f"DAG {dag.dag_id!r}", logical, zone, option="logical_date")
    assert given is not None
    date = given.astimezone(UTC)
    found = manual_interval(timetable, Sources.shown(date) if dag.own_timetable else date)
    return date, (plain(found.start), plain(found.end))


def _request(
    dag: DAG,
    params: Mapping[str, object],
    options: Mapping[str, Any],
    folder: Path,
    *,
    strict: bool = True,
) -> RunRequest:
    """One that is not `strict` has the defaults that there are: the rest comes when it starts."""
    bundle, spec = _packed(dag, options, folder)
    given = validate_params(spec, params) if strict else default_params(spec)
    artifacts = FileArtifacts(folder / "artifacts")
    return RunRequest(
        dag_id=dag.dag_id,
        spec_json=spec_json(spec),
        bundle=str(bundle.folder),
        params_json=params_as_json(
            given, lambda value, where: serializers.dump(value, artifacts, where=where)
        ),
        surroundings=in_home(folder),
        notes=bundle.notes,
    )


def in_home(folder: Path) -> Surroundings:
    """The surroundings, with the home named: notebooks elsewhere find the same one."""
    around = surroundings()
    return replace(around, env={**around.env, "MLFLOWKIT_HOME": str(folder)})


def params_as_json(given: Mapping[str, object], dump: Dump) -> bytes:
    """Parameters as a JSON object. What JSON cannot say, a DataFrame, goes as a stored value.

    Raises:
        CannotSerialize: a value cannot travel; the message names the parameter.
    """
    found: dict[str, object] = {}
    for name, value in given.items():
        found[name] = value
        if not _is_json(value):
            stored = dump(value, f"parameter {name!r}")
            found[name] = {STORED: msgspec.to_builtins(stored)}
    return json.dumps(found).encode()


def _is_json(value: object) -> bool:
    """Whether JSON gives it back as it is, and it is small enough to ride on every order."""
    if not is_plain(value) or (isinstance(value, dict) and STORED in value):
        return False
    return len(json.dumps(value)) <= INLINE_LIMIT


def _packed(dag: DAG, options: Mapping[str, Any], folder: Path) -> tuple[Bundle, DagSpec]:
    """A DAG's code, stored as it is now, and its spec with the options of a run."""
    bundle = make_bundle(dag, folder)
    spec = apply_options(bundle.spec, options)
    limit = settings().max_map_length
    tasks = {n: _limited(t, limit) for n, t in spec.tasks.items()}
    return bundle, replace(spec, tasks=tasks)


def stored_dag(dag: DAG, folder: Path) -> tuple[Bundle, DagSpec]:
    """A DAG's code, stored in the home as it is now, and its spec as an engine takes it.

    Raises:
        UserError: something does not fit, or cannot travel.
    """
    return _packed(dag, {}, folder)


def _limited(task: TaskSpec, limit: int) -> TaskSpec:
    if task.expansion is None:
        return task
    return replace(task, expansion=replace(task.expansion, limit=limit))


def retry_code(dag: DAG, spec: DagSpec, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The latest code of a DAG, to go on with, and which tasks it changes.

    Raises:
        ShapeChanged: it has other tasks or arrows than the run.
    """
    bundle, newer = _packed(dag, {}, folder)
    shape = {t: (set(s.upstream), s.expansion is None) for t, s in spec.tasks.items()}
    if shape != {t: (set(s.upstream), s.expansion is None) for t, s in newer.tasks.items()}:
        raise ShapeChanged(dag.dag_id)
    newer = replace(
        newer,  # the options of the run stay: `run(retries=0)` means the retry, too
        tasks={n: replace(t, retry=spec.tasks[n].retry) for n, t in newer.tasks.items()},
    )
    changed = [
        str(t) for t, s in newer.tasks.items() if s.fingerprint != spec.tasks[t].fingerprint
    ]
    code = {
        "bundle": str(bundle.folder),
        "spec_json": msgspec.to_builtins(spec_json(newer)),
        "surroundings": msgspec.to_builtins(in_home(folder)),
    }
    return code, changed
