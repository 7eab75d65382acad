"""A terminal in a folder of its own: real processes, a real home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

DEADLINE_SECONDS = 120.0
#: What the engine of a test leaves in the environment of everything it starts.
HOME = "MLFLOWKIT_HOME"


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Runs `mlflowkit` in `folder`, with a home below it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOWKIT_")}
        quick = {"MLFLOWKIT_KILL_GRACE": "PT1S", "OMP_NUM_THREADS": "1"}
        quick["MLFLOWKIT_KEEP_FAILED_KERNEL"] = "PT0S"  # tests that want one say so
        return {**clean, **quick, HOME: str(self.home)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlflowkit", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, seconds: float = DEADLINE_SECONDS) -> Answer:
        """A command, to its end."""
        return finished(self.start(*arguments), seconds)

    def pipeline(self, text: str, name: str = "p.py") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def left_running(self) -> list[psutil.Process]:
        """Processes that work in this home."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get(HOME) == str(self.home)
            except psutil.Error:
                continue
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self.left_running():
            with suppress(psutil.NoSuchProcess):  # it has just ended by itself
                process.send_signal(signal.SIGKILL)


def finished(process: subprocess.Popen[str], seconds: float = DEADLINE_SECONDS) -> Answer:
    """Wait for a command's end."""
    out, err = process.communicate(timeout=seconds)
    return Answer(process.returncode, out, err)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
