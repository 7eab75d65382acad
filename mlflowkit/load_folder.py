"""Loads the pipeline files of a folder, and writes one JSON line for each.

    python -m mlflowkit.load_folder FOLDER [--home HOME] [--refresh] [--airflow]

A line is a `FileEntry` (authoring/folder_cache.py): the file's DAGs, each with its spec and
the name of its bundle, and its errors. The last line is `{"folder": …, "home": …, "files":
n, "unchanged": n}`. Exit status: 0, also with errors in files; 2 for a folder that is none.

With `--worker` it is one of the processes that do it: a person's code runs here.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import re
import sys
import time
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
)
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from mlflowkit.authoring.folder_cache import DagEntry, ErrorEntry, FileEntry, hash_of_file
from mlflowkit.authoring.folder_inputs import (
    absent_places,
    changed_since,
    files_of,
    local_modules,
)
from mlflowkit.late_imports import put_off

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.folder_workers import LoadOrder


def main(arguments: list[str]) -> int:
    """Load a folder, or be one of its workers."""
    put_off()
    if arguments == ["--worker"]:
        work()
    parser = argparse.ArgumentParser(prog="python -m mlflowkit.load_folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--airflow", action="store_true")
    given = parser.parse_args(arguments)
    return _load(given)


def _load(given: argparse.Namespace) -> int:
    from mlflowkit.authoring.folder import load_folder
    from mlflowkit.errors import UserError
    from mlflowkit.settings import home

    try:
        report = load_folder(
            given.folder,
            (given.home or home()).resolve(),
            refresh=given.refresh,
            airflow=given.airflow,
        )
    except UserError as exc:
        sys.stderr.write(f"mlflowkit: {exc}\n")
        return 2
    out = sys.stdout.buffer
    for entry in report.files:
        out.write(msgspec.json.encode(entry) + b"\n")
    last = {"folder": report.folder, "home": report.home}
    counts = {"files": len(report.files), "unchanged": report.unchanged}
    out.write(msgspec.json.encode({**last, **counts}) + b"\n")
    out.flush()
    return 0


# ── one of the workers ──


def work() -> None:
    """Load the files that are named on standard input, until it ends. Does not return.

    What the files print goes nowhere; standard input is empty for them.
    """
    from mlflowkit.authoring.folder_workers import LoadOrder

    orders, answers, last_words = _private_pipes()
    mine = os.getpid()
    sys.path_hooks.insert(0, _always_from_source)
    loader = _Loader()
    for line in orders:
        order = msgspec.json.decode(line, type=LoadOrder)
        faulthandler.enable(last_words)
        faulthandler.dump_traceback_later(order.timeout_seconds, exit=True, file=last_words)
        entry = loader.load(order)
        faulthandler.cancel_dump_traceback_later()
        if os.getpid() != mine:
            break  # the file has forked, and this is the other one
        answers.write(msgspec.json.encode(entry) + b"\n")
        answers.flush()
    os._exit(0)  # threads that a file has started do not matter


def _private_pipes() -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    """Our ends of the pipes, out of reach of what prints and reads."""
    made = (
        os.fdopen(os.dup(0), "rb"),
        os.fdopen(os.dup(1), "wb"),
        os.fdopen(os.dup(2), "wb"),
    )
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return made


def _always_from_source(path: str) -> FileFinder:
    """A person's own modules are compiled anew: a compiled one may be older than its source
    by an edit within the same second."""
    from mlflowkit.authoring.loader import FreshLoader
    from mlflowkit.authoring.modules import is_local_file

    is_ours = path.startswith(os.path.dirname(__file__))
    is_local = not is_ours and is_local_file(os.path.join(path, "module.py"))
    if not is_local or not os.path.isdir(path):
        raise ImportError(path)
    loaders = [(ExtensionFileLoader, EXTENSION_SUFFIXES), (FreshLoader, SOURCE_SUFFIXES)]
    return FileFinder(path, *loaders)


class _Loader:
    """Loads one file after the other, each as if it were the first."""

    def __init__(self) -> None:
        import mlflowkit.handles.request  # so that no file pays for it

        del mlflowkit
        self._path, self._cwd = [p for p in sys.path if p], os.getcwd()
        self._environ = dict(os.environ)

    def load(self, order: LoadOrder) -> FileEntry:
        known = frozenset(sys.modules)
        started = time.time()
        search = list(dict.fromkeys([os.path.dirname(order.path), order.folder]))
        sys.path[:] = [*search, *(p for p in self._path if p not in search)]
        sys.argv[:] = [order.path]
        try:
            entry = self._loaded(order, known)
        finally:
            self._clean_up(known)
        touched = [p for p in entry.made_of if changed_since(p, started)]
        return msgspec.structs.replace(
            entry,
            sha256="" if touched else order.sha256,
            sys_path=tuple(search),
            absent=absent_places([order.path, *entry.made_of], search),
        )

    def _loaded(self, order: LoadOrder, known: frozenset[str]) -> FileEntry:
        before = time.perf_counter()
        dags, error = _dags_of(order.path, order.airflow)
        seconds = time.perf_counter() - before
        errors = [error] if error else []
        stored: list[DagEntry] = []
        made_of = {path for _, path in local_modules(known) if path}
        for dag in dags:
            one = _stored(order, dag)
            if isinstance(one, DagEntry):
                stored.append(one)
                made_of |= files_of(dag, Path(order.home, "bundles", one.bundle))
            else:
                errors.append(one)
        made_of.discard(order.path)
        return FileEntry(
            path=order.path,
            seconds=round(seconds, 4),
            dags=tuple(stored),
            errors=tuple(errors),
            made_of={path: hash_of_file(path) for path in sorted(made_of)},
        )

    def _clean_up(self, known: frozenset[str]) -> None:
        compat: Any = sys.modules.get("mlflowkit.compat.airflow.finder")
        if compat is not None:
            compat.stop_answering()
        for name, _ in list(local_modules(known)):
            del sys.modules[name]
        if os.environ != self._environ:
            os.environ.clear()
            os.environ.update(self._environ)
        os.chdir(self._cwd)
        importlib.invalidate_caches()


def _dags_of(path: str, airflow: bool) -> tuple[list[DAG], ErrorEntry | None]:
    """The DAGs of a file, or why there are none. A file without DAGs is no error."""
    from mlflowkit.authoring.loader import load_dags
    from mlflowkit.errors import NoDagInFile, UserError

    try:
        if airflow and imports_airflow(path):
            return _for_airflow(path), None
        return load_dags(path), None
    except NoDagInFile:
        return [], None
    except (UserError, KeyboardInterrupt) as exc:
        return [], error_entry(path, exc)


def imports_airflow(path: str) -> bool:
    """Whether a file says that it is one for Airflow."""
    content = Path(path).read_bytes()
    return re.search(rb"^\s*(import|from) airflow\b", content, re.MULTILINE) is not None


def _for_airflow(path: str) -> list[DAG]:
    """Its DAGs; from now on, until it is cleaned up, `airflow` is answered as it wants it."""
    from mlflowkit.compat import airflow

    dags = airflow.load_dags(path)
    airflow.answer(dags[0].compat.get("airflow"))
    return dags


def _stored(order: LoadOrder, dag: DAG) -> DagEntry | ErrorEntry:
    from mlflowkit.authoring.bundle import spec_json
    from mlflowkit.authoring.check import check_dag
    from mlflowkit.errors import UserError
    from mlflowkit.handles.request import stored_dag

    try:
        check_dag(dag)
        bundle, spec = stored_dag(dag, Path(order.home))
    except UserError as exc:
        return error_entry(order.path, exc, dag.dag_id)
    return DagEntry(
        dag_id=dag.dag_id,
        bundle=bundle.id,
        spec=msgspec.Raw(spec_json(spec)),
        notes=bundle.notes,
        paused=dag.is_paused_upon_creation,
    )


def error_entry(path: str, exc: BaseException, dag_id: str = "") -> ErrorEntry:
    """An error as plain data, with the place in a person's code that it comes from."""
    from mlflowkit.authoring.loader import persons_frames

    frames = persons_frames(exc.__traceback__)
    last = frames[-1] if frames and not dag_id else None
    facts: Any = exc
    named = getattr(facts, "path", "")  # of a cycle, these are its tasks
    named = named if isinstance(named, str | Path) else ""
    where = named or (last.filename if last else path)
    line = getattr(facts, "line", None) or (last.lineno if last else None)
    if line is None:
        line = _line_of_dag(path, dag_id or str(getattr(facts, "dag_id", "")))
    said = str(getattr(facts, "problem", "") or exc or type(exc).__name__)
    return ErrorEntry(
        file=path,
        where="" if where == path else str(where),
        line=line,
        code=getattr(facts, "code", "pipeline_broken"),
        error="\n".join([said, *getattr(exc, "__notes__", ())]),
        dag_id=dag_id,
        trace=getattr(facts, "trace", ""),
    )


def _line_of_dag(path: str, dag_id: str) -> int | None:
    """Where a DAG is written out, if its id is."""
    from mlflowkit.authoring.lint_source import read_source

    source = read_source(path) if dag_id and path.endswith(".py") else None
    lines = {name: line for name, _, line in source.dag_calls} if source else {}
    return lines.get(dag_id)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
