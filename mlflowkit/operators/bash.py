"""BashOperator: a shell command as a task. Everything it starts ends with the task."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.errors import BashCannotStart, CommandFailed, TaskSkipped

#: Lines of output that an error shows.
SHOWN_LINES = 10
#: Seconds between SIGTERM and SIGKILL.
GRACE_SECONDS = 5.0


class BashOperator(BaseOperator):
    """Runs a command with bash. Its last line of output is the XCom.

    Args:
        bash_command: The command, or the output of a task that gives one.
        env: Environment of the command; the worker's own if None.
        append_env: Add `env` to the worker's environment instead of replacing it.
        cwd: Folder to run in; the task's working folder if None.
        skip_on_exit_code: Exit status that means "skipped" rather than "failed".
    """

    def __init__(
        self,
        task_id: str,
        *,
        bash_command: object,
        env: Mapping[str, object] | None = None,
        append_env: bool = False,
        cwd: object = None,
        skip_on_exit_code: int | tuple[int, ...] | None = 99,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.bash_command = bash_command
        self.env = dict(env) if env is not None else None
        self.append_env = append_env
        self.cwd = cwd
        codes = skip_on_exit_code
        self.skip_on_exit_code = (codes,) if isinstance(codes, int) else tuple(codes or ())
        self._child: subprocess.Popen[str] | None = None

    def execute(self, context: Mapping[str, Any]) -> object:
        """Run the command; its output is streamed to the task's log.

        Returns:
            The last line of output, without its line break; "" if there was none.

        Raises:
            CommandFailed: it ended with a status other than 0.
            TaskSkipped: it ended with a status of `skip_on_exit_code`.
            BashCannotStart: there is no bash or no such folder.
        """
        child = self._start()
        self._child = child
        last: deque[str] = deque(maxlen=SHOWN_LINES)
        try:
            for line in child.stdout or ():
                sys.stdout.write(line)
                sys.stdout.flush()
                last.append(line.rstrip("\n"))
            status = child.wait()
        finally:
            self.on_kill()
        if status in self.skip_on_exit_code:
            raise TaskSkipped(f"the command of task {self.task_id!r} ended with {status}")
        if status != 0:
            raise CommandFailed(self.task_id, status, "\n".join(last))
        return last[-1] if last else ""

    def on_kill(self) -> None:
        """End the command and all that it started in its process group."""
        child, self._child = self._child, None
        if child is None:
            return
        _signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=GRACE_SECONDS)
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()

    def _start(self) -> subprocess.Popen[str]:
        bash = shutil.which("bash") or shutil.which("sh")
        if bash is None:
            raise BashCannotStart(self.task_id, "neither bash nor sh is on the PATH")
        cwd = Path(str(self.cwd)) if self.cwd is not None else None
        if cwd is not None and not cwd.is_dir():
            raise BashCannotStart(self.task_id, f"its cwd {cwd} is not a folder")
        return subprocess.Popen(
            [bash, "-c", str(self.bash_command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="backslashreplace",
            cwd=cwd,
            env=self._environment(),
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str] | None:
        if self.env is None:
            return None
        own = {name: str(value) for name, value in self.env.items()}
        return {**os.environ, **own} if self.append_env else own


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
