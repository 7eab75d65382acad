"""BashSensor: waits until a shell command succeeds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.errors import CommandFailed, TaskFailedForGood
from mlflowkit.operators.bash import BashOperator


class BashSensor(BaseSensorOperator):
    """Waits until a command ends with status 0. Its output goes to the task's log.

    Args:
        bash_command: The command (templated). It runs in an empty temporary folder.
        env: Its environment (templated); the worker's own if None.
        retry_exit_code: Only this status means "not yet"; any other fails the task, and
            is not retried. None: every status but 0 means "not yet".
    """

    template_fields: ClassVar[Sequence[str]] = ("bash_command", "env")
    template_ext: ClassVar[Sequence[str]] = (".sh", ".bash")

    def __init__(
        self,
        task_id: str,
        *,
        bash_command: object,
        env: Mapping[str, object] | None = None,
        retry_exit_code: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.bash_command = bash_command
        self.env = None if env is None else dict(env)
        self.retry_exit_code = retry_exit_code
        self._running: BashOperator | None = None

    def poke(self, context: Mapping[str, Any]) -> bool:
        with tempfile.TemporaryDirectory(prefix="mlflowkit-sensor-") as folder:
            command = BashOperator(
                self.task_id,
                bash_command=self.bash_command,
                env=self.env,
                cwd=folder,
                skip_on_exit_code=None,
            )
            self._running = command
            try:
                command.execute(context)
            except CommandFailed as exc:
                if self.retry_exit_code in (None, exc.status):
                    return False
                raise TaskFailedForGood(str(exc)) from exc
            finally:
                self._running = None
        return True

    def on_kill(self) -> None:
        """End the command that is running."""
        if self._running is not None:
            self._running.on_kill()
