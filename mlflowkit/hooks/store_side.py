"""The way to what the store keeps secret: through the engine in a task, else in the home.

In a worker and in a notebook's kernel the store is never opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mlflowkit.nbrun import asking
from mlflowkit.ports import running_task


def ask(what: str, **arguments: str | None) -> str | None:
    """What the store answers: a text, or None.

    Args:
        what: connection(conn_id), variable(key), variable_set(key, value, description) or
            variable_delete(key).
        arguments: Those of the question.
    """
    task = running_task()
    if task is not None:
        answer: str | None = task.ask(what, **arguments)
        return answer
    if asking.in_kernel():
        return asking.ask(what, **arguments)
    return _at_home(what, arguments)


def _at_home(what: str, arguments: dict[str, str | None]) -> str | None:
    home_store = import_module("mlflowkit.home_store")  # by name: it is above this layer
    answer: str | None = home_store.answer(what, **arguments)
    return answer


def known(what: str) -> list[str]:
    """The ids of all "connections" or "variables" of the store, where this process may read it."""
    if running_task() is not None or asking.in_kernel():
        return []
    vault: Any = import_module("mlflowkit.home_store").existing_vault()
    if vault is None:
        return []
    return [entry[0] for entry in getattr(vault, f"list_{what}")()]
