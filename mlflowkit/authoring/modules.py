"""Where modules come from: a person's own files, or something that was installed.

Only a person's own ("local") modules are copied into a bundle. Nothing is imported here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_INSTALLED_PARTS = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModule:
    """One of a person's own modules, as it is on disk now."""

    name: str
    #: Its file; the folder for a package without `__init__.py`.
    path: Path
    package: bool
    source: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.source).hexdigest()


@cache
def _library_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {str(Path(sysconfig.get_path(name)).resolve()) for name in names}
    return tuple(f"{folder}/" for folder in found)


def is_local_file(path: str | None) -> bool:
    """Is it a person's own Python file, rather than an installed one or ours?"""
    if not path or not path.endswith(".py"):
        return False
    real = str(Path(path).resolve())
    installed = any(part in _INSTALLED_PARTS for part in Path(real).parts)
    return not installed and not real.startswith(_library_folders())


def find(name: str) -> ModuleSpec | None:
    """Where the module would be imported from. Imports neither it nor what is above it."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ValueError, ImportError):
        return None
    path = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        path = f"{path}.{part}"
        loaded = getattr(sys.modules.get(path), "__spec__", None)
        spec = loaded or PathFinder.find_spec(path, list(spec.submodule_search_locations))
    return spec


class LocalModules:
    """The local modules that some code needs, and the installed ones beside them."""

    def __init__(self) -> None:
        importlib.invalidate_caches()
        self.found: dict[str, LocalModule] = {}
        #: Modules of other distributions that the code imports.
        self.installed: dict[str, None] = {}
        #: What each local module imports of the local ones.
        self._needs: dict[str, set[str]] = {}
        self._local: dict[str, bool] = {}
        self._contents: dict[str, LocalModule] = {}

    def is_local(self, name: str) -> bool:
        """Is `name` one of a person's own modules?"""
        if name not in self._local:
            self._local[name] = self._look(name)
        return self._local[name]

    def _look(self, name: str) -> bool:
        top = name.partition(".")[0]
        if top in ("mlflowkit", "__main__", "__mp_main__"):
            return False
        spec = find(name)
        if spec is None:
            return False
        if spec.origin is None and spec.submodule_search_locations:
            return any(is_local_file(f"{p}/x.py") for p in spec.submodule_search_locations)
        # A module in an archive has an origin that is no file: it is imported from there.
        return is_local_file(spec.origin) and Path(str(spec.origin)).is_file()

    def source_of(self, name: str) -> bytes:
        """The source of a local module as it is on disk now; empty if it has none."""
        return self._module(name).source

    def need(self, name: str) -> set[str]:
        """Take in a module, what is above it, and all that these import.

        Returns:
            Names of the local ones among them; empty if `name` is installed.
        """
        if not self.is_local(name):
            self._note_installed(name)
            return set()
        waiting, all_names = [name], set[str]()
        while waiting:
            one = waiting.pop()
            if one in all_names:
                continue
            all_names.add(one)
            waiting.extend(self._needs_of(one) - all_names)
        return all_names

    def _note_installed(self, name: str) -> None:
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in (
            "__main__",
            "__mp_main__",
        ):
            self.installed[name] = None

    def _needs_of(self, name: str) -> set[str]:
        if name not in self._needs:
            module = self.found[name] = self._module(name)
            above = name.rpartition(".")[0]
            needs = {above} if above else set[str]()
            for imported in imports_in(module.source, module.name, module.package):
                if self.is_local(imported):
                    needs.add(imported)
                elif find(imported) is not None:
                    self._note_installed(imported)
            self._needs[name] = needs
        return self._needs[name]

    def _module(self, name: str) -> LocalModule:
        if name not in self._contents:
            self._contents[name] = self._read(name)
        return self._contents[name]

    def _read(self, name: str) -> LocalModule:
        spec = find(name)
        assert spec is not None  # it is local, so it was found
        package = spec.submodule_search_locations is not None
        if spec.origin is None:
            folder = Path(next(iter(spec.submodule_search_locations or ["."])))
            return LocalModule(name=name, path=folder, package=True, source=b"")
        path = Path(spec.origin).resolve()
        return LocalModule(name=name, path=path, package=package, source=path.read_bytes())


def imports_in(source: bytes, name: str, package: bool) -> set[str]:
    """Every module that a file imports, anywhere in it; also names that may be modules."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return {found for node in ast.walk(tree) for found in _imported(node, name, package)}


def _imported(node: ast.AST, name: str, package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = name.split(".")[: -node.level + package or None]
            base = ".".join([*above, *([base] if base else [])])
        if base:
            yield base
            for alias in node.names:
                yield f"{base}.{alias.name}"
