"""Errors of XComs."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest


class XComError(UserError):
    """A value that is not there."""

    code = "xcom"


class UnknownXComTask(XComError):
    """An XCom was asked of a task that the DAG does not have."""

    code = "unknown_xcom_task"

    def __init__(self, task_id: str, asked: str, known: Iterable[str]) -> None:
        known = list(known)
        self.task_id, self.asked = task_id, asked
        super().__init__(
            f"task {task_id!r} asks for an XCom of {asked!r}, which is not in its DAG "
            f"(it has: {listing(known)}).{suggest(asked, known)}"
        )


class XComNotThere(XComError):
    """A task has no value, because it did not succeed."""

    code = "xcom_not_there"

    def __init__(self, run_id: str, task_id: str, state: str) -> None:
        self.run_id, self.task_id, self.state = run_id, task_id, state
        super().__init__(
            f"task {task_id!r} of the run {run_id} is {state}, so it has no value. "
            f"Look at `mlflowkit runs show {run_id}`."
        )


class UnknownXCom(XComError):
    """A task that has succeeded pushed nothing under the key that was asked for.

    `task_id` is who asked; it is empty when that was a person.
    """

    code = "unknown_xcom"

    def __init__(self, task_id: str, asked: str, key: str, known: Iterable[str]) -> None:
        known = list(known)
        self.task_id, self.asked, self.key = task_id, asked, key
        who = f"task {task_id!r} asks" if task_id else "you ask"
        super().__init__(
            f"{who} for the XCom {key!r} of task {asked!r}, which pushed: "
            f"{listing(known)}.{suggest(key, known)}"
        )


class BadXComKey(XComError):
    """A key that no XCom can have."""

    code = "bad_xcom_key"

    def __init__(self, task_id: str, key: object, why: str) -> None:
        self.task_id, self.key = task_id, key
        shown = repr(key)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(
            f"task {task_id!r} uses the XCom key {shown}, {why}. A key is a text of 1 to "
            f"250 characters, such as 'accuracy'."
        )


class BadXComPull(XComError):
    """`xcom_pull` was called with something it does not take."""

    code = "bad_xcom_pull"

    def __init__(self, task_id: str, name: str, given: object, wanted: str) -> None:
        self.task_id, self.name, self.given = task_id, name, given
        super().__init__(
            f"task {task_id!r} calls xcom_pull with {name} of the type "
            f"{type(given).__name__}; it takes {wanted}."
        )


class CannotTestTask(XComError):
    """A task cannot be run alone with what was given in place of the tasks above it."""

    code = "cannot_test_task"

    def __init__(self, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(f"task {task_id!r} cannot be run alone: {why}")


class AskedOutsideTask(XComError):
    """The engine was asked for something, but not by a task that runs."""

    code = "asked_outside_task"

    def __init__(self, what: str, who: str) -> None:
        self.what, self.who = what, who
        super().__init__(
            f"{who} asks for {what!r} of the engine; only a task's own process can, while "
            f"the task runs. Ask there first, and hand the value on as an argument."
        )


class UnknownOutput(XComError):
    """A notebook task is asked for a value that its notebook never gives."""

    code = "unknown_output"

    def __init__(self, notebook: str, key: str, known: Iterable[str]) -> None:
        known = list(known)
        self.notebook, self.key = notebook, key
        super().__init__(
            f"{notebook} gives no {key!r} (it gives: {listing(known)}).{suggest(key, known)} "
            f"To take a variable out at its end, write returns=[{key!r}]; or assign it in a cell "
            f"tagged 'outputs', or call mlflowkit.push({key!r}, ...) in the notebook."
        )
