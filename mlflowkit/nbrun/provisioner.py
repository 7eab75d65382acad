"""The Jupyter kernel provisioner "mlflowkit": forked kernels for JupyterLab, papermill, nbclient.

A kernel spec asks for it (`mlflowkit install-kernel` writes one). Where a forked kernel may
not be had, Jupyter's own way is gone, and the log says why. Clients see one address for a
kernel's whole life, restarts included: links in a private folder lead to its sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from mlflowkit.nbrun import held, kernel_client, kernel_forked
from mlflowkit.nbrun.kernel_client import Lent, NoForkedKernel
from mlflowkit.nbrun.private import PrivateFolder

log = logging.getLogger("mlflowkit.notebooks")

#: In a kernel's environment: the id of a held kernel to use instead of a new one.
ENV_ATTACH: Final = "MLFLOWKIT_ATTACH_KERNEL"
_PORTS: Final = ("shell_port", "stdin_port", "control_port", "iopub_port", "hb_port")
#: An orderly end gets this long in `shutdown_requested`; then Jupyter escalates as ever.
_END_SECONDS: Final = 2.0
_LARGEST_NOTEBOOK: Final = 20_000_000


class ForkedProcess:
    """A lent kernel, with the part of `subprocess.Popen` that provisioners use."""

    stdin = stdout = stderr = None

    def __init__(self, lent: Lent) -> None:
        self._lent, self.pid = lent, lent.pid

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        while self._lent.died is None and select.select([self._lent], [], [], 0)[0]:
            self._lent.hear()
        return self._lent.died

    def wait(self, timeout: float = 10.0) -> int | None:
        status = self._lent.wait(timeout)
        self._lent.close()
        return status

    def ask_end(self, seconds: float) -> None:
        self._lent.ask_end(seconds)

    def wait_only(self, seconds: float) -> None:
        """Wait for its end; whoever asks for its status still gets it."""
        self._lent.wait(seconds)

    def send_signal(self, number: int) -> None:
        self._lent.signal(number)

    def kill(self) -> None:
        self._lent.ask_end(0)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class AttachedProcess:
    """A kernel that the kernel server holds: used here, and not ended with this."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid, self._pidfd = pid, os.pidfd_open(pid)

    def poll(self) -> int | None:
        return 0 if select.select([self._pidfd], [], [], 0)[0] else None

    def wait(self, timeout: float = 10.0) -> int | None:
        ended = bool(select.select([self._pidfd], [], [], timeout)[0])
        return 0 if ended else None

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class MlflowkitProvisioner(LocalProvisioner):
    """Lends kernels from the kernel server, or starts them as `LocalProvisioner` does."""

    process: Any
    _given: dict[str, Any]
    _order: kernel_client.StartOrder | None = None
    _attach = ""
    #: The connection that says that a held kernel is open here.
    _opened: kernel_client.KernelServer | None = None
    _stack: ExitStack | None = None
    _folder: Path

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Decide which way the kernel is started."""
        self._given = dict(kwargs)
        environment = kwargs.get("env") or dict(os.environ)
        attach = environment.pop(ENV_ATTACH, "") or self.kernel_spec.env.get(ENV_ATTACH, "")
        # One that a person restarts is a new one from then on.
        self._attach = attach if self._opened is None else ""
        self._order = None
        try:
            self._order = await asyncio.to_thread(self._wish, kwargs, environment)
        except NoForkedKernel as exc:
            return await self._cold(exc, kwargs)
        kwargs.pop("extra_arguments", None)
        kwargs.pop("transport_encryption", None)
        found: dict[str, Any] = await KernelProvisionerBase.pre_launch(
            self, cmd=[], **kwargs
        )
        return found

    async def _cold(self, why: object, kwargs: dict[str, Any]) -> dict[str, Any]:
        log.info("a cold kernel: %s", why, extra={"action": "kernel_cold"})
        self._order, self._attach = None, ""
        manager = self.parent
        if manager is not None and manager.transport == "ipc" and self._stack is not None:
            manager.transport, manager.ip = "tcp", "127.0.0.1"
            for name in _PORTS:
                setattr(manager, name, 0)
        found: dict[str, Any] = await super().pre_launch(**kwargs)
        return found

    def _wish(
        self, kwargs: Mapping[str, Any], environment: Mapping[str, str]
    ) -> kernel_client.StartOrder:
        manager = self.parent
        if manager is None:
            raise NoForkedKernel("no kernel manager")
        if getattr(manager, "transport_encryption", "disabled") not in ("disabled", False):
            raise NoForkedKernel("its connection is to be encrypted")
        if any(kwargs.get(name) == subprocess.PIPE for name in ("stdout", "stderr")):
            raise NoForkedKernel("its output is read from a pipe")
        cwd = Path(kwargs.get("cwd") or Path.cwd()).absolute()
        extra = tuple(kwargs.get("extra_arguments") or ())
        cells = _cells_of(environment.get("JPY_SESSION_NAME", ""), cwd)
        wish = kernel_forked.order(self.kernel_spec, cwd, environment, cells, extra)
        return replace(wish, key=manager.session.key.decode())

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start it. Returns its connection information."""
        if self._order is None:
            return await super().launch_kernel(cmd, **kwargs)
        try:
            connection = await asyncio.to_thread(self._lend, kwargs)
        except NoForkedKernel as exc:
            if self._attach:
                raise RuntimeError(f"there is no such held kernel any more: {exc}") from exc
            cold = await self._cold(exc, self._given)
            return await super().launch_kernel(cold.pop("cmd"), **cold)
        self.pid = self.pgid = self.process.pid
        self.cwd = self._order.cwd
        self.connection_info = connection
        return connection

    def _lend(self, kwargs: Mapping[str, Any]) -> Any:
        assert self._order is not None
        if self._attach:
            self._opened, kernel = held.reach(self._attach)
            found = self._opened.open(kernel)
            self.process, connection = AttachedProcess(found["pid"]), found["connection"]
        else:
            with _descriptors(kwargs) as (out, err):
                lent = kernel_client.lend(self._order, out, err)
            self.process, connection = ForkedProcess(lent), lent.connection
        return {**self._link(connection), "key": connection["key"].encode()}

    def _link(self, connection: dict[str, Any]) -> dict[str, Any]:
        """The address of this kernel's own folder, where links lead to its sockets."""
        if self._stack is None:
            self._stack = ExitStack()
            self._folder = self._stack.enter_context(PrivateFolder()).path
        for at, name in enumerate(_PORTS, 1):
            link, new = self._folder / f"s-{at}", self._folder / "new"
            new.symlink_to(f"{connection['ip']}-{connection[name]}")
            new.replace(link)
        ports = {name: at for at, name in enumerate(_PORTS, 1)}
        return {**connection, "ip": str(self._folder / "s"), **ports}

    async def wait(self) -> int | None:
        """Wait for its end, without polling."""
        if not isinstance(self.process, ForkedProcess | AttachedProcess):
            found: int | None = await super().wait()
            return found
        status = await asyncio.to_thread(self.process.wait)
        self.process = None
        return status

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Have it end in an orderly way, so that nobody needs to look again and again."""
        if isinstance(self.process, ForkedProcess):
            self.process.ask_end(_END_SECONDS)
            await asyncio.to_thread(self.process.wait_only, _END_SECONDS)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove what is left of it. A held kernel is not open here any more."""
        if self._opened is not None:
            self._opened.close()
            if not restart:
                self._opened = None
        if not restart and self._stack is not None:
            self._stack.close()
            self._stack = None
        await super().cleanup(restart=restart)


@contextmanager
def _descriptors(kwargs: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Where a process that is started with these arguments would write to."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for name, own in (("stdout", 1), ("stderr", 2)):
            given = kwargs.get(name)
            if given is None:
                found.append(own)
            elif given == subprocess.DEVNULL:
                found.append(stack.enter_context(Path(os.devnull).open("wb")).fileno())
            elif given == subprocess.STDOUT:
                found.append(found[0])
            else:
                found.append(given if isinstance(given, int) else given.fileno())
        yield found[0], found[1]


def _cells_of(session: str, cwd: Path) -> list[str]:
    """Code cells of the notebook that JupyterLab starts the kernel for, if it says so."""
    path = cwd / session
    if not session.endswith(".ipynb") or not path.is_file():
        return []
    from mlflowkit.errors import NotebookError
    from mlflowkit.nbrun import source

    try:
        if path.stat().st_size > _LARGEST_NOTEBOOK:
            return []
        notebook = source.load(path)
    except (NotebookError, OSError):
        return []
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def spec_of_this(display_name: str) -> dict[str, Any]:
    """A kernel spec (kernel.json) that asks for this provisioner and this interpreter."""
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {"provisioner_name": "mlflowkit", "config": {}},
        },
    }
