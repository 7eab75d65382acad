"""Bundles: the code of one DAG version, in a folder that is named by what it holds.

    home/bundles/<id>/bundle.json       the spec, and where everything in here comes from
                      payload.pkl       {task id: packed operator}
                      sources/<sha256>  files of local modules, cells and notebooks

The id is a hash of sources and captured values, never of pickle bytes: the same code has
the same id in every process. A bundle is written once, whole, and never changed.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import pickle
import platform
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]
import msgspec

import mlflowkit
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.loaded import loaded_of_ours
from mlflowkit.authoring.modules import LocalModules
from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.option_values import Callback
from mlflowkit.authoring.options import OWN_ATTRIBUTES
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.authoring.renewed import renewed
from mlflowkit.authoring.snapshots import notebook_digest
from mlflowkit.authoring.survey import Survey
from mlflowkit.authoring.template import TemplateSettings
from mlflowkit.authoring.template_survey import TemplateSurvey
from mlflowkit.authoring.travel import TAKE_APART_ERRORS, packed
from mlflowkit.core.spec import DagSpec, TaskId
from mlflowkit.errors import CannotTravel, HomeUnwritable

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The stored code of a DAG version."""

    id: str
    folder: Path
    #: The DAG, each task with its fingerprint.
    spec: DagSpec
    #: What a person should know: which tasks run newer code than when the DAG was written.
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Contents:
    """Everything that goes into a bundle."""

    modules: LocalModules = field(default_factory=LocalModules)
    tasks: dict[str, BaseOperator] = field(default_factory=dict[str, BaseOperator])
    fingerprints: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    #: Source texts of cells and scripts, by the file name in their code.
    sources: dict[str, str] = field(default_factory=dict[str, str])
    notebooks: dict[str, bytes] = field(default_factory=dict[str, bytes])
    #: Texts of template files, by name.
    templates: dict[str, str] = field(default_factory=dict[str, str])
    #: What the DAG says of its templates; None where no task has any.
    settings: TemplateSettings | None = None
    #: What is called at the end of a run.
    callbacks: dict[str, list[Callback]] = field(default_factory=dict[str, list[Callback]])
    #: A timetable that is code of a person.
    timetable: object = None
    #: Whose names and meaning the file has: {"airflow": 2}.
    compat: Mapping[str, int] = field(default_factory=dict[str, int])
    lines: list[str] = field(default_factory=list[str])


def make_bundle(dag: DAG, home: Path) -> Bundle:
    """Store the code of a DAG as it is now. The same code twice is one folder.

    Raises:
        CannotTravel, CapturedTooLarge: a task uses something that cannot be sent.
        GraphError, ParameterError: the DAG does not fit together (any more).
        HomeUnwritable: its code cannot be written there.
    """
    spec = dag.spec()
    contents = _Contents()
    mine = TemplateSurvey(dag, contents)
    contents.notes += [
        f"{name} has .partial(), but was never mapped by .expand(): it is no task of the DAG"
        for name in sorted(dag.partials)
    ]
    for task in dag.tasks:
        _take_in(contents, task, mine)
    contents.callbacks = dag.callbacks
    contents.compat = dag.compat
    contents.lines += [f"{name}={version}" for name, version in dag.compat.items()]
    _take_in_callbacks(contents, f"DAG {dag.dag_id}", dag.callbacks)
    _take_in_timetable(contents, dag)
    spec = _with_fingerprints(spec, contents.fingerprints)
    bundle_id = _id_of(spec, contents)
    folder = home / "bundles" / bundle_id
    if not folder.exists():
        try:
            _write(folder, spec, contents)
        except OSError as exc:  # the disk is full, for one
            raise HomeUnwritable(home, exc.strerror or str(exc)) from exc
    return Bundle(id=bundle_id, folder=folder, spec=spec, notes=tuple(contents.notes))


def _take_in(contents: _Contents, task: BaseOperator, macros: TemplateSurvey) -> None:
    current, note = renewed(task)
    if note:
        contents.notes.append(note)
    survey = Survey(task.task_id, contents.modules, contents.sources)
    survey.walk(type(current))
    if isinstance(current, PythonOperator):
        survey.walk(current.python_callable)
    for name, value in _state_of(current).items():
        survey.walk(value, f"its argument {name}")
    for name, call in vars(current)["_hooks"].items():
        survey.walk(call, name)
    fingerprint = macros.fingerprint(current, survey.digest())
    if isinstance(current, NotebookOperator) and not current.folder:
        content = Path(current.path).read_bytes()
        contents.notebooks[current.path] = content
        fingerprint = _sha(f"{fingerprint} {notebook_digest(content)}".encode())
    contents.fingerprints[task.task_id] = fingerprint
    contents.lines.append(survey.lines.hexdigest())
    contents.tasks[task.task_id] = current
    _take_in_callbacks(contents, task.task_id, current.callbacks)


def _take_in_timetable(contents: _Contents, dag: DAG) -> None:
    if dag.own_timetable is None:
        return
    contents.timetable = dag.own_timetable
    survey = Survey(f"DAG {dag.dag_id}", contents.modules, contents.sources)
    survey.walk(dag.own_timetable, "its timetable")
    contents.lines += [survey.digest(), survey.lines.hexdigest()]


def _take_in_callbacks(
    contents: _Contents, owner: str, callbacks: Mapping[str, list[Callback]]
) -> None:
    """Callbacks travel, but are no part of what a task does."""
    if callbacks:
        survey = Survey(owner, contents.modules, contents.sources)
        for kind, calls in callbacks.items():
            survey.walk(calls, f"on_{kind}_callback")
        contents.lines += [survey.digest(), survey.lines.hexdigest()]


def _state_of(task: BaseOperator) -> dict[str, Any]:
    """What it was given to do, without what the spec says already."""
    own = (OWN_ATTRIBUTES - {"task_id", "do_xcom_push"}) | {"python_callable"}
    state: dict[str, Any] = task.__getstate__()
    flat = {k: v for k, v in state.items() if k not in own and k[0] != "_"}
    for name in ("op_kwargs", "parameters", "axes", "group_axes"):
        value = flat.get(name)
        if isinstance(value, Mapping):  # an operator may call something else so, too
            flat |= {f"{name}.{k}": v for k, v in flat.pop(name).items()}
    return flat


def _with_fingerprints(spec: DagSpec, found: Mapping[str, str]) -> DagSpec:
    tasks = {
        TaskId(name): replace(task, fingerprint=found[name])
        for name, task in spec.tasks.items()
    }
    return replace(spec, tasks=tasks)


def _id_of(spec: DagSpec, contents: _Contents) -> str:
    whole = hashlib.sha256(spec_json(replace(spec, origin="")))
    for version in (str(FORMAT), platform.python_version(), cloudpickle.__version__):
        whole.update(version.encode())
    for name in sorted(contents.modules.found):
        module = contents.modules.found[name]
        whole.update(f"{name} {module.path} {module.digest}\n".encode())
    for line in contents.lines:
        whole.update(line.encode())
    return whole.hexdigest()[:32]


def spec_json(spec: DagSpec) -> bytes:
    """The spec as JSON: what `msgspec.json.decode(..., type=DagSpec)` reads."""
    return msgspec.json.encode(spec)


# ── writing ──


def _write(folder: Path, spec: DagSpec, contents: _Contents) -> None:
    payload = {name: _packed(contents, name) for name in contents.tasks}
    temporary = folder.parent / f".new-{uuid.uuid4().hex}"
    sources = temporary / "sources"
    sources.mkdir(parents=True)
    try:
        facts = _facts(spec, contents, sources)
        (temporary / "bundle.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(facts))
        )
        (temporary / "payload.pkl").write_bytes(pickle.dumps(payload))
        if contents.settings is not None:
            settings = _packed_settings(contents, spec.dag_id)
            (temporary / "templates.pkl").write_bytes(settings)
        if contents.timetable is not None:
            timetable = _packed_timetable(contents, spec.dag_id)
            (temporary / "timetable.pkl").write_bytes(timetable)
        if contents.callbacks:
            calls = _packed_callbacks(contents, spec.dag_id)
            (temporary / "callbacks.pkl").write_bytes(calls)
        temporary.rename(folder)
    except FileExistsError:
        pass  # somebody else stored the same code in the meantime
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _packed(contents: _Contents, task_id: str) -> bytes:
    try:
        return packed(contents.tasks[task_id], contents.modules)
    except TAKE_APART_ERRORS as exc:
        kind = type(contents.tasks[task_id]).__name__
        raise CannotTravel(task_id, "something", f"part of its {kind}", str(exc)) from exc


def _packed_timetable(contents: _Contents, dag_id: str) -> bytes:
    """A timetable of a person, packed. Workers ask it, never an engine."""
    try:
        return packed(contents.timetable, contents.modules)
    except TAKE_APART_ERRORS as exc:
        raise CannotTravel(dag_id, "its timetable", "part of the DAG", str(exc)) from exc


def _packed_callbacks(contents: _Contents, dag_id: str) -> bytes:
    """What is called at the end of a run, packed. Workers call it, never an engine."""
    try:
        return packed(contents.callbacks, contents.modules)
    except TAKE_APART_ERRORS as exc:
        raise CannotTravel(dag_id, "a callback", "part of its options", str(exc)) from exc


def _packed_settings(contents: _Contents, dag_id: str) -> bytes:
    """What templates need, packed. They are rendered in workers, never in an engine."""
    try:
        return packed(contents.settings, contents.modules)
    except TAKE_APART_ERRORS as exc:
        what = "user_defined_macros or user_defined_filters"
        raise CannotTravel(dag_id, what, "part of its templates", str(exc)) from exc


def _facts(spec: DagSpec, contents: _Contents, sources: Path) -> dict[str, Any]:
    def answered(name: str) -> bool:
        return name.partition(".")[0] in contents.compat

    modules = {
        module.name: {
            "path": str(module.path),
            "sha256": _store(sources, module.source, ".py"),
            "package": module.package,
        }
        for module in contents.modules.found.values()
    }
    cells = {
        name: _store(sources, text.encode(errors="surrogatepass"), ".py")
        for name, text in contents.sources.items()
        if text
    }
    notebooks: dict[str, str] = {}
    for path, content in contents.notebooks.items():
        digest = _sha(content)
        place = sources / digest / Path(path).name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        notebooks[path] = f"sources/{digest}/{place.name}"
    return {
        "format": FORMAT,
        "spec": msgspec.Raw(spec_json(spec)),
        "modules": modules,
        "cells": cells,
        "notebooks": notebooks,
        "templates": None
        if contents.settings is None
        else {
            name: _store(sources, text.encode(), ".txt")
            for name, text in contents.templates.items()
        },
        "ours": loaded_of_ours(),
        "imports": [n for n in sorted(contents.modules.installed) if not answered(n)],
        "compat": dict(contents.compat),
        "origin": spec.origin,
        "python": platform.python_version(),
        "executable": sys.executable,
        "created_by": f"{_user()} with mlflowkit {mlflowkit.__version__}",
    }


def _store(sources: Path, content: bytes, suffix: str) -> str:
    digest = _sha(content)
    (sources / f"{digest}{suffix}").write_bytes(content)
    return digest


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return str(os.getuid())
