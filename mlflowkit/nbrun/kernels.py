"""Kernels: started, watched, interrupted, ended. How one is started is known here alone.

`start_kernel` is the seam: today each kernel is a fresh process; whoever makes kernels
another way returns the same `KernelHandle`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from mlflowkit.errors import KernelDidNotStart
from mlflowkit.nbrun import failures, launch

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec

#: An orderly end (atexit handlers, open files) may take this long.
END_SECONDS: Final = 2.0
START_SECONDS: Final = 60.0
#: Names in the environment that a kernel has no business with.
_NOT_FOR_KERNELS: Final = frozenset({"JPY_PARENT_PID", "JPY_SESSION_NAME"})
#: What hooks and variables read, in cells as elsewhere.
_FOR_HOOKS: Final = ("MLFLOWKIT_CONN_", "MLFLOWKIT_VAR_", "MLFLOWKIT_SECRETS_BACKEND")
_SECRET_WORDS: Final = ("FERNET", "TOKEN", "SECRET", "PASSWORD")
_LOG_TAIL_BYTES: Final = 16_000


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


class KernelHandle:
    """One running kernel.

    Attributes:
        client: Connected to its sockets.
        pid: Its process.
        info: Its reply to the first kernel_info_request.
    """

    def __init__(
        self, manager: Any, client: AsyncKernelClient, pid: int, log: Path
    ) -> None:
        self.manager, self.client, self.pid = manager, client, pid
        self.info: dict[str, Any] = {}
        self.peak_bytes = 0
        self._log, self._ended = log, False
        self._died = asyncio.get_running_loop().create_future()
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        process = self.manager.provisioner.process
        while process.poll() is None:
            self._measure()
            await self._exit_or(0.5)
        if not self._died.done():
            self._died.set_result(process.returncode)

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

    def _measure(self) -> None:
        with suppress(psutil.Error):
            self.peak_bytes = max(
                self.peak_bytes, psutil.Process(self.pid).memory_info().rss
            )

    @property
    def dead(self) -> bool:
        """Whether its process has ended."""
        return self._died.done()

    async def died(self) -> int:
        """Wait for its end. Returns the exit status, negative for a signal."""
        return int(await asyncio.shield(self._died))

    def has_children(self) -> bool:
        """Whether cells left processes running."""
        return not self.dead and bool(_below(self.pid))

    async def interrupt(self) -> None:
        """What Jupyter's stop button does: KeyboardInterrupt in the running cell."""
        with suppress(RuntimeError, OSError):
            await self.manager.interrupt_kernel()

    def log_tail(self) -> str:
        """The end of what the process wrote outside of any cell."""
        try:
            data = self._log.read_bytes()[-_LOG_TAIL_BYTES:]
        except OSError:
            return ""
        return failures.last_words(data.decode(errors="replace"))

    async def end(self, seconds: float = END_SECONDS) -> None:
        """End it in an orderly way within `seconds`, else by SIGKILL, its children too.

        Twice is once.
        """
        if self._ended:
            return
        self._ended = True
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
    spec: KernelSpec, cwd: Path, env: Mapping[str, str], folder: Path
) -> KernelHandle:
    """Start a kernel and wait until it answers.

    Args:
        spec: What to start.
        cwd: Its working folder.
        env: Its whole environment.
        folder: A private folder for its sockets and files.

    Raises:
        KernelDidNotStart: it ended, or said nothing for a minute; with its last words.
    """
    manager = _manager(spec, folder)
    log = folder / "kernel.log"
    extra = ["--HistoryManager.hist_file=:memory:"] if _is_ipykernel(spec) else []
    if not cwd.is_dir():
        how = f"could not be started in {cwd}, which is no folder,"
        raise KernelDidNotStart(spec.display_name, how, " ".join(spec.argv), "")
    with log.open("wb") as out:
        await manager.start_kernel(
            extra_arguments=extra, cwd=str(cwd), env=dict(env), stdout=out, stderr=out
        )
    client = manager.client()
    client.start_channels(hb=False, stdin=False)
    handle = KernelHandle(manager, client, manager.provisioner.pid, log)
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
    waiting = asyncio.create_task(_first_words(handle.client))
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


async def _first_words(client: AsyncKernelClient) -> dict[str, Any]:
    from queue import Empty

    reply: dict[str, Any] = {}
    while True:
        asked = client.kernel_info()
        if not reply:
            reply = await _reply_to(client, asked)
        try:
            await client.iopub_channel.get_msg(timeout=0.2)
        except Empty:
            continue  # the subscription was not there yet: ask again, to be heard
        return reply


async def _reply_to(client: AsyncKernelClient, asked: str) -> dict[str, Any]:
    while True:
        message = await client.shell_channel.get_msg(timeout=None)
        if message["parent_header"].get("msg_id") == asked:
            content: dict[str, Any] = message["content"]
            return content
