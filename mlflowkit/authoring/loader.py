"""Pipeline files and notebooks: loading one as a module, and finding the DAGs in it."""

from __future__ import annotations

import hashlib
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, TracebackType

from mlflowkit.authoring import opened
from mlflowkit.authoring.cells import Cell, dag_cells
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.dag_function import uncalled
from mlflowkit.errors import (
    DagNotInFile,
    DuplicateDagId,
    NoDagInFile,
    PipelineBroken,
    PipelineMissing,
    RunWhileLoading,
    SeveralDags,
    UserError,
)

_OURS = str(Path(__file__).resolve().parent.parent)
#: What a pipeline file may be.
SUFFIXES = (".py", ".ipynb")


def load_dag(where: str, dag_id: str | None = None) -> DAG:
    """The DAG of `FILE` or `FILE:DAG`.

    Raises:
        SeveralDags: the file defines several, and none was named.
        GraphError: as `load_dags`.
    """
    path, name = split_name(where)
    found = load_dags(path, dag_id or name)
    if len(found) > 1:
        raise SeveralDags(path, [dag.dag_id for dag in found])
    return found[0]


def load_dags(path: str | Path, dag_id: str | None = None) -> list[DAG]:
    """The DAGs that a pipeline file or notebook defines, or the one of that id. Runs it.

    Raises:
        PipelineMissing: there is no such file.
        PipelineBroken: its own code fails; the message has the person's frames only.
        DagCellMagic: a cell of a notebook is no plain Python.
        NoDagInFile, DagNotInFile, DuplicateDagId: it has no such DAG, or two.
        RunWhileLoading: it starts a run when it is loaded.
    """
    file = _existing(Path(path))
    with opened.loading(str(file)) as made:
        module = _run_notebook(file) if file.suffix == ".ipynb" else _run_file(file)
        for function in uncalled(list(vars(module).values())):
            if function.function.__module__ == module.__name__:
                _guarded(file, function)
    for dag in made:
        dag.origin = str(file)
    found = {dag.dag_id: dag for dag in made}
    for dag in made:
        dag.loaded_with = found
    if len(found) < len(made):
        ids = [dag.dag_id for dag in made]
        raise DuplicateDagId(str(path), next(i for i in ids if ids.count(i) > 1))
    if not found:
        raise NoDagInFile(str(path))
    if dag_id is None:
        return list(found.values())
    if dag_id not in found:
        raise DagNotInFile(str(path), dag_id, found)
    return [found[dag_id]]


def module_name_of(file: Path) -> str:
    """The name under which a pipeline file is known: the same each time it is loaded."""
    mark = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    return f"pipeline_{re.sub(r'[^0-9a-zA-Z_]', '_', file.stem)}_{mark}"


def split_name(where: str) -> tuple[str, str | None]:
    """`FILE:DAG` in its two parts; None where no DAG is named."""
    path, colon, name = where.rpartition(":")
    return (path, name) if colon and not Path(where).exists() else (where, None)


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise PipelineMissing(str(path), "is a folder: name a .py or .ipynb file in it")
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path.cwd()
        near = [
            str(path.parent / one.name)
            for suffix in SUFFIXES
            for one in folder.glob(f"*{suffix}")
        ]
        raise PipelineMissing(str(path), "does not exist", near)
    if path.suffix not in SUFFIXES:
        raise PipelineMissing(str(path), "is not a .py or .ipynb file")
    if not os.access(path, os.R_OK):
        raise PipelineMissing(str(path), "cannot be read: mend its permissions")
    return path.resolve()


def _find_modules_beside(file: Path) -> None:
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _run_notebook(file: Path) -> ModuleType:
    """Run the cells that define DAGs. Their functions have no place to be imported from
    (as in a kernel), so that they travel by value: the module does not stay known."""
    _find_modules_beside(file)
    name = module_name_of(file)
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    try:
        for cell in dag_cells(file):
            _guarded(file, partial(_run_cell, file, cell, module))
    finally:
        sys.modules.pop(name, None)
    return module


def _run_cell(file: Path, cell: Cell, module: ModuleType) -> None:
    where = cell.name_in(file)
    lines = cell.source.splitlines(keepends=True)
    linecache.cache[where] = (len(cell.source), None, lines, where)
    try:
        exec(compile(cell.source, where, "exec"), vars(module))
    except RunWhileLoading as exc:
        exc.add_note(
            f"It is in {where}: tag the cell `stop`, and the cells from there on are not "
            "run when the notebook is loaded."
        )
        raise


def _run_file(file: Path) -> ModuleType:
    name = module_name_of(file)
    _find_modules_beside(file)
    spec = spec_from_file_location(name, file, loader=FreshLoader(name, str(file)))
    assert spec is not None  # it is a file that exists
    assert spec.loader is not None  # it was given one
    module = module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader
    _guarded(file, lambda: loader.exec_module(module))
    return module


class FreshLoader(SourceFileLoader):
    """Always compiles the file: a cached version may be one that was edited within a second."""

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        return self.source_to_code(self.get_data(self.path), self.path)


def _guarded(file: Path, action: Callable[[], object]) -> None:
    """Run a person's code, and tell its errors in their own words."""
    try:
        action()
    except UserError:
        raise
    except SyntaxError as exc:
        where = exc.filename or str(file)
        text = (exc.text or "").strip()
        shown = f"    {text}" if text else ""
        raise PipelineBroken(
            where, exc.lineno, f"{exc.msg} ({type(exc).__name__})", shown
        ) from exc
    except (Exception, SystemExit) as exc:
        frames = persons_frames(exc.__traceback__)
        last = frames[-1] if frames else None
        problem = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        shown = "".join(traceback.format_list(frames)).rstrip()
        raise PipelineBroken(
            last.filename if last else str(file),
            last.lineno if last else None,
            problem,
            shown,
        ) from exc


def persons_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames of a traceback without ours, also those that dataclasses write for us, and
    without those of the import system."""
    return [
        frame
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith((_OURS, "<frozen importlib"))
        and (frame.filename, frame.name) != ("<string>", "__init__")
    ]
