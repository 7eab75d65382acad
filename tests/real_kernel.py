"""A real kernel: cells go in; what they print and show comes out."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from jupyter_client.manager import KernelManager

SECONDS = 60


class CellRaised(Exception):
    """`name: value`, and the lines that the person saw."""

    def __init__(self, text: str, shown: list[str]) -> None:
        super().__init__(text)
        self.shown = shown


@dataclass
class Said:
    printed: str = ""
    #: What was shown, by MIME type: one for each output.
    shown: list[dict[str, Any]] = field(default_factory=list)


class Kernel:
    def __init__(self, manager: KernelManager, folder: Path) -> None:
        self.folder = folder
        self._client = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)

    def close(self) -> None:
        self._client.stop_channels()

    def ask(self, code: str) -> Said:
        """Run a cell.

        Raises:
            CellRaised: it raised.
        """
        sent, said = self._client.execute(dedent(code)), Said()
        error: CellRaised | None = None
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=SECONDS)
            except queue.Empty:
                raise TimeoutError(code) from None
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                said.printed += content["text"]
            elif kind in ("execute_result", "display_data"):
                said.shown.append(content["data"])
            elif kind == "error":
                text = f"{content['ename']}: {content['evalue']}"
                error = CellRaised(text, content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                break
        if error is not None:
            raise error
        return said

    def cell(self, code: str) -> str:
        """What a cell printed."""
        return self.ask(code).printed.strip()


@contextmanager
def started(folder: Path, **env: str) -> Iterator[KernelManager]:
    """A kernel in `folder`, with more in its environment; ended at once afterwards."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(folder), env={**os.environ, **env})
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
