"""A template: a fresh process that imports what kernels need, and is forked for each.

`python -c … main()` with the fixed part of the kernels' environment, started by the kernel
server. It keeps one Python thread, never starts a ZeroMQ context or an event loop, runs no
cell, and imports installed distributions alone. A module that prints, warns, asks for the
running IPython, or leaves a thread behind that a fork cannot do without is not imported
ahead: the template starts itself anew without it, and says why.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

#: What a cold kernel has imported by the time that it runs its first cell.
_AS_COLD: Final = (
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "ipykernel.subshell_manager",
    "ipykernel_launcher",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "jupyter_client.localinterfaces",
    "sqlite3",
    "tornado.platform.asyncio",
)
#: What our own cells need at once; nothing of it is heavy.
_OURS: Final = (
    "mlflowkit.nbrun.checkpoint.inside",
    "mlflowkit.nbrun.checkpoint.memory",
    "mlflowkit.nbrun.inside",
    "mlflowkit.nbrun.iofolder",
    "mlflowkit.nbrun.kernel_child",
    "mlflowkit.nbrun.kernel_ending",
    "mlflowkit.nbrun.kernel_keeper",
    "mlflowkit.nbrun.kernel_pages",
    "mlflowkit.nbrun.kernel_shell",
    "mlflowkit.nbrun.kernel_tuning",
)


def main() -> None:
    """Import, say so, and fork on request until the server is gone."""
    original = dict(os.environ)
    link, wanted, left_out, args = int(sys.argv[1]), *map(json.loads, sys.argv[2:5])
    excluded: dict[str, str] = left_out
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    from mlflowkit.nbrun import kernel_files, kernel_pages
    from mlflowkit.nbrun.kernel_wire import Wire
    from mlflowkit.worker import processes

    processes.die_with_parent(os.getppid())
    wire = Wire(socket.socket(fileno=os.dup(link)))
    os.set_inheritable(wire.fileno(), False)
    names = _import_all(wanted, excluded, link, original)
    if args:
        _make_shell(args, lambda: _anew([wanted, excluded, []], link, original))
    os.close(link)
    _nothing_to_take_apart()
    gc.collect()
    gc.freeze()  # forks share these pages: the collector must not touch them
    kernel_pages.remember()
    files = kernel_files.imported()
    wire.send({"ready": True, "excluded": excluded, "names": names, "files": files})
    _Template(wire).serve()


def _import_all(
    wanted: list[str], excluded: dict[str, str], link: int, original: dict[str, str]
) -> list[str]:
    from importlib import import_module

    for name in _AS_COLD:
        with suppress(ImportError):
            import_module(name)
    cold = set(sys.modules)
    _cold.update(cold)
    if not os.environ.get("MPLBACKEND"):  # as ipykernel sets it before the first cell
        os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in _OURS:
        import_module(name)
    from mlflowkit.nbrun.import_ahead import import_ahead

    for name in wanted:
        if name in excluded:
            continue
        why = import_ahead(name)
        if why:
            excluded[name] = why
            _anew([wanted, excluded, *map(json.loads, sys.argv[4:])], link, original)
    found = {name.partition(".")[0] for name in set(sys.modules) - cold}
    return sorted(found - {name.partition(".")[0] for name in cold})


def _nothing_to_take_apart() -> None:
    """torch takes each of its operators out of its tables when an interpreter ends: 30 ms,
    and nobody is there to see it. What a cell defines is taken out as ever."""
    import weakref

    operators = getattr(sys.modules.get("torch"), "library", None)
    takes_out = getattr(operators, "_del_library", None)
    if takes_out is None:
        return
    for found in list(getattr(weakref.finalize, "_registry", ())):
        told = found.peek()
        if told is not None and told[1] is takes_out:
            found.atexit = False


#: Modules that a cold kernel has imported, by name.
_cold: Final[set[str]] = set()


def _make_shell(args: list[str], again: Callable[[], NoReturn]) -> None:
    """What its kernels have alike; without it, where ipykernel is another than is known."""
    from mlflowkit.nbrun import kernel_shell

    try:
        kernel_shell.make(args, _cold)
    except Exception:  # noqa: BLE001 - whatever it is: kernels are set up one by one then
        again()


def _anew(words: list[Any], link: int, original: dict[str, str]) -> NoReturn:
    """Something was done in vain: no trace of it may stay."""
    os.set_inheritable(link, True)
    command = [sys.executable, "-c", COMMAND, str(link), *map(json.dumps, words)]
    os.execve(sys.executable, command, original)


#: What the server has a fresh interpreter run.
COMMAND: Final = "from mlflowkit.nbrun.kernel_template import main; main()"


class _Template:
    def __init__(self, wire: Any, prefix: Any = None) -> None:
        #: What its forks have beyond what is imported: see `prefix.process`.
        self._wire, self._prefix = wire, prefix
        #: pidfd → pid
        self._keepers: dict[int, int] = {}

    def serve(self) -> None:
        """Until the server is gone or lets it go; the keepers live on."""
        from mlflowkit.nbrun.kernel_wire import WireClosed
        from mlflowkit.worker import processes

        processes.become_subreaper()
        poller = select.poll()
        poller.register(self._wire.fileno(), select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd in self._keepers:
                    poller.unregister(fd)
                    self._bury(fd)
                    continue
                try:
                    for message, files in self._wire.ready():
                        poller.register(self._fork(message, files), select.POLLIN)
                except WireClosed:
                    return

    def _bury(self, fd: int) -> None:
        """What a dead keeper left behind is here now, and is killed."""
        from mlflowkit.worker import processes

        os.close(fd)
        with suppress(ChildProcessError):
            os.waitpid(self._keepers.pop(fd), 0)
        processes.kill_all_below(spare=self._keepers.values())

    def _fork(self, message: dict[str, Any], files: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                self._wire.close()
                for fd in self._keepers:
                    os.close(fd)
                _keep(message, files, self._prefix)
            except BaseException:  # noqa: BLE001 - told in the template's log, then gone
                import traceback

                traceback.print_exc()
            finally:
                os._exit(0)
        for fd in files:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._keepers[pidfd] = pid
        return pidfd


def _keep(message: dict[str, Any], files: list[int], prefix: Any) -> None:
    """The life of a keeper, and of the kernel that it forks."""
    from mlflowkit.nbrun import kernel_child
    from mlflowkit.nbrun.kernel_keeper import Keeper
    from mlflowkit.nbrun.kernel_wire import Wire
    from mlflowkit.worker import processes

    os.setsid()
    processes.become_subreaper()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    server, client, hand_over = files
    ours, theirs = socket.socketpair()
    keeper = os.getpid()
    links = [Wire(socket.socket(fileno=fd)) for fd in (server, client)]
    links[0].send({"keeper": keeper})
    pid = os.fork()
    if pid == 0:
        for link in links:
            link.close()
        ours.close()
        kernel_child.live(keeper, message, hand_over, theirs, prefix)
    os.close(hand_over)
    theirs.close()
    Keeper(pid, links[0], links[1], ours, message["folder"]).watch()
