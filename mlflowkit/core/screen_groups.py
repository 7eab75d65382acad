"""A run's DAG with some task groups folded, as a person opens and folds them on a screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from mlflowkit.core.screen import group_labels, short
from mlflowkit.core.spec import DagSpec, TaskId
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import loudest

#: A DAG with more tasks than this begins with its groups folded.
OPEN_TASKS: Final = 40


class ShownBox(NamedTuple):
    """A task, or a folded task group in its place."""

    box_id: str
    #: "task" or "group".
    kind: str
    #: The innermost open group around it; empty at the top.
    group: str
    mapped: bool


class ShownArrow(NamedTuple):
    """Something waits for something; `label` is what was written at the arrow."""

    source: str
    target: str
    label: str


class Shown(NamedTuple):
    """What is drawn of a DAG."""

    boxes: tuple[ShownBox, ...]
    arrows: tuple[ShownArrow, ...]
    #: Open groups with the open group around each, outer ones first.
    open_groups: tuple[tuple[str, str], ...]


def with_folded(spec: DagSpec, folded: Collection[str]) -> Shown:
    """The DAG as it is drawn with these groups folded. Unknown names count for nothing."""
    group_of = {task: name for name, group in spec.groups.items() for task in group.tasks}
    stands_for = {t: _outermost(spec, group_of.get(t, ""), folded) for t in spec.tasks}
    boxes: dict[str, ShownBox] = {}
    for task in spec.in_order():
        group = stands_for[task.task_id]
        if not group:
            mapped = task.expansion is not None
            inside = group_of.get(task.task_id, "")
            boxes[task.task_id] = ShownBox(task.task_id, "task", inside, mapped)
        elif group_box(group) not in boxes:
            there = spec.groups[group]
            boxes[group_box(group)] = ShownBox(
                group_box(group), "group", there.parent, there.mapped
            )
    return Shown(
        tuple(boxes.values()), _arrows(spec, stands_for), _open_groups(spec, boxes.values())
    )


def group_box(group: str) -> str:
    """The id of a folded group's box. Ids of tasks have no colon, so no task has this one."""
    return f"group:{group}"


def _outermost(spec: DagSpec, group: str, folded: Collection[str]) -> str:
    """The outermost folded group around, or an empty string."""
    found = ""
    while group:
        found = group if group in folded else found
        group = spec.groups[group].parent
    return found


def _arrows(spec: DagSpec, stands_for: Mapping[TaskId, str]) -> tuple[ShownArrow, ...]:
    labels = {(e.upstream, e.downstream): e.text for e in spec.edge_labels}
    found: dict[tuple[str, str], str] = {}
    for task in spec.in_order():
        for up in task.upstream:
            source, target = (
                group_box(stands_for[t]) if stands_for[t] else str(t)
                for t in (up, task.task_id)
            )
            if source != target:
                label = short(labels.get((up, task.task_id), ""), 60)
                found[source, target] = found.get((source, target)) or label
    return tuple(ShownArrow(a, b, label) for (a, b), label in found.items())


def _open_groups(spec: DagSpec, boxes: Iterable[ShownBox]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for box in boxes:
        chain, group = list[str](), box.group
        while group and group not in found:
            chain.append(group)
            group = spec.groups[group].parent
        for name in reversed(chain):
            found[name] = spec.groups[name].parent
    return tuple(found.items())


def folded_at_first(spec: DagSpec) -> tuple[str, ...]:
    """The groups that are folded before a person says otherwise."""
    if len(spec.tasks) <= OPEN_TASKS:
        return ()
    return tuple(name for name, group in spec.groups.items() if not group.parent)


def group_facts(spec: DagSpec) -> list[dict[str, Any]]:
    """What never changes of each task group."""
    labels = group_labels(spec)
    return [
        {
            "id": name,
            "label": short(labels[name], 120),
            "parent": group.parent,
            "tooltip": short(group.tooltip),
            "mapped": group.mapped,
        }
        for name, group in spec.groups.items()
    ]


def group_states(
    spec: DagSpec, states: Mapping[TaskId, TaskState]
) -> dict[str, dict[str, Any]]:
    """The state of each task group, and of how many tasks: groups inside count, too."""
    counts: dict[str, Counter[TaskState]] = {name: Counter() for name in spec.groups}
    for inner, group in spec.groups.items():
        name = inner
        while name:
            counts[name].update(states[task] for task in group.tasks if task in states)
            name = spec.groups[name].parent
    return {
        name: {
            "state": str(loudest(found)),
            "counts": {str(s): n for s, n in found.items() if n},
            "total": found.total(),
        }
        for name, found in counts.items()
    }
