"""Opening a bundle, in a worker: its local modules come from the bundle, not from the disk.

A module keeps its original `__file__`, so that files beside it are found; tracebacks show
the lines that were stored. What travelled by value from `__main__` is found in `__main__`
here too, so that pickle, and with it `multiprocessing`, works in a task as it did there.
"""

from __future__ import annotations

import io
import json
import linecache
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from mlflowkit.authoring import opened
from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.runtime import part
from mlflowkit.authoring.template import TemplateSettings
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import BundleBroken

#: In the environment of a task: its bundle and its id, for processes that it spawns.
TASK_VARIABLE = "MLFLOWKIT_TASK_CODE"
#: What was `__main__` before: kept alive, its code runs.
_programs: list[ModuleType] = []
_BY_VALUE = ("_make_function", "_make_skeleton_class", "_make_skeleton_enum")


class OpenBundle:
    """The code of a DAG version, ready to be executed in this process."""

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], payload: Mapping[str, bytes]
    ) -> None:
        self.folder, self.facts = folder, facts
        self._payload = payload
        #: The `__main__` of tasks; None if this process runs none.
        self._main: ModuleType | None = None
        self._templates: TemplateSettings | None = None

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
            unpickler = _Unpickler(io.BytesIO(self._payload[task_id]))
            operator: BaseOperator = unpickler.load()
            if self._main is not None:
                unpickler.show_in(self._main)
                os.environ[TASK_VARIABLE] = json.dumps(
                    [os.path.abspath(self.folder), task_id]
                )
        if isinstance(operator, NotebookOperator):
            stored = self.facts["notebooks"].get(operator.path)
            operator.snapshot = str(self.folder / stored) if stored else ""
        return operator

    def templates(self) -> TemplateSettings:
        """What the DAG says of its templates: its macros and filters, and stored files."""
        if self._templates is None:
            self._templates = self._open_templates()
        return self._templates

    def _open_templates(self) -> TemplateSettings:
        stored: Mapping[str, str] | None = self.facts.get("templates")
        if stored is None:
            origin = self.facts.get("origin") or ""
            return TemplateSettings(folder=str(Path(origin).parent) if origin else "")
        with opened.loading("the macros of a DAG"):
            unpickler = _Unpickler(io.BytesIO((self.folder / "templates.pkl").read_bytes()))
            settings: TemplateSettings = unpickler.load()
            if self._main is not None:
                unpickler.show_in(self._main)
        for name, digest in stored.items():
            settings.files[name] = (self.folder / "sources" / f"{digest}.txt").read_text()
        return settings

    def callbacks(self) -> Mapping[str, list[Callable[[Any], object]]]:
        """What the DAG wants called at the end of a run, by kind: success, failure."""
        return self._load("callbacks.pkl", "the callbacks of a DAG") or {}

    def timetable(self) -> Any:
        """The DAG's own timetable, if it is code of a person; else None."""
        return self._load("timetable.pkl", "the timetable of a DAG")

    def _load(self, name: str, what: str) -> Any:
        path = self.folder / name
        if not path.is_file():
            return None
        with opened.loading(what):
            unpickler = _Unpickler(io.BytesIO(path.read_bytes()))
            found = unpickler.load()
            if self._main is not None:
                unpickler.show_in(self._main)
        return found

    def own_main(self) -> None:
        """From now on, `__main__` is the one of the tasks, and not the program that runs them."""
        _programs.append(sys.modules["__main__"])
        self._main = sys.modules["__main__"] = ModuleType("__main__")
        # `multiprocessing` runs the module of this name in a process that it spawns.
        self._main.__spec__ = ModuleSpec("mlflowkit.authoring.spawned", None)

    def main_names(self, task_id: str) -> dict[str, Any]:
        """What is in the `__main__` of a task, by name."""
        self.operator(task_id)
        return {k: v for k, v in vars(self._main).items() if not k.startswith("__")}


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
    for name, version in facts.get("compat", {}).items():
        part(f"mlflowkit.compat.{name}", "answer")(version)
    bundle = OpenBundle(place, facts, payload)
    if worker:
        opened.mark_worker("a task")
        bundle.own_main()
    return bundle


def imports_of(folder: Path | str) -> list[str]:
    """Installed modules that the tasks import, and those of ours that writing the DAG took:
    worth importing ahead. Some may be missing."""
    facts = read_facts(Path(folder))
    return [*facts["imports"], *facts.get("ours", ())]


def runs_notebooks(folder: Path | str) -> bool:
    """Whether some task of it executes a notebook."""
    return bool(read_facts(Path(folder))["notebooks"])


def renders_templates(folder: Path | str) -> bool:
    """Whether some task of it has templates in its arguments."""
    return read_facts(Path(folder)).get("templates") is not None


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


class _Unpickler(pickle.Unpickler):
    """Remembers which functions and classes were made from their code."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._made: list[Any] = []

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        found = super().find_class(module_name, global_name)
        if global_name in _BY_VALUE and module_name.startswith("cloudpickle"):
            return self._remembering(found)
        return found

    def _remembering(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            self._made.append(make(*args))
            return self._made[-1]

        return made

    def show_in(self, main: ModuleType) -> None:
        """Put what belongs to `__main__` there, under the names it had."""
        mine = [one for one in self._made if one.__module__ == "__main__"]
        names: dict[str, Any] = {one.__qualname__: one for one in mine}
        for one in mine:
            if isinstance(one, FunctionType):
                names |= one.__globals__
        for name, value in names.items():
            if "." not in name and not (name.startswith("__") and name.endswith("__")):
                setattr(main, name, value)


def _file_of(module: ModuleType) -> str | None:
    path = getattr(module, "__file__", None)
    return str(Path(path).resolve()) if path else None


def _show_lines(path: str, text: str) -> None:
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)


class BundleFinder(MetaPathFinder):
    """Finds the local modules of a bundle; everything else is left to Python."""

    def __init__(self, folder: Path, modules: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder, self._modules = folder, modules

    @classmethod
    def install(cls, folder: Path, modules: Mapping[str, Mapping[str, Any]]) -> None:
        """Put it before all others, in the place of an earlier one.

        Another module of the same name (a library's `token` under a person's `token.py`) is
        forgotten: whoever imports the name from now on gets the one of the bundle.
        """
        for name in [n for n in modules if n in sys.modules]:
            if _file_of(sys.modules[name]) not in (None, modules[name]["path"]):
                del sys.modules[name]
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
