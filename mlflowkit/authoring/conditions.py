"""Whether a task runs at all: `@task.run_if(...)` and `@task.skip_if(...)`, asked in the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlflowkit.authoring.python import PythonOperator
from mlflowkit.errors import TaskSkipped

#: Gets the context; gives whether, or whether and why.
Question = Callable[[Mapping[str, Any]], bool | tuple[bool, str | None]]


class Condition:
    """Something that is asked before a task's own code is called."""

    def __init__(self, ask: Question, *, run_when: bool, message: str | None) -> None:
        self.ask, self.run_when, self.message = ask, run_when, message

    def check(self, context: Mapping[str, Any]) -> None:
        """Raises TaskSkipped if the task is not to run."""
        answer = self.ask(context)
        why: str | None = None
        if isinstance(answer, tuple):
            answer, why = answer
        if bool(answer) is not self.run_when:
            name = "run_if" if self.run_when else "skip_if"
            raise TaskSkipped(why or self.message or f"skipped by {name}")


class Conditional(PythonOperator):
    """A task made of a function, with conditions that are asked before it is called."""

    conditions: tuple[Condition, ...] = ()

    def execute(self, context: Mapping[str, Any]) -> object:
        for condition in self.conditions:
            condition.check(context)
        return super().execute(context)


class DecoratedPython(Conditional):
    """What `@task` makes of a function."""

    shown_as = "@task"
    gives_what_it_returns = True
