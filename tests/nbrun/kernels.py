# mypy: allow-untyped-calls
"""Kernel servers of a test's own, and how cold and forked kernels are told apart."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from mlflowkit.nbrun import kernel_client
from mlflowkit.nbrun.kernel_client import KernelServer, Lent, StartOrder
from mlflowkit.nbrun.kernel_place import Place


def wait_until(true: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class OwnServer:
    """A kernel server in a folder of its own, with one connection to it."""

    def __init__(self, idle: float = 60) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="ks", dir="/tmp"))
        self.place = Place(self.base / "s")
        os.environ[kernel_client.ENV_IDLE] = str(idle)
        try:
            self.server: KernelServer = kernel_client.connect(self.place)
        finally:
            del os.environ[kernel_client.ENV_IDLE]
        self.log = (self.base / "kernel.log").open("wb")

    @property
    def pid(self) -> int:
        for process in psutil.process_iter(["cmdline"]):
            if str(self.place.folder) in (process.info["cmdline"] or []):
                return process.pid
        return 0

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def start(self, *preload: str, **more: Any) -> Lent:
        return self.server.start(
            order(*preload, **more), self.log.fileno(), self.log.fileno()
        )

    def close(self) -> None:
        pid = self.pid
        below = self.below() if pid else []
        self.server.close()
        kernel_client._open.pop(self.place.folder, None)
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: is_gone(pid), "the server does not end")
        for process in below:
            wait_until(lambda p=process: is_gone(p.pid), f"{process} was left behind")
        self.log.close()
        shutil.rmtree(self.base)


def order(
    *preload: str, cwd: Path = Path("/"), late: bool = False, **env: str
) -> StartOrder:
    fixed = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return StartOrder(
        env={**fixed, **env},
        late_env={},
        preload=preload,
        args=("--HistoryManager.hist_file=:memory:",),
        cwd=cwd,
        umask=0o022,
        late=late,
    )


@contextmanager
def talking(lent: Lent) -> Iterator[Any]:
    """A client of a kernel."""
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient()
    client.load_connection_info({**lent.connection, "key": lent.connection["key"].encode()})
    client.start_channels(hb=False)
    try:
        client.wait_for_ready(timeout=20)
        yield client
    finally:
        client.stop_channels()


def say(client: Any, code: str) -> str:
    """Run a cell. Returns what it printed; an error raises."""
    heard: list[str] = []

    def hear(message: Any) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            heard.append(content["text"])
        if message["msg_type"] == "error":
            heard.append(content["ename"])

    client.execute_interactive(code, output_hook=hear, timeout=120, allow_stdin=False)
    return "".join(heard)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
