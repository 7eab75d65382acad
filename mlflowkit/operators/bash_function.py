"""`@task.bash`: a function returns the command that is run with bash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mlflowkit.authoring import opened
from mlflowkit.authoring.conditions import Conditional
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.errors import BadOption
from mlflowkit.operators.bash import BashOperator

#: Arguments of BashOperator that are given to the decorator.
_OF_BASH = ("env", "append_env", "cwd", "skip_on_exit_code", "output_processor")


class DecoratedBash(Conditional):
    """Calls a function, and runs what it returns with bash. The XCom is BashOperator's.

    Args:
        env: Environment of the command; the worker's own if None.
        append_env: Add `env` to the worker's environment instead of replacing it.
        cwd: Folder to run in; the task's working folder if None.
        skip_on_exit_code: Exit status, or several, that mean "skipped" and not "failed".
        output_processor: Makes the XCom out of the last line: `json.loads`, for example.

    What the function returns is a template, as in Airflow.

    Raises:
        BadOption: the function returned no command.
    """

    shown_as = "@task.bash"
    template_fields: ClassVar[Sequence[str]] = (
        *PythonOperator.template_fields,
        "env",
        "cwd",
    )

    def __init__(
        self,
        task_id: str,
        *,
        env: Mapping[str, object] | None = None,
        append_env: bool = False,
        cwd: object = None,
        skip_on_exit_code: int | Iterable[int] | None = 99,
        output_processor: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.env, self.append_env, self.cwd = env, append_env, cwd
        self.skip_on_exit_code = skip_on_exit_code
        self.output_processor = output_processor
        self._bash: BashOperator | None = None

    def call(self, context: Mapping[str, Any]) -> object:
        command = super().call(context)
        if not isinstance(command, str) or not command.strip():
            why = f"must return a command for bash: a text, not {command!r}"
            raise BadOption(f"task {self.task_id!r}", "python_callable", why)
        render = getattr(context, "text", None)
        if callable(render):
            command = str(render("bash_command", command))
        given = {name: getattr(self, name) for name in _OF_BASH}
        with opened.nothing():
            self._bash = BashOperator(self.task_id, bash_command=command, **given)
        return self._bash.execute(context)

    def on_kill(self) -> None:
        if self._bash is not None:
            self._bash.on_kill()
