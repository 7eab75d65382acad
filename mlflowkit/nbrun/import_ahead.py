"""Importing modules in a template, as a cold kernel would: or saying why that cannot be.

Runs in templates only. What modules kept (streams, warning filters) is put right in the
kernels that are forked from them.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

from mlflowkit.nbrun.preload import installed_in

#: Never imported ahead of a fork, whatever it looks like from outside.
_NEVER: Final = {
    "polars": "its thread pool does not survive a fork",
    "tensorflow": "its thread pools do not survive a fork",
    "jax": "its thread pools do not survive a fork",
    "grpc": "its threads do not survive a fork",
    "ray": "it starts processes and threads",
    "tkinter": "it talks to a screen",
}
#: Names of threads of native libraries that make themselves anew after a fork.
_SAFE_THREADS: Final = frozenset({"jemalloc_bg_thd"})
#: Libraries whose idle, unnamed threads are made anew after a fork.
_SAFE_POOLS: Final = ("openblas",)


class _Early(io.TextIOBase):
    """A stream for modules that keep one when they are imported; later it is the cell's."""

    def __init__(self, name: str) -> None:
        self._name, self.later = name, False
        self.heard = 0

    def write(self, text: str, /) -> int:
        if self.later:
            return int(getattr(sys, self._name).write(text))
        self.heard += len(text)
        return len(text)

    def flush(self) -> None:
        if self.later:
            getattr(sys, self._name).flush()

    def fileno(self) -> int:
        return 1 if self._name == "stdout" else 2

    @property
    def encoding(self) -> str:  # type: ignore[override]  # as other streams
        return "utf-8"


OUT, ERR = _Early("stdout"), _Early("stderr")


def streams_are_the_cells() -> None:
    """In a kernel: what modules kept as streams writes to the cell from now on."""
    OUT.later = ERR.later = True


def import_ahead(name: str) -> str:
    """Import a module. Returns why it must not be there ahead, or nothing."""
    top = name.partition(".")[0]
    if top in _NEVER:
        return _NEVER[top]
    if not _is_installed(top):
        return "it is no installed distribution"
    size = os.fstat(1).st_size + os.fstat(2).st_size
    with _in_notebook() as given, _warned() as warned:
        try:
            import_module(name)
        except BaseException as exc:  # noqa: BLE001 - a module may raise anything
            return f"importing it raised {type(exc).__name__}"
    gc.collect()
    if ZMQInteractiveShell.wanted or any(shell() is not None for shell in given):
        return "it uses the running kernel when it is imported"
    if OUT.heard or ERR.heard or os.fstat(1).st_size + os.fstat(2).st_size != size:
        return "it prints when it is imported"
    if warned:
        return "it warns when it is imported"
    return _cuda() or _threads()


#: Warning filters that modules set when they were imported ahead.
_filters: list[Any] = []


@contextmanager
def _warned() -> Iterator[list[str]]:
    """What warnings are shown inside; filters that are set inside are kept."""
    shown: list[str] = []
    before, show = list(warnings.filters), warnings.showwarning
    warnings.showwarning = lambda message, *_, **__: shown.append(str(message))
    try:
        yield shown
    finally:
        warnings.showwarning = show
        _filters[:0] = [each for each in warnings.filters if each not in before]


def filters_are_in_order() -> None:
    """In a kernel: what modules filter comes before what IPython does, as in a cold one."""
    if _filters:
        rest = [each for each in warnings.filters if each not in _filters]
        warnings.filters[:] = [*_filters, *rest]  # type: ignore[index]  # a list, in fact
        warnings._filters_mutated()  # type: ignore[attr-defined]


def _is_installed(top: str) -> bool:
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return all(any(Path(p).is_relative_to(f) for f in installed_in()) for p in places if p)


class ZMQInteractiveShell:
    """Stands in for the running IPython while modules are imported ahead of it.

    Many ask for it only to know whether they are in a notebook, and get a true answer.
    Whoever wants more of it, or keeps it, cannot be imported ahead.
    """

    __module__ = "ipykernel.zmqshell"
    #: What a module wanted of a shell that is not there yet.
    wanted: ClassVar[list[str]] = []

    @property
    def kernel(self) -> _KernelToBe:
        return _KernelToBe()

    @property
    def config(self) -> dict[str, dict[str, str]]:
        return {"IPKernelApp": {"connection_file": ""}}

    def __getattr__(self, name: str) -> Any:
        self.wanted.append(name)
        raise AttributeError(name)


class _KernelToBe:
    def __getattr__(self, name: str) -> Any:
        ZMQInteractiveShell.wanted.append(f"kernel.{name}")
        raise AttributeError(name)


@contextmanager
def _in_notebook() -> Iterator[list[weakref.ref[ZMQInteractiveShell]]]:
    """Code inside sees that a notebook runs it, as it would in a cold kernel."""
    import builtins

    from IPython.core.interactiveshell import InteractiveShell

    given: list[weakref.ref[ZMQInteractiveShell]] = []

    def stand_in(*_: object) -> ZMQInteractiveShell:
        shell = ZMQInteractiveShell()
        given.append(weakref.ref(shell))
        return shell

    streams = sys.stdout, sys.stderr
    InteractiveShell.initialized = classmethod(lambda _: True)  # type: ignore[method-assign,assignment]
    InteractiveShell.instance = classmethod(stand_in)  # type: ignore[method-assign,assignment]
    builtins.get_ipython = stand_in  # type: ignore[attr-defined]
    sys.stdout, sys.stderr = OUT, ERR
    try:
        yield given
    finally:
        sys.stdout, sys.stderr = streams
        del InteractiveShell.initialized, InteractiveShell.instance
        del builtins.get_ipython  # type: ignore[attr-defined]


def _cuda() -> str:
    torch = sys.modules.get("torch")
    touched = torch is not None and torch.cuda.is_initialized()
    return "CUDA has been touched, and does not survive a fork" if touched else ""


def _threads() -> str:
    """Which thread a fork would lose, in words; nothing if there is none."""
    if threading.active_count() > 1:
        names = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        return f"it leaves Python threads running ({', '.join(names)})"
    own = Path("/proc/self/comm").read_text()
    unnamed = 0
    for task in Path("/proc/self/task").iterdir():
        name = (task / "comm").read_text()
        if name == own:
            unnamed += 1
        elif name.strip() not in _SAFE_THREADS:
            return f"it leaves a native thread running ({name.strip()})"
    if unnamed - 1 > _pools() * (_cores() - 1):
        return f"it leaves {unnamed - 1} native threads running"
    return ""


def _pools() -> int:
    """Libraries in this process whose threads are known to survive a fork."""
    paths = {
        line.rpartition(" ")[2] for line in Path("/proc/self/maps").read_text().split("\n")
    }
    return sum(any(pool in Path(p).name for pool in _SAFE_POOLS) for p in paths if "/" in p)


def _cores() -> int:
    return os.cpu_count() or 1
