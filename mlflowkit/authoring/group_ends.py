"""Where arrows reach a group and where they leave it: its roots and its leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator

_Graph = Mapping[str, list[str]]


def roots_of(tasks: list[BaseOperator]) -> list[BaseOperator]:
    """The tasks that wait for none of the others."""
    ids = {task.task_id for task in tasks}
    return [task for task in tasks if ids.isdisjoint(task.upstream())]


def leaves_of(tasks: list[BaseOperator]) -> list[BaseOperator]:
    """The tasks that none of the others waits for.

    What stands after a group does not wait for its teardowns, but for the work before
    them: for tasks below which there are only teardowns.
    """
    known = {task.task_id: task for task in tasks}
    above = {t.task_id: [up for up in t.upstream() if up in known] for t in tasks}
    below: dict[str, list[str]] = {name: [] for name in known}
    for name, ups in above.items():
        for up in ups:
            below[up].append(name)
    found: dict[str, None] = {}
    for task in tasks:
        if not below[task.task_id]:
            for name in _work_before(task.task_id, known, above, below):
                found[name] = None
    return [known[name] for name in found]


def _work_before(
    name: str, known: Mapping[str, BaseOperator], above: _Graph, below: _Graph
) -> list[str]:
    """The task itself, or what a teardown at the end clears up after."""
    if not known[name].is_teardown:
        return [name]
    found: list[str] = []
    for up in above[name]:
        if known[up].is_teardown:
            found += _work_before(up, known, above, below)
        elif not known[up].is_setup and _only_teardowns(below[up], known):
            found.append(up)
    return found


def _only_teardowns(names: list[str], known: Mapping[str, BaseOperator]) -> bool:
    return all(known[name].is_teardown for name in names)
