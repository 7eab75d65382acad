"""Reaching the kernel server, and starting it where none listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from mlflowkit import ports
from mlflowkit.nbrun.kernel_lent import NoForkedKernel
from mlflowkit.nbrun.kernel_place import Place

#: A server listens after this long, or never.
_LISTEN_SECONDS: Final = 20.0
#: Seconds without connections after which a server ends.
ENV_IDLE: Final = "MLFLOWKIT_KERNEL_IDLE"


def connection(place: Place) -> socket.socket:
    """A connection to the server of this place.

    Raises:
        NoForkedKernel: it could not be started.
    """
    sock = place.connect()
    if sock is not None:
        return sock
    with place.starting():
        sock = place.connect()
        if sock is None:
            _start_server(place)
            sock = place.connect()
    if sock is None:
        raise NoForkedKernel("the kernel server could not be started")
    return sock


def _start_server(place: Place) -> None:
    """Start one and wait until it listens."""
    argv = [sys.executable, "-P", "-m", "mlflowkit.nbrun.kernel_server", str(place.folder)]
    if ENV_IDLE in os.environ:
        argv.append(os.environ[ENV_IDLE])
    # It outlives who starts it and serves all homes: no home, mark or secret of one of them.
    env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOWKIT_")}
    log = place.folder.with_suffix(".log")
    place.socket_path.unlink(missing_ok=True)  # of one that was killed
    alive = _spawn(argv, env, log)
    until = monotonic() + _LISTEN_SECONDS
    pause = threading.Event()
    while not place.socket_path.exists():
        if monotonic() > until or not alive():
            words = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise NoForkedKernel(f"the kernel server did not start: {' '.join(words)}")
        pause.wait(0.005)
    with suppress(OSError):
        log.unlink()


def _spawn(argv: list[str], env: dict[str, str], log: Path) -> Callable[[], bool]:
    """Detached. A running task has the engine start it: it would end with the attempt."""
    task = ports.running_task()
    if task is not None:
        pid = task.services.start("kernel server", argv, env=env, log=log)
        return lambda: Path(f"/proc/{pid}").exists()
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    threading.Thread(
        target=process.wait, daemon=True
    ).start()  # so that it leaves no zombie
    return lambda: process.returncode is None
