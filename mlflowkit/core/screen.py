"""What a screen of a run is told: plain data, JSON as it stands, and nothing large.

Rule 1: a screen works out no state and no permission by itself; both come from here.
Rule 2: a message never holds all instances of a mapped task: counts, and a strip of
        letters that stays short however many there are.

Times are whole milliseconds since 1970 (UTC), or None. States are the words of
`core.states`; the letters of a strip are `LETTERS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mlflowkit.core.machine import InstanceRow, NodeRow
from mlflowkit.core.screen_actions import task_actions
from mlflowkit.core.spec import DagSpec, TaskSpec
from mlflowkit.core.states import ENDED, TaskState
from mlflowkit.core.view import loudest

#: One letter for each state, for strips.
LETTERS: Final[Mapping[TaskState, str]] = {
    TaskState.NONE: "n",
    TaskState.SCHEDULED: "c",
    TaskState.QUEUED: "q",
    TaskState.RUNNING: "r",
    TaskState.SUCCESS: "s",
    TaskState.FAILED: "f",
    TaskState.UP_FOR_RETRY: "t",
    TaskState.UP_FOR_RESCHEDULE: "w",
    TaskState.SKIPPED: "k",
    TaskState.UPSTREAM_FAILED: "u",
    TaskState.REMOVED: "x",
}
#: Most places of a strip. Of more instances several share one, which shows the first of
#: `_SHOWN_FIRST` that one of them is in.
STRIP_PLACES: Final = 120
_SHOWN_FIRST: Final = (
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.UP_FOR_RETRY,
    TaskState.RUNNING,
    TaskState.QUEUED,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.SCHEDULED,
    TaskState.NONE,
    TaskState.SKIPPED,
    TaskState.SUCCESS,
    TaskState.REMOVED,
)
#: Characters of a reason, a doc text or a note that ride in a snapshot.
TEXT_LIMIT: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The instances of a mapped task that are in one state, those with a row."""

    state: TaskState
    count: int
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class TaskRows:
    """What the store has of one task in a run, however many instances it has."""

    node: NodeRow
    #: Its one instance; a mapped task has it only if it ended without being expanded.
    single: InstanceRow | None = None
    tallies: list[Tally] = field(default_factory=list[Tally])
    #: For each place of the strip the states that stand there: `{(place, state), …}`.
    places: frozenset[tuple[int, TaskState]] = frozenset()


def ms(moment: datetime | None) -> int | None:
    """Whole milliseconds since 1970."""
    return None if moment is None else round(moment.timestamp() * 1000)


def short(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text`, cut to the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


# ── a task ──────────────────────────────────────────────────────────────────


def task_facts(spec: DagSpec, groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """What never changes of each task, in the order in which they run."""
    labels = group_labels(spec)
    return [
        {
            "id": task.task_id,
            "label": _without_group(task.task_id, groups.get(task.task_id, ""), labels),
            "operator": task.operator,
            "kind": _kind(task),
            "group": groups.get(task.task_id, ""),
            "upstream": list(task.upstream),
            "mapped": task.expansion is not None,
            "rule": str(task.trigger_rule),
            "pool": task.pool,
            "owner": task.owner,
            "retries": task.retry.retries,
            "doc": short(task.doc),
        }
        for task in spec.in_order()
    ]


def group_labels(spec: DagSpec) -> dict[str, str]:
    """What to write at each task group."""
    return {
        name: group.label or name.rpartition(".")[2] for name, group in spec.groups.items()
    }


def groups_of_tasks(spec: DagSpec) -> dict[str, str]:
    """The innermost task group of each task that stands in one."""
    return {task: name for name, group in spec.groups.items() for task in group.tasks}


def _without_group(task_id: str, group: str, labels: Mapping[str, str]) -> str:
    """Inside a group its name need not stand before that of every task."""
    inside = group and task_id.startswith(f"{group}.")
    return task_id[len(group) + 1 :] if inside and group in labels else task_id


def _kind(task: TaskSpec) -> str:
    operator = task.operator.lower()
    if "notebook" in operator or "papermill" in operator:
        return "notebook"
    if "sensor" in operator:
        return "sensor"
    if task.setup or task.teardown:
        return "setup" if task.setup else "teardown"
    return "branch" if "branch" in operator or "circuit" in operator else "task"


def is_notebook(task: TaskSpec) -> bool:
    """Whether cells run."""
    return _kind(task) == "notebook"


def task_state(
    task: TaskSpec, rows: TaskRows, *, cancelled: bool, over: bool
) -> dict[str, Any]:
    """What changes of a task while its run goes on.

    Args:
        task: Its spec.
        rows: What the store has of it.
        cancelled: The run was asked to stop.
        over: The run has ended.
    """
    counts = _counts(task, rows, cancelled)
    state = loudest(counts)
    single = rows.single
    found: dict[str, Any] = {
        "state": str(state),
        "reason": short(single.stopping or single.reason) if single else "",
        "attempt": single.attempt if single else 0,
        "failures": single.failures if single else 0,
        "alarm": ms(single.alarm) if single and state in _WAITING else None,
        "queued": ms(single.queued_at) if single else None,
        "actions": task_actions(
            state,
            counts,
            over=over,
            mapped=_many(task, single),
            notebook=is_notebook(task),
        ),
    }
    if _many(task, single):
        found |= _many_facts(rows, counts)
    else:
        found["started"] = ms(single.started_at) if single else None
        found["ended"] = ms(single.ended_at) if single and state in ENDED else None
    return found


_WAITING: Final = frozenset({TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE})


def _many(task: TaskSpec, single: InstanceRow | None) -> bool:
    return task.expansion is not None and single is None


def _many_facts(rows: TaskRows, counts: Counter[TaskState]) -> dict[str, Any]:
    started = [t.started_at for t in rows.tallies if t.started_at]
    ended = [t.ended_at for t in rows.tallies if t.ended_at]
    open_ones = any(n and s not in ENDED for s, n in counts.items())
    return {
        "started": ms(min(started, default=None)),
        "ended": None if open_ones else ms(max(ended, default=None)),
        "total": rows.node.length,
        "counts": {str(s): n for s, n in counts.items() if n},
        "strip": strip(rows, _rest_state(rows, counts)),
    }


def _counts(task: TaskSpec, rows: TaskRows, cancelled: bool) -> Counter[TaskState]:
    if rows.single is not None:
        return Counter({rows.single.state: 1})
    counts = Counter({t.state: t.count for t in rows.tallies})
    length = rows.node.length
    if task.expansion is None:
        return counts or Counter({TaskState.NONE: 1})
    if length is None:
        return counts
    never = max(length - rows.node.next_index, 0)
    waiting = max(length - never - counts.total(), 0)
    state = TaskState.NONE if counts[TaskState.NONE] else TaskState.SCHEDULED
    if cancelled and not task.teardown:
        state = TaskState.SKIPPED
    return counts + Counter({state: never}) + Counter({TaskState.NONE: waiting})


def _rest_state(rows: TaskRows, counts: Counter[TaskState]) -> TaskState:
    """The state of what has no row yet."""
    known = {t.state: t.count for t in rows.tallies}
    rest = {s: n - known.get(s, 0) for s, n in counts.items()}
    return max(rest, key=lambda s: rest[s], default=TaskState.NONE)


def place_size(length: int) -> int:
    """Instances that share one place of a strip."""
    return max(-(-length // STRIP_PLACES), 1)


def strip(rows: TaskRows, rest: TaskState) -> str:
    """The states of a mapped task's instances by index: `s12f1r3n20`, at most
    `STRIP_PLACES` places in all."""
    length = rows.node.length or 0
    there: dict[int, set[TaskState]] = {}
    for place, state in rows.places:
        there.setdefault(place, set()).add(state)
    places = -(-length // place_size(length))
    letters = [LETTERS[_shown(there.get(place), rest)] for place in range(places)]
    return run_lengths(letters)


def _shown(states: set[TaskState] | None, rest: TaskState) -> TaskState:
    return next((s for s in _SHOWN_FIRST if states and s in states), rest)


def run_lengths(letters: Iterable[str]) -> str:
    """`["s", "s", "f"]` as `s2f1`."""
    found: list[tuple[str, int]] = []
    for letter in letters:
        if found and found[-1][0] == letter:
            found[-1] = (letter, found[-1][1] + 1)
        else:
            found.append((letter, 1))
    return "".join(f"{letter}{count}" for letter, count in found)


def instance_facts(
    row: InstanceRow, *, over: bool, notebook: bool = False
) -> dict[str, Any]:
    """One instance of a mapped task, in a page."""
    waits = row.state in _WAITING
    return {
        "map_index": row.map_index,
        "state": str(row.state),
        "reason": short(row.stopping or row.reason),
        "attempt": row.attempt,
        "failures": row.failures,
        "alarm": ms(row.alarm) if waits else None,
        "queued": ms(row.queued_at),
        "started": ms(row.started_at),
        "ended": ms(row.ended_at) if row.state in ENDED else None,
        "actions": task_actions(
            row.state, {row.state: 1}, over=over, mapped=False, notebook=notebook
        ),
    }
