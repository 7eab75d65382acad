"""What is said once a run has ended: how, and if it failed, why, where, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.cli.words import shown_path, states_json, took
from mlflowkit.core.spec import instance_name
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import InstanceView, RunView
from mlflowkit.handles.run import RunHandle
from mlflowkit.tailing import file_name

if TYPE_CHECKING:
    from rich.console import Console

#: Failed task instances that are told in full.
MAX_TOLD = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """A task instance that failed."""

    name: str
    operator: str
    tries: int
    reason: str
    #: The whole story: the failing cell, or the traceback without frames of ours.
    error: str
    log: Path | None
    notebook: Path | None


def failures(handle: RunHandle, view: RunView) -> list[Failure]:
    """The task instances of a run that failed, in the order of its tasks."""
    return [
        _failure(handle, task.task_id, task.operator, instance)
        for task in view.tasks
        for instance in task.instances
        if instance.state is TaskState.FAILED
    ]


def _failure(
    handle: RunHandle, task_id: str, operator: str, instance: InstanceView
) -> Failure:
    attempts = handle[task_id][instance.map_index].attempts()
    last = attempts[-1] if attempts else None
    log = (
        handle.path / "logs" / f"{file_name(task_id, instance.map_index, instance.attempt)}"
    )
    notebook = handle.path / f"{instance_name(task_id, instance.map_index)}.ipynb"
    return Failure(
        name=instance_name(task_id, instance.map_index),
        operator=operator,
        tries=len(attempts),
        reason=(last.reason if last else "") or instance.reason,
        error=last.error if last else "",
        log=_existing(log.with_name(log.name + ".log")),
        notebook=_existing(notebook),
    )


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def tell_end(handle: RunHandle, console: Console, next_step: str = "") -> RunView:
    """Say how the run ended, and what to do next, if it failed."""
    view = handle.view()
    style = "green" if view.state == "success" else "bold red"
    reason = f" ({view.reason})" if view.reason else ""
    console.print(
        f"{view.run_id}: {view.state}{reason} "
        f"after {took(view.started_at, view.ended_at) or '0 s'}",
        style=style,
        highlight=False,
        markup=False,
    )
    found = failures(handle, view)
    for failure in found[:MAX_TOLD]:
        _tell(failure, console)
    if len(found) > MAX_TOLD:
        _line(console, f"… and {len(found) - MAX_TOLD} more failed")
    if found:
        usual = f"to go on from there: mlflowkit runs retry {view.run_id}"
        _line(console, next_step or usual)
    return view


def _tell(failure: Failure, console: Console) -> None:
    tries = f" (try {failure.tries})" if failure.tries > 1 else ""
    _line(console, f"\ntask {failure.name} ({failure.operator}) failed{tries}:", "bold")
    _story(console, failure.error.rstrip() or failure.reason or "(no reason was given)")
    _line(console, "")
    if failure.log:
        _line(console, f"log:      {shown_path(failure.log)}")
    if failure.notebook:
        _line(console, f"notebook: {shown_path(failure.notebook)}")


def _story(console: Console, text: str) -> None:
    """A traceback has colours of its own: for a terminal, and for nothing else."""
    from rich.text import Text

    console.print(Text.from_ansi(text), highlight=False, soft_wrap=True)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def as_json(view: RunView) -> dict[str, Any]:
    """The object that `run --json` prints."""
    return {
        "dag_id": view.dag_id,
        "run_id": view.run_id,
        "state": view.state,
        "tasks": states_json(view),
    }
