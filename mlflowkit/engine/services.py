"""Processes that outlive the task that asked for them: model servers. The engine is their parent."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mlflowkit.errors import ServiceNotStarted
from mlflowkit.worker.processes import ENGINE_MARK


class ServiceProcesses:
    """They are left running when the engine ends: a deployed model stays deployed."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: list[str], env: Mapping[str, str], log: Path) -> int:
        """Start a service in a session of its own. Returns its pid.

        Raises:
            ServiceNotStarted: the program cannot be started.
        """
        clean = {k: v for k, v in env.items() if k != ENGINE_MARK}
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as out:
                process = subprocess.Popen(
                    argv,
                    env=clean,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
        except OSError as exc:
            raise ServiceNotStarted(name, argv[0], str(exc)) from exc
        self._running[name] = process
        return process.pid

    def stop(self, name: str) -> None:
        """End a service that this engine started, and what is below it."""
        process = self._running.pop(name, None)
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def reap(self) -> None:
        """Bury those that have ended by themselves."""
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                del self._running[name]
