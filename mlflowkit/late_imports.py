"""Libraries that others load and hardly anybody calls: here they are loaded when called.

`jsonschema`, and `nbformat` through it, load `rfc3987_syntax` where it is installed, as
JupyterLab has it installed. That one works out a whole grammar while it is imported, which
takes longer than all else that a command does, for a check of texts that are called IRIs.
With `put_off()` it is worked out when the first such text is checked.

Nothing is left out: whoever asks the module for anything else has it loaded at once. This
must never import anything that is not installed, nor change what a module answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

#: By module: the function that others take from it while they are imported themselves.
LATE: Final = {"rfc3987_syntax": "is_valid_syntax"}


class _Late(ModuleType):
    """A module that becomes itself when something is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name == LATE.get(self.__name__):

            def when_called(*args: Any, **kwargs: Any) -> Any:
                return getattr(_loaded(self), name)(*args, **kwargs)

            return when_called
        if name == "__path__":  # of a package, it is there already
            raise AttributeError(name)
        return getattr(_loaded(self), name)


def _loaded(module: ModuleType) -> ModuleType:
    """The module, executed once. Like any import, this may raise ImportError."""
    loader = module.__dict__.get("__loader__")
    if isinstance(loader, _LateLoader):
        real = loader.real
        assert real.loader is not None
        module.__class__ = ModuleType
        module.__loader__, module.__spec__ = real.loader, real
        real.loader.exec_module(module)
    return module


class _LateLoader(Loader):
    """Makes the module, and leaves it empty."""

    def __init__(self, real: ModuleSpec) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> None:
        return None  # an empty one, as for any module

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Late


class _Finder(MetaPathFinder):
    """Finds the modules of `LATE` where they are installed; knows of no others."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in LATE:
            return None
        real = PathFinder.find_spec(fullname, path)
        if real is None or real.loader is None:
            return None
        late = ModuleSpec(fullname, _LateLoader(real), origin=real.origin)
        late.submodule_search_locations = real.submodule_search_locations
        late.has_location = real.has_location
        return late


def put_off() -> None:
    """From now on in this process, which is one of ours: the command line, an engine, a worker."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def while_importing() -> Iterator[None]:
    """For the imports inside alone: in a process that belongs to a person."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
