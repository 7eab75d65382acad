"""A prefix process: runs the shared cells once, without threads, and is forked for each.

Started by the kernel server as a template is, with the kernel's environment. Its shell is
an IPython kernel's own, without the kernel, which each fork puts around it. It asks the
task for nothing and pushes nothing: whatever an instance could not have done alike ends
it, and it says why.
"""

from __future__ import annotations

import builtins
import gc
import getpass
import json
import os
import random
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NoReturn

from mlflowkit.nbrun import kernel_template
from mlflowkit.nbrun.kernel_wire import Message, Wire
from mlflowkit.worker import processes

#: What the server has a fresh interpreter run.
COMMAND: Final = "from mlflowkit.nbrun.prefix.process import main; main()"


def main() -> None:
    """Import, run the cells, say how it went, and fork on request."""
    original, link = dict(os.environ), int(sys.argv[1])
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    processes.die_with_parent(os.getppid())
    wire = Wire(socket.socket(fileno=os.dup(link)))
    os.set_inheritable(wire.fileno(), False)
    names = kernel_template._import_all([], {}, link, original)
    os.close(link)
    order, _ = wire.receive()
    prefix = Prefix(order)
    why = prefix.run()
    if why:
        wire.send({"unsafe": why})
        os._exit(0)
    gc.freeze()  # forks share these pages
    wire.send({"done": True, "excluded": {}, "names": names}, [prefix.record])
    os.close(prefix.record)
    kernel_template._Template(wire, prefix).serve()


class Prefix:
    """The shared cells, and what a fork has of them."""

    def __init__(self, order: Message) -> None:
        from mlflowkit.nbrun.prefix.recording import Recording

        self._order, self._recording = order, Recording()
        self._kept: list[tuple[Any, str, Any]] = []
        self._shell: Any = None
        #: A file in memory alone, for it may hold what is hidden where it is shown.
        self.record = -1

    def run(self) -> str:
        """Run the cells. Returns why nobody may be forked with them, or nothing."""
        from mlflowkit.nbrun.prefix.safety import Before

        order = self._order
        os.chdir(order["cwd"])
        os.umask(order["umask"])
        os.environ.update(order["env"])
        self._shell = self._made()
        before = Before()
        self._surround()
        cells: list[dict[str, Any]] = []
        for index, code in order["cells"]:
            why = self._cell(index, code, cells)
            if why:
                return why
        if (sys.stdout, sys.stderr) != (self._recording.out, self._recording.err):
            return "it put other streams in the place of its own"
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        why = before.why_unsafe() or self._has_done()
        _draws.append(_drawn())
        if not why:
            self.record = os.memfd_create("prefix")
            with open(self.record, "w", closefd=False) as file:
                json.dump(cells, file)
        return why

    def _cell(self, index: int, code: str, cells: list[dict[str, Any]]) -> str:
        count = self._shell.execution_count
        result = self._shell.run_cell(code, store_history=True, silent=False)
        messages = self._recording.take()
        if self._recording.unsafe:
            return f"cell {index + 1}: {self._recording.unsafe[0]}"
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            return f"cell {index + 1} failed ({type(error).__name__})"
        cells.append({"index": index, "count": count, "messages": messages})
        return ""

    def _has_done(self) -> str:
        import comm

        if any((Path(self._order["io"]) / "pushed").iterdir()):
            return "it pushed a value"
        manager: Any = comm.get_comm_manager()
        return "it made a widget" if manager.comms else ""

    # ── the shell ──

    def _made(self) -> Any:
        """The shell of a kernel, before the kernel."""
        import ipykernel.ipkernel  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
        import ipykernel_launcher  # type: ignore[import-untyped]  # no stubs
        from ipykernel.compiler import XCachingCompiler
        from ipykernel.zmqshell import ZMQInteractiveShell
        from IPython.core.shellapp import InteractiveShellApp
        from traitlets.config import Config

        from mlflowkit.nbrun.prefix.recording import RecordingSession

        sys.argv = [str(ipykernel_launcher.__file__), "-f", "", *self._order["args"]]
        init_path: Any = InteractiveShellApp.init_path
        init_path(SimpleNamespace(ignore_cwd=False))
        config = Config(
            {
                "IPKernelApp": {"connection_file": ""},
                "HistoryManager": {"hist_file": ":memory:"},
            }
        )
        shell: Any = ZMQInteractiveShell.instance(
            config=config, compiler_class=XCachingCompiler
        )
        session = RecordingSession()
        session.recording = self._recording
        for one in (shell.displayhook, shell.display_pub):
            one.session = session
        shell.displayhook.topic = b"execute_result"
        return shell

    def _surround(self) -> None:
        """What a kernel's cells find around them; what they may not do is noted."""
        import comm

        from mlflowkit.nbrun import asking

        sys.stdout, sys.stderr = self._recording.out, self._recording.err
        refusals = {
            "it asked for input": [(builtins, "input"), (getpass, "getpass")],
            "it made a widget": [(comm, "create_comm")],
            "it asked the task for a connection or a variable": [(asking, "ask")],
        }
        for why, places in refusals.items():
            for place, name in places:
                self._kept.append((place, name, getattr(place, name)))
                setattr(place, name, self._refusing(why))

    def _refusing(self, why: str) -> Any:
        def refuse(*_: object, **__: object) -> NoReturn:
            self._recording.unsafe.append(why)
            raise RuntimeError(f"{why}, where cells are run once for several kernels")

        return refuse

    # ── in a fork ──

    def before(self) -> None:
        """In a fork, before there is a kernel around the shell."""
        for place, name, value in self._kept:
            setattr(place, name, value)

    def after(self, app: Any) -> None:
        """In a fork, when there is one."""
        self._shell.kernel = app.kernel
        self._shell.parent = app.kernel
        self._recording.out.later = self._recording.err.later = True


#: What random numbers come next, when the shared cells have ended.
_draws: Final[list[dict[str, Any]]] = []


def _drawn() -> dict[str, Any]:
    numpy = sys.modules.get("numpy.random")
    found = {"random": random.getstate()}
    return found if numpy is None else {**found, "numpy": numpy.get_state()}


def go_on(count: int, code: str) -> None:
    """In a fork, before its first cell: all is as if it had run the shared cells.

    History has the injected cell as it stands in the notebook, and the same random numbers
    come next in every fork: what made the kernel drew some.
    """
    random.setstate(_draws[-1]["random"])
    if "numpy" in _draws[-1]:
        sys.modules["numpy.random"].set_state(_draws[-1]["numpy"])
    from IPython import get_ipython

    shell: Any = get_ipython()
    history = shell.history_manager
    for each in (history.input_hist_parsed, history.input_hist_raw):
        each[count] = code
