"""BashOperator: a shell command as a task. Everything it starts ends with the task."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.errors import BadOption, BashCannotStart, CommandFailed, TaskSkipped
from mlflowkit.operators.processes import Child


class BashOperator(BaseOperator):
    """Runs a command with bash. Its last line of output is the XCom.

    Args:
        bash_command: The command, or the output of a task that gives one. A text that ends
            with .sh or .bash names a file with a template; put a space after a script's name
            to run the script itself.
        env: Environment of the command; the worker's own if None.
        append_env: Add `env` to the worker's environment instead of replacing it.
        cwd: Folder to run in; the task's working folder if None.
        skip_on_exit_code: Exit status, or several, that mean "skipped" and not "failed".
        output_processor: Makes the XCom out of the last line: `json.loads`, for example.
    """

    template_fields: ClassVar[tuple[str, ...]] = ("bash_command", "env", "cwd")
    template_ext: ClassVar[tuple[str, ...]] = (".sh", ".bash")

    def __init__(
        self,
        task_id: str,
        *,
        bash_command: object,
        env: Mapping[str, object] | None = None,
        append_env: bool = False,
        cwd: object = None,
        skip_on_exit_code: int | Iterable[int] | None = 99,
        output_processor: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.bash_command = bash_command
        self.env = env
        self.append_env = append_env
        self.cwd = cwd
        self.skip_on_exit_code = _statuses(task_id, skip_on_exit_code)
        if output_processor is not None and not callable(output_processor):
            raise BadOption(f"task {task_id!r}", "output_processor", "must be a function")
        self.output_processor = output_processor
        self._given += meant_by_name(output_processor)
        self._child = Child()

    def execute(self, context: Mapping[str, Any]) -> object:
        """Run the command; its output is streamed to the task's log.

        Returns:
            The last line of output, without its line break; "" if there was none. What
            `output_processor` makes of it, if there is one.

        Raises:
            CommandFailed: it ended with a status other than 0.
            TaskSkipped: it ended with a status of `skip_on_exit_code`.
            BashCannotStart: there is no bash or no such folder.
        """
        self._child = child = Child()  # its own: an operator is copied for each instance
        bash, cwd = self._shell(), self._folder()
        status = child.run(
            [bash, "-c", str(self.bash_command)], cwd=cwd, env=self._environment()
        )
        if status in self.skip_on_exit_code:
            raise TaskSkipped(f"the command of task {self.task_id!r} ended with {status}")
        if status != 0:
            raise CommandFailed(self.task_id, status, child.last_lines)
        process = self.output_processor
        return process(child.last_line) if process else child.last_line

    def on_kill(self) -> None:
        """End the command and all that it started in its process group."""
        self._child.end()

    def _shell(self) -> str:
        bash = shutil.which("bash") or shutil.which("sh")
        if bash is None:
            raise BashCannotStart(self.task_id, "neither bash nor sh is on the PATH")
        return bash

    def _folder(self) -> Path | None:
        cwd = Path(str(self.cwd)) if self.cwd is not None else None
        if cwd is not None and not cwd.is_dir():
            raise BashCannotStart(self.task_id, f"its cwd {cwd} is not a folder")
        return cwd

    def _environment(self) -> dict[str, str] | None:
        if self.env is None:
            return None
        own = {name: str(value) for name, value in self.env.items()}
        return {**os.environ, **own} if self.append_env else own


def _statuses(task_id: str, given: int | Iterable[int] | None) -> tuple[int, ...]:
    if given is None:
        return ()
    codes = (given,) if isinstance(given, int) else tuple(given)
    odd = [c for c in codes if not isinstance(c, int) or isinstance(c, bool)]
    if odd:
        why = f"must be whole numbers, not {odd[0]!r}"
        raise BadOption(f"task {task_id!r}", "skip_on_exit_code", why)
    return codes
