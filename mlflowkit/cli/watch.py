"""`mlflowkit runs watch`: how a run goes, for somebody who only looks."""

from __future__ import annotations

import time
from typing import Final

from mlflowkit.cli.closing import tell_end
from mlflowkit.cli.console import console
from mlflowkit.cli.screen import Screen
from mlflowkit.errors import RunInterrupted
from mlflowkit.handles.run import RunHandle

LOOK_SECONDS: Final = 0.2
STOPPED: Final = 130


def watch_run(handle: RunHandle, *, logs: bool) -> int:
    """Show a run until it has ended. Gives the exit status: 0, 1, or 130 after Ctrl-C.

    Raises:
        RunInterrupted: nobody works on it.
    """
    terminal = console()
    if not handle.view().ended:
        with Screen([handle.run_id], handle.home, terminal, logs=logs):
            try:
                _wait(handle)
            except KeyboardInterrupt:
                return STOPPED
    return 0 if tell_end(handle, terminal, "").state == "success" else 1


def _wait(handle: RunHandle) -> None:
    while not (view := handle.view()).ended:
        if view.interrupted:
            raise RunInterrupted(handle.run_id)
        time.sleep(LOOK_SECONDS)
