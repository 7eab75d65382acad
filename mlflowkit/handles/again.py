"""Parts of a run run again: what would happen, and having it done.

Facts come back as data. Nothing is printed, and nothing is decided: the engine does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlflowkit.core.events import RetryAsked
from mlflowkit.core.machine import Run
from mlflowkit.core.machine.again import why_not_cleared
from mlflowkit.core.machine.foresee import foresee
from mlflowkit.core.spec import UNMAPPED, TaskId, instance_name
from mlflowkit.core.states import TaskState
from mlflowkit.errors import (
    BadOption,
    EngineRefused,
    NotCleared,
    RunNotFound,
    RunStillRunning,
    TaskNotInRun,
)
from mlflowkit.handles.request import retry_code
from mlflowkit.home_store import database
from mlflowkit.store.runs import load_run, spec_of

if TYPE_CHECKING:
    from mlflowkit.handles.run import RunHandle


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to run again, and how; nothing named: all that did not succeed."""

    task_ids: tuple[str, ...] = ()
    #: Of these mapped tasks only these task instances, by map index.
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    #: "latest": the DAG as it is now, where it is at hand; "same": as the run had it.
    code: str = "latest"
    #: "cell": notebooks go on from the failed cell.
    resume: str = ""
    #: What is below what is named runs again, too.
    downstream: bool = True

    def asked(self) -> RetryAsked:
        """As the machine takes it."""
        parts = {TaskId(t): tuple(indexes) for t, indexes in self.parts.items()}
        return RetryAsked(tuple(map(TaskId, self.task_ids)), not self.downstream, parts)

    def arguments(self) -> dict[str, Any]:
        """As the engine's command takes it, without the code."""
        parts = {task_id: list(indexes) for task_id, indexes in self.parts.items()}
        wish: dict[str, Any] = {"task_ids": list(self.task_ids), "parts": parts}
        return wish | {"resume": self.resume, "alone": not self.downstream}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a wish would do. Names are those of tasks, or of task instances (`fit[3]`)."""

    #: They run again, or wait for those that do.
    again: tuple[str, ...]
    #: Those of them that had succeeded: their XComs are replaced.
    lost: tuple[str, ...]
    #: Tasks whose code is not as the run had it, those that keep what they have, too.
    changed: tuple[str, ...]


def plan(handle: RunHandle, wish: Wish) -> Plan:
    """What would happen. Nothing is changed.

    Raises:
        RunStillRunning: the run has not ended.
        TaskNotInRun, NotCleared: it has no such task, no such task instance.
        ShapeChanged: the DAG has other tasks or arrows now.
        RunCleaned: what it held was cleaned away.
    """
    handle.refuse_if_cleaned("it cannot be tried again")
    _, changed = newer_code(handle, wish)
    return plan_of(handle, wish, changed)


def plan_of(handle: RunHandle, wish: Wish, changed: tuple[str, ...]) -> Plan:
    """The same, where it is known which code changed."""
    run = ended_run(handle)
    refuse(run, wish)
    found = foresee(run, wish.asked(), datetime.now(UTC))
    return Plan(again=found.again, lost=found.lost, changed=changed)


def run_again(handle: RunHandle, wish: Wish) -> tuple[str, ...]:
    """Have it done by the engine. Returns the tasks whose code is not as the run had it.

    Raises:
        As `plan`. EngineRefused: the engine says why not.
    """
    if wish.resume not in ("", "cell"):
        problem = f"is {wish.resume!r}: it is 'cell'"
        raise BadOption(f"run {handle.run_id!r}", "resume", problem)
    if wish.code not in ("latest", "same"):
        problem = f"is {wish.code!r}: it is 'latest' or 'same'"
        raise BadOption(f"run {handle.run_id!r}", "code", problem)
    handle.refuse_if_cleaned("it cannot be tried again")
    if wish.parts:
        refuse(ended_run(handle), wish)
    code, changed = newer_code(handle, wish)
    try:
        handle.ask("retry", code=code, **wish.arguments())
    except EngineRefused as exc:
        if exc.reason_code == RunStillRunning.code:
            raise RunStillRunning(handle.run_id) from exc
        raise
    return changed


def newer_code(
    handle: RunHandle, wish: Wish
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The DAG's code as it is now, and which tasks it changes; None keeps the run's own."""
    if wish.code != "latest" or handle.dag is None:
        return None, ()
    with database(handle.home).reading() as tx:
        spec = spec_of(tx, handle.run_id)
    if spec is None:
        raise RunNotFound(handle.run_id, [])
    code, changed = retry_code(handle.dag, spec, handle.home)
    return code, tuple(changed)


def ended_run(handle: RunHandle) -> Run:
    """A copy of a run that has ended."""
    with database(handle.home).reading() as tx:
        found = load_run(tx, handle.run_id)
    if found is None:
        raise RunNotFound(handle.run_id, [])
    if not found.run.ended:
        raise RunStillRunning(handle.run_id)
    return found.run


def refuse(run: Run, wish: Wish) -> None:
    """Raises TaskNotInRun, NotCleared where the run has not what is named."""
    for task_id in (*wish.task_ids, *wish.parts):
        if task_id not in run.nodes:
            raise TaskNotInRun(run.run_id, task_id, run.nodes)
    for task_id, indexes in wish.parts.items():
        why = why_not_cleared(run.nodes[TaskId(task_id)], indexes)
        if why:
            index = indexes[0] if len(indexes) == 1 else UNMAPPED
            raise NotCleared(run.run_id, instance_name(task_id, index), why)


def only_bad(handle: RunHandle, task_id: str, indexes: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the task instances that did not succeed; `UNMAPPED` for a task as a whole.

    Raises:
        NotCleared: all of them have succeeded.
    """
    node = ended_run(handle).nodes[TaskId(task_id)]
    rows = [
        node.instances[i] for i in indexes or sorted(node.instances) if i in node.instances
    ]
    kept = (TaskState.SUCCESS, TaskState.REMOVED)
    bad = tuple(row.map_index for row in rows if row.state not in kept)
    if rows and not bad and not node.unstarted:
        index = indexes[0] if len(indexes) == 1 else UNMAPPED
        name = instance_name(task_id, index)
        raise NotCleared(handle.run_id, name, "it has succeeded; clear() runs it again")
    return bad if node.expanded and not node.unstarted else indexes
