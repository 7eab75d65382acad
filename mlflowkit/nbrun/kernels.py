"""Kernels: started, watched, interrupted, ended. How one is started is known here alone.

`start_kernel` is the seam: it asks for a kernel forked from a warm template first, and
starts a fresh process where that may not be; both are a `KernelHandle`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from mlflowkit.errors import KernelDidNotStart
from mlflowkit.nbrun import failures, kernel_forked, launch
from mlflowkit.nbrun.kernel_client import NoForkedKernel
from mlflowkit.nbrun.kernel_handle import END_SECONDS, KernelHandle

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec

__all__ = [
    "END_SECONDS",
    "KernelHandle",
    "first_words",
    "kernel_environment",
    "reply_to",
    "start_kernel",
]

log = logging.getLogger("mlflowkit.notebooks")
START_SECONDS: Final = 60.0
#: Names in the environment that a kernel has no business with.
_NOT_FOR_KERNELS: Final = frozenset({"JPY_PARENT_PID", "JPY_SESSION_NAME"})
#: What hooks and variables read, in cells as elsewhere.
_FOR_HOOKS: Final = ("MLFLOWKIT_CONN_", "MLFLOWKIT_VAR_", "MLFLOWKIT_SECRETS_BACKEND")
_SECRET_WORDS: Final = ("FERNET", "TOKEN", "SECRET", "PASSWORD")


def kernel_environment(env: Mapping[str, str], **more: str) -> dict[str, str]:
    """`env` for a kernel: our own keys and tokens taken out, `more` put in.

    Connections and variables that the person defined in the environment (MLFLOWKIT_CONN_…,
    MLFLOWKIT_VAR_…) stay, and the secrets back end: cells use hooks as functions do.
    """
    return {name: value for name, value in env.items() if _may_pass(name)} | more


def _may_pass(name: str) -> bool:
    if name in _NOT_FOR_KERNELS:
        return False
    if not name.startswith("MLFLOWKIT_") or name.startswith(_FOR_HOOKS):
        return True
    return not any(word in name for word in _SECRET_WORDS)


class ColdKernel(KernelHandle):
    """A fresh process, started and ended by Jupyter's own manager."""

    def __init__(
        self, manager: Any, client: AsyncKernelClient, pid: int, log: Path, why: str
    ) -> None:
        super().__init__(client, pid, log)
        self.manager, self.why_cold = manager, why
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        process = self.manager.provisioner.process
        while process.poll() is None:
            await self._exit_or(0.5)
        self._is_over(process.returncode)

    async def _exit_or(self, seconds: float) -> None:
        """Return when the process has ended, at the latest after `seconds`."""
        loop = asyncio.get_running_loop()
        if not hasattr(os, "pidfd_open"):
            await asyncio.sleep(min(seconds, 0.1))
            return
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            await asyncio.sleep(0.01)
            return
        ended = asyncio.Event()
        loop.add_reader(fd, ended.set)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), seconds)
        finally:
            loop.remove_reader(fd)
            os.close(fd)

    async def interrupt(self) -> None:
        with suppress(RuntimeError, OSError):
            await self.manager.interrupt_kernel()

    async def _end(self, seconds: float) -> None:
        below = _below(self.pid)
        if not self.dead and seconds > 0:
            with suppress(RuntimeError, OSError):
                await self.manager.request_shutdown()
                await asyncio.wait_for(self.died(), seconds)
        below += [child for child in _below(self.pid) if child not in below]
        if not self.dead:
            _kill_group(self.pid)
        for process in below:
            with suppress(psutil.Error):
                process.kill()
        await self.died()
        _kill_group(self.pid)
        self.client.stop_channels()
        self.manager.provisioner.process = None
        await self.manager.cleanup_resources()


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _kill_group(pid: int) -> None:
    """The kernel leads its own session; what is left of its group goes too."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def start_kernel(
    spec: KernelSpec,
    cwd: Path,
    env: Mapping[str, str],
    folder: Path,
    cells: Iterable[str] = (),
) -> KernelHandle:
    """Start a kernel and wait until it answers: a forked one, or else a cold one.

    Args:
        spec: What to start.
        cwd: Its working folder.
        env: Its whole environment.
        folder: A private folder for its sockets and files.
        cells: Sources of the code cells that will run, to import ahead what they import.

    Raises:
        KernelDidNotStart: it ended, or said nothing for a minute; with its last words.
    """
    if not cwd.is_dir():
        how = f"could not be started in {cwd}, which is no folder,"
        raise KernelDidNotStart(spec.display_name, how, " ".join(spec.argv), "")
    try:
        return await kernel_forked.start(spec, cwd, env, folder / "kernel.log", cells)
    except NoForkedKernel as exc:
        why = str(exc)
    log.info("a cold kernel: %s", why, extra={"action": "kernel_cold", "why": why})
    return await _start_cold(spec, cwd, env, folder, why)


async def _start_cold(
    spec: KernelSpec, cwd: Path, env: Mapping[str, str], folder: Path, why: str
) -> KernelHandle:
    manager = _manager(spec, folder)
    out_path = folder / "kernel.log"
    extra = ["--HistoryManager.hist_file=:memory:"] if _is_ipykernel(spec) else []
    with out_path.open("ab") as out:
        await manager.start_kernel(
            extra_arguments=extra, cwd=str(cwd), env=dict(env), stdout=out, stderr=out
        )
    client = manager.client()
    client.start_channels(hb=False, stdin=False)
    handle = ColdKernel(manager, client, manager.provisioner.pid, out_path, why)
    try:
        handle.info = await _ready(handle, spec)
    except BaseException:
        await handle.end(0)
        raise
    return handle


def _is_ipykernel(spec: KernelSpec) -> bool:
    return any("ipykernel" in word for word in spec.argv)


def _manager(spec: KernelSpec, folder: Path) -> Any:
    from jupyter_client.manager import AsyncKernelManager

    class TiedManager(AsyncKernelManager):
        """Its kernels die with this process."""

        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            command = super().format_kernel_cmd(extra_arguments)
            tie = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
            return [*tie, *command]

    manager = TiedManager(
        transport="ipc",
        ip=str(folder / "s"),
        connection_file=str(folder / "connection.json"),
        kernel_name=spec.display_name or "kernel",
    )
    manager._kernel_spec = spec
    return manager


async def _ready(handle: KernelHandle, spec: KernelSpec) -> dict[str, Any]:
    """The kernel's first reply; by then its output channel is known to be open."""
    name = spec.display_name or spec.argv[0]
    waiting = asyncio.create_task(first_words(handle.client))
    died = asyncio.create_task(handle.died())
    try:
        await asyncio.wait(
            {waiting, died}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting.done():
            return waiting.result()
        how = (
            failures.how_it_died(await died)
            if died.done()
            else f"said nothing for {START_SECONDS:g} s"
        )
        raise KernelDidNotStart(name, how, " ".join(spec.argv), handle.log_tail())
    finally:
        for task in (waiting, died):
            task.cancel()


async def first_words(client: AsyncKernelClient) -> dict[str, Any]:
    """Its reply to a kernel_info_request, when its output channel is open, too."""
    from queue import Empty

    reply: dict[str, Any] = {}
    while True:
        asked = client.kernel_info()
        if not reply:
            reply = await reply_to(client, asked)
        try:
            await client.iopub_channel.get_msg(timeout=0.2)
        except Empty:
            continue  # the subscription was not there yet: ask again, to be heard
        return reply


async def reply_to(client: AsyncKernelClient, asked: str) -> dict[str, Any]:
    """Wait for the reply to a request, by its id: its content."""
    while True:
        message = await client.shell_channel.get_msg(timeout=None)
        if message["parent_header"].get("msg_id") == asked:
            content: dict[str, Any] = message["content"]
            return content
