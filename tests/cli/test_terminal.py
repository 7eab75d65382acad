"""In a terminal that a person sits at: a live table, and Ctrl-C as a keyboard sends it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time

from tests.cli.terminal import DEADLINE_SECONDS, Terminal

STEPS = """
import time
from pathlib import Path
from mlflowkit import dag, report_progress, task

HERE = Path(__file__).parent

@task
def fit(endless: bool) -> None:
    for epoch in range(1, 4):
        report_progress(epoch=epoch, epochs=3, loss=1 / epoch, accuracy=0.9)
        time.sleep(0.4)
    while endless:
        time.sleep(0.1)

@dag
def steps(endless: bool = False):
    fit(endless)
"""


class Keyboard:
    """A command in a pseudo-terminal, which is its controlling one."""

    def __init__(self, terminal: Terminal, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflowkit", *arguments],
            cwd=terminal.folder,
            env={**terminal.environment, "TERM": "xterm", "COLUMNS": "100"},
            preexec_fn=lambda: os.login_tty(theirs),
        )
        os.close(theirs)
        self.seen = ""

    def read_until(self, wanted: str) -> None:
        """Read what is shown until `wanted` was."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while wanted not in self.plain():
            assert time.monotonic() < deadline, self.plain()
            assert self._read(), self.plain()

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def end(self) -> int:
        """Read to the end; gives the exit status."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(DEADLINE_SECONDS)

    def plain(self) -> str:
        """What was shown, without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)


def test_a_table_shows_the_progress_of_a_running_task(terminal: Terminal) -> None:
    terminal.pipeline(STEPS)
    keyboard = Keyboard(terminal, "run", "p.py")
    keyboard.read_until("epoch 2/3, loss 0.500, accuracy 90.0%")
    assert keyboard.end() == 0
    assert "steps/1: success" in keyboard.plain()
    assert keyboard.seen.rfind("\x1b[?25h") > keyboard.seen.rfind("\x1b[?25l")


def test_ctrl_c_at_the_keyboard_stops_the_run_and_gives_the_terminal_back(
    terminal: Terminal,
) -> None:
    terminal.pipeline(STEPS)
    keyboard = Keyboard(terminal, "run", "p.py", "-p", "endless=true")
    keyboard.read_until("epoch 3/3")
    keyboard.press(b"\x03")
    assert keyboard.end() == 130
    assert "steps/1: failed" in keyboard.plain()
    assert keyboard.seen.rfind("\x1b[?25h") > keyboard.seen.rfind("\x1b[?25l")
    assert terminal.left_running() == []
    states = terminal("runs", "show", "steps/1", "--json").json()["tasks"]
    assert states == {"fit[-1]": "failed"}
