"""Loading a folder of pipeline files: every DAG in it as plain data, and every error.

The files are loaded in processes of their own; a file that fails, hangs or dies costs only
itself. What has not changed since the last time is not loaded again.

Never runs a person's code in this process: `mlflowkit.load_folder` does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from mlflowkit.authoring.folder_cache import (
    DagEntry,
    ErrorEntry,
    FileEntry,
    FolderCache,
    Freshness,
    sha256,
)
from mlflowkit.authoring.folder_files import Candidate, candidates
from mlflowkit.authoring.folder_workers import load_files
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import DagIdTwice


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDag:
    """A DAG of a folder, as plain data."""

    dag_id: str
    file: str
    #: What `DagSpec` is read from.
    spec_json: bytes
    #: The folder of its bundle in the home, and what its code is found with.
    bundle: str
    sys_path: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    #: Its `is_paused_upon_creation`.
    paused: bool | None = None

    def spec(self) -> DagSpec:
        return msgspec.json.decode(self.spec_json, type=DagSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReport:
    """What a folder defines."""

    folder: str
    #: What came of each file, by path in order. An error does not touch other files.
    files: tuple[FileEntry, ...]
    #: How many of them were taken from the last time, without loading them.
    unchanged: int
    #: Bundles lie in its `bundles` folder.
    home: str = ""

    @property
    def dags(self) -> list[LoadedDag]:
        return [
            LoadedDag(
                dag_id=dag.dag_id,
                file=entry.path,
                spec_json=bytes(dag.spec),
                bundle=f"{self.home}/bundles/{dag.bundle}",
                sys_path=entry.sys_path,
                notes=dag.notes,
                paused=dag.paused,
            )
            for entry in self.files
            for dag in entry.dags
        ]

    @property
    def errors(self) -> list[ErrorEntry]:
        return [error for entry in self.files for error in entry.errors]


def load_folder(
    folder: Path,
    home: Path,
    *,
    timeout: timedelta | None = None,
    processes: int | None = None,
    refresh: bool = False,
    airflow: bool = False,
) -> FolderReport:
    """All DAGs of the pipeline files below `folder`, and all errors.

    Args:
        home: Has the cache, and takes the bundles.
        timeout: Most time that one file may take; the setting `dag_import_timeout` if None.
        processes: How many load files at once; the number of cores if None.
        refresh: Load every file, whether it has changed or not.
        airflow: Files that import Airflow are run as files for Airflow, and `.airflowignore`
            counts, too.

    Raises:
        PipelineMissing: there is no such folder.
        BadIgnoreFile: an ignore file cannot be read.
    """
    return _load(
        Path(os.path.realpath(folder)),
        candidates(folder, airflow=airflow),
        home,
        timeout=timeout,
        processes=processes,
        refresh=refresh,
        airflow=airflow,
    )


def load_file(
    file: Path, home: Path, *, timeout: timedelta | None = None, refresh: bool = False
) -> FolderReport:
    """The same for one file, whatever words it has and whatever is ignored."""
    path = os.path.realpath(file)
    found = Candidate(path, Path(path).read_bytes())
    parent = Path(path).parent
    return _load(
        parent, [found], home, timeout=timeout, processes=1, refresh=refresh, whole=False
    )


def _load(
    folder: Path,
    found: list[Candidate],
    home: Path,
    *,
    timeout: timedelta | None,
    processes: int | None,
    refresh: bool,
    whole: bool = True,
    airflow: bool = False,
) -> FolderReport:
    cache = FolderCache(folder, home, airflow=airflow)
    kept = {} if refresh and whole else cache.read()
    holds = Freshness(home, time.time()).holds
    hashes = {c.path: sha256(c.content) for c in found if c.content is not None}
    entries: dict[str, FileEntry] = {
        c.path: _unreadable(c) for c in found if c.content is None
    }
    for path, digest in hashes.items():
        known = None if refresh else kept.get(path)
        if known is not None and holds(known, digest):
            entries[path] = known
    unchanged = sum(path in hashes for path in entries)
    missing = {path: digest for path, digest in hashes.items() if path not in entries}
    if missing:
        limit = _limit(timeout)
        fresh = load_files(missing, str(folder), home, limit, processes, airflow)
        entries |= {entry.path: entry for entry in fresh}
    if missing or (whole and kept.keys() != entries.keys()):
        cache.write((entries if whole else {**kept, **entries}).values())
    files = _without_doubles(entries[path] for path in sorted(entries))
    return FolderReport(
        folder=str(folder), files=tuple(files), unchanged=unchanged, home=str(home)
    )


def _limit(timeout: timedelta | None) -> float:
    if timeout is not None:
        return timeout.total_seconds()
    from mlflowkit.settings import settings

    return settings().dag_import_timeout.total_seconds()


def _unreadable(found: Candidate) -> FileEntry:
    error = ErrorEntry(file=found.path, code="pipeline_missing", error=found.why)
    return FileEntry(path=found.path, errors=(error,))


def _without_doubles(entries: Iterable[FileEntry]) -> Iterable[FileEntry]:
    """Of two files with the same DAG, the first by path counts; the other says so."""
    owners: dict[str, str] = {}
    for entry in entries:
        kept: list[DagEntry] = []
        errors = list(entry.errors)
        for dag in entry.dags:
            owner = owners.setdefault(dag.dag_id, entry.path)
            if owner == entry.path:
                kept.append(dag)
            else:
                errors.append(_twice(dag.dag_id, entry.path, owner))
        yield msgspec.structs.replace(entry, dags=tuple(kept), errors=tuple(errors))


def _twice(dag_id: str, path: str, first: str) -> ErrorEntry:
    error = DagIdTwice(dag_id, path, first)
    return ErrorEntry(file=path, code=error.code, error=error.problem, dag_id=dag_id)
