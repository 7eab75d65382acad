"""`mlflowkit dags lint`: looks for what makes pipelines slow, stale or wrong.

The files are read as text, and loaded in processes of their own for what only a loaded DAG
says. No task runs. Each rule would rather miss something than be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mlflowkit.authoring.folder import FolderReport, load_file, load_folder
from mlflowkit.authoring.folder_cache import ErrorEntry, FileEntry
from mlflowkit.authoring.lint_dags import about_dag, asset_circles
from mlflowkit.authoring.lint_load import (
    Spot,
    heavy_imports,
    long_loops,
    moving_start_dates,
    outside_calls,
    secrets,
)
from mlflowkit.authoring.lint_rules import Finding, checked_rules, finding
from mlflowkit.authoring.lint_source import Source, read_source
from mlflowkit.authoring.lint_tasks import (
    fixed_outputs,
    long_tasks,
    old_names,
    unsafe_retries,
    unused_params,
)
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import PipelineMissing

#: How long a file may take to load.
SLOW_SECONDS: Final = 1.0
_OF_TEXT: Final = (
    heavy_imports,
    outside_calls,
    long_loops,
    moving_start_dates,
    secrets,
    long_tasks,
    unused_params,
    old_names,
)
_OF_BOTH: Final = (fixed_outputs, unsafe_retries)


def lint(
    place: Path, home: Path, *, ignore: Iterable[str] = (), refresh: bool = False
) -> list[Finding]:
    """What the rules find in a file, or in all files of a folder, by file and line.

    Raises:
        UnknownRule: `ignore` names a rule that there is not.
        PipelineMissing: there is no such file or folder.
    """
    left_out = checked_rules(ignore)
    if place.is_dir():
        report = load_folder(place, home, refresh=refresh)
    elif place.is_file():
        report = load_file(place, home, refresh=refresh)
    else:
        raise PipelineMissing(str(place), "does not exist")
    found = {one for one in _findings(report) if one.rule not in left_out}
    return sorted(found)


def _findings(report: FolderReport) -> Iterator[Finding]:
    specs = {dag.dag_id: dag.spec() for dag in report.dags}
    sources: dict[str, Source] = {}
    for entry in report.files:
        for error in entry.errors:
            yield _not_loaded(error)
        source = read_source(entry.path)
        if source is None:
            continue
        sources[entry.path] = source
        yield from _of_file(source, entry, [specs[dag.dag_id] for dag in entry.dags])
    yield from _circles(report, specs, sources)


def _of_file(source: Source, entry: FileEntry, dags: list[DagSpec]) -> Iterator[Finding]:
    spots = [one for rule in _OF_TEXT for one in rule(source)]
    spots += [one for rule in _OF_BOTH for one in rule(source, dags)]
    if entry.seconds > SLOW_SECONDS:
        spots.append(Spot("slow-load", 1, 1, f"it took {entry.seconds:.1f} s to load"))
    now = datetime.now(UTC)
    for dag in dags:
        line = _line_of(source, dag.dag_id)
        spots += [Spot(rule, line, line, what) for rule, what in about_dag(dag, now)]
    for one in spots:
        yield from _unless_ignored(source, one)


def _unless_ignored(source: Source, one: Spot) -> Iterator[Finding]:
    if not source.ignored(one.rule, one.first, one.last):
        file, line = source.place(one.first)
        yield finding(one.rule, file, line, one.what, one.todo)


def _line_of(source: Source, dag_id: str) -> int:
    """Where a DAG is written out, or the first of the file's if its id is worked out."""
    lines = {name: line for name, _, line in reversed(source.dag_calls)}
    return lines.get(dag_id, min(lines.values(), default=1))


def _not_loaded(error: ErrorEntry) -> Finding:
    what = f"DAG {error.dag_id!r}: {error.error}" if error.dag_id else error.error
    return finding("not-loaded", error.where or error.file, error.line or 0, what)


def _circles(
    report: FolderReport, specs: dict[str, DagSpec], sources: dict[str, Source]
) -> Iterator[Finding]:
    files = {dag.dag_id: dag.file for dag in report.dags}
    for path in asset_circles(specs):
        source = sources.get(files[path[0]])
        if source is not None:
            line = _line_of(source, path[0])
            what = f"DAGs start one another by assets: {' >> '.join(path)}"
            yield from _unless_ignored(source, Spot("asset-cycle", line, line, what))
