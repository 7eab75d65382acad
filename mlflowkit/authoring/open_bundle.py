"""Opening a bundle, in a worker: its local modules come from the bundle, not from the disk.

A module keeps its original `__file__`, so that files beside it are found; tracebacks show
the lines that were stored.
"""

from __future__ import annotations

import json
import linecache
import pickle
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mlflowkit.authoring import opened
from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import BundleBroken


class OpenBundle:
    """The code of a DAG version, ready to be executed in this process."""

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], payload: Mapping[str, bytes]
    ) -> None:
        self.folder, self.facts = folder, facts
        self._payload = payload

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def task_ids(self) -> list[str]:
        return list(self._payload)

    def spec(self) -> DagSpec:
        import msgspec

        return msgspec.convert(self.facts["spec"], DagSpec)

    def operator(self, task_id: str) -> BaseOperator:
        """One task, with stand-ins for what it takes from others. Imports its modules.

        Raises:
            BundleBroken: there is no such task in it.
        """
        if task_id not in self._payload:
            raise BundleBroken(str(self.folder), f"it has no task {task_id!r}")
        with opened.loading(f"the bundle of task {task_id!r}"):
            operator: BaseOperator = pickle.loads(self._payload[task_id])
        if isinstance(operator, NotebookOperator):
            stored = self.facts["notebooks"].get(operator.path)
            operator.snapshot = str(self.folder / stored) if stored else ""
        return operator


def open_bundle(folder: Path | str, *, worker: bool = True) -> OpenBundle:
    """Open a bundle; from now on, its local modules are imported from it.

    Args:
        worker: This process runs tasks from now on, and starts no DAG runs.

    Raises:
        BundleBroken: it is not there, or damaged.
    """
    place = Path(folder)
    facts = read_facts(place)
    try:
        payload: dict[str, bytes] = pickle.loads((place / "payload.pkl").read_bytes())
    except (OSError, pickle.UnpicklingError, EOFError) as exc:
        raise BundleBroken(str(place), str(exc)) from exc
    for name, digest in facts["cells"].items():
        _show_lines(name, (place / "sources" / f"{digest}.py").read_text())
    BundleFinder.install(place, facts["modules"])
    if worker:
        opened.mark_worker("a task")
    return OpenBundle(place, facts, payload)


def imports_of(folder: Path | str) -> list[str]:
    """Installed modules that the tasks import: worth importing ahead. Some may be missing."""
    return list(read_facts(Path(folder))["imports"])


def runs_notebooks(folder: Path | str) -> bool:
    """Whether some task of it executes a notebook."""
    return bool(read_facts(Path(folder))["notebooks"])


def read_facts(folder: Path) -> dict[str, Any]:
    """What `bundle.json` says.

    Raises:
        BundleBroken: it is not there, or damaged.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / "bundle.json").read_bytes())
    except (OSError, ValueError) as exc:
        raise BundleBroken(str(folder), str(exc)) from exc
    return facts


def _show_lines(path: str, text: str) -> None:
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)


class BundleFinder(MetaPathFinder):
    """Finds the local modules of a bundle; everything else is left to Python."""

    def __init__(self, folder: Path, modules: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder, self._modules = folder, modules

    @classmethod
    def install(cls, folder: Path, modules: Mapping[str, Mapping[str, Any]]) -> None:
        """Put it before all others, in the place of an earlier one."""
        others = [finder for finder in sys.meta_path if not isinstance(finder, cls)]
        sys.meta_path[:] = [cls(folder, modules), *others]

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        facts = self._modules.get(fullname)
        if facts is None:
            return None
        where = Path(facts["path"])
        if where.suffix != ".py":  # a package without a file of its own
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(where)]
            return spec
        source = self._folder / "sources" / f"{facts['sha256']}.py"
        loader = _StoredLoader(where, source)
        spec = ModuleSpec(fullname, loader, origin=str(where), is_package=facts["package"])
        spec.has_location = True
        if facts["package"]:
            spec.submodule_search_locations = [str(where.parent)]
        return spec


class _StoredLoader(Loader):
    """Runs a stored source as the file it was copied from."""

    def __init__(self, path: Path, source: Path) -> None:
        self._path, self._source = path, source

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, fullname: str) -> CodeType:
        content = self._source.read_bytes()
        _show_lines(str(self._path), content.decode(errors="replace"))
        code: CodeType = compile(content, str(self._path), "exec", dont_inherit=True)
        return code

    def get_source(self, fullname: str) -> str:
        return self._source.read_text()
