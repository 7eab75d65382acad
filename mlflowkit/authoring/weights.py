"""The weight by which a task is started before others, as its weight rule makes it."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator


def effective_weights(
    tasks: list[BaseOperator], upstream: Mapping[str, tuple[str, ...]]
) -> dict[str, int]:
    """Own weight, and those of all distinct tasks below ("downstream") or above ("upstream").

    Sets of tasks are whole numbers, a bit for each task: a thousand tasks in a row are quick.
    """
    own = {task.task_id: task.priority_weight for task in tasks}
    rules = {task.weight_rule for task in tasks}
    known = {name: [up for up in ups if up in own] for name, ups in upstream.items()}
    reach: dict[str, dict[str, int]] = {"absolute": dict.fromkeys(own, 0)}
    if "upstream" in rules:
        reach["upstream"] = _reached(list(own), known)
    if "downstream" in rules:
        below: dict[str, list[str]] = {name: [] for name in own}
        for name, ups in known.items():
            for up in ups:
                below[up].append(name)
        reach["downstream"] = _reached(list(own), below)
    weights = list(own.values())
    return {
        task.task_id: own[task.task_id]
        + _weight_of(reach[task.weight_rule][task.task_id], weights)
        for task in tasks
    }


def _reached(names: list[str], neighbours: Mapping[str, list[str]]) -> dict[str, int]:
    """For each task the set of all that can be reached from it, as bits."""
    place = {name: index for index, name in enumerate(names)}
    found = dict.fromkeys(names, 0)
    try:
        order = list(TopologicalSorter(neighbours).static_order())
    except CycleError:  # told where the graph is checked
        return found
    for name in order:
        for other in neighbours[name]:
            found[name] |= found[other] | (1 << place[other])
    return found


def _weight_of(members: int, weights: list[int]) -> int:
    if not members:
        return 0
    if all(weight == 1 for weight in weights):
        return members.bit_count()
    bits = bin(members)[:1:-1]
    return sum(weight for weight, bit in zip(weights, bits, strict=False) if bit == "1")
