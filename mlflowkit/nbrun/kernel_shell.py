"""The part of a kernel that is alike in all forks of a template: its app, its shell.

Made once, in the template, where it costs nobody time; forks share its pages. Whatever has
threads, sockets, a key, a process id or a folder of its own is made in the fork only: a
fork of this goes on exactly where ipykernel's own start would be. Runs no cell of a person.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: A shell with its history in memory alone has neither a thread nor a file.
IN_MEMORY: Final = "--HistoryManager.hist_file=:memory:"
#: How often each way through a cell is walked: by then, Python has made it quick.
_TIMES: Final = 10
#: What was made in this process: the app, and the files of a cold kernel's modules.
_made: Final[list[tuple[Any, list[str]]]] = []


class _Sys:
    """`sys` without its modules: a kernel notes the file of each, and touches them all."""

    modules: Final[dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def make(args: list[str], modules: set[str]) -> None:
    """In a template: make what all kernels of this command line have alike.

    Args:
        args: Of the command line, after the connection file; with `IN_MEMORY`.
        modules: What a cold kernel has imported at this point.

    Raises:
        NotAlike: it cannot be made ahead.
    """
    if IN_MEMORY not in args or threading.active_count() > 1:
        raise NotAlike
    import ipykernel_launcher  # type: ignore[import-untyped]  # no stubs
    from ipykernel.compiler import XCachingCompiler
    from ipykernel.kernelapp import IPKernelApp  # type: ignore[import-untyped,unused-ignore]
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython.core.application import BaseIPythonApplication

    sys.argv = [str(ipykernel_launcher.__file__), "-f", "", *args]
    app: Any = IPKernelApp.instance(parent_handle=1)  # it watches no parent, says no hints
    BaseIPythonApplication.initialize(app, sys.argv[1:])  # type: ignore[no-untyped-call]
    shell: Any = ZMQInteractiveShell.instance(
        parent=app,
        profile_dir=app.profile_dir,
        user_module=None,
        user_ns=None,
        kernel=None,
        compiler_class=XCachingCompiler,
    )
    _practise(shell)
    if threading.active_count() > 1 or "session" in app._trait_values:
        raise NotAlike
    found = [getattr(sys.modules.get(name), "__file__", None) for name in modules]
    _made.append((app, [file for file in found if file]))


class NotAlike(Exception):
    """There is nothing that all kernels of this command line have alike."""


def _practise(shell: Any) -> None:
    """Walk the ways of a cell that leave nothing behind."""
    for _ in range(_TIMES):
        shell.run_cell("None", silent=True)
        shell.display_formatter.format(1.5)


def is_made() -> bool:
    """In a fork: whether its template made its app ahead."""
    return bool(_made)


def take(connection: Path, args: list[str]) -> Any:
    """In a fork: the app, up to its event loop, with this connection file."""
    from ipykernel.kernelapp import IPKernelApp  # type: ignore[import-untyped,unused-ignore]

    app, files = _made[0]
    sys.argv[1:] = ["-f", str(connection), *args]
    app.connection_file = str(connection)
    app.config.IPKernelApp.connection_file = str(connection)
    with _as_begun():
        IPKernelApp.initialize(app, sys.argv[1:])  # type: ignore[no-untyped-call]
    kernel, shell = app.kernel, app.shell
    shell.kernel = shell.parent = kernel
    shell.save_sys_module_state()
    kernel._kernel_modules = files
    if hasattr(kernel, "debugger"):
        kernel.debugger.kernel_modules = files
    return app


@contextmanager
def _as_begun() -> Iterator[None]:
    """Inside, an app goes on after its first steps, and looks at no module."""
    from ipykernel import ipkernel
    from IPython.core.application import BaseIPythonApplication

    begin, kernels = BaseIPythonApplication.initialize, vars(ipkernel)
    BaseIPythonApplication.initialize = lambda *_: None  # type: ignore[method-assign]
    kernels["sys"] = _Sys()
    try:
        yield
    finally:
        BaseIPythonApplication.initialize = begin  # type: ignore[method-assign]
        kernels["sys"] = sys
