"""The transition tables as Mermaid pictures, for docs/reference/states.md. Draws; never decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from mlflowkit.core.states import (
    ENDED,
    HOLDS_PLACE,
    RUN_ENDED,
    RUN_TRANSITIONS,
    TRANSITIONS,
    Cause,
    RunState,
    TaskState,
)

MEANINGS: Final[Mapping[TaskState, str]] = {
    TaskState.NONE: "Some task that it waits for has not ended.",
    TaskState.SCHEDULED: "It may start as soon as there is a place.",
    TaskState.QUEUED: "Given to the executor; no sign of life yet.",
    TaskState.RUNNING: "A worker says that it is at it.",
    TaskState.SUCCESS: "It did what it should.",
    TaskState.FAILED: "It failed, and its tries are spent; or it was cancelled while it ran.",
    TaskState.UP_FOR_RETRY: "It failed, and will be scheduled again when its delay is over.",
    TaskState.UP_FOR_RESCHEDULE: "A sensor that lets go of its worker until it looks again.",
    TaskState.SKIPPED: "There was nothing to do, or it was cancelled before it started.",
    TaskState.UPSTREAM_FAILED: "A task that it waits for failed.",
    TaskState.REMOVED: "A later expansion of its mapped task is shorter.",
}


def task_diagram() -> str:
    """The life of a task instance."""
    return _diagram(TaskState.NONE, TRANSITIONS, ENDED)


def run_diagram() -> str:
    """The life of a DAG run."""
    return _diagram(RunState.QUEUED, RUN_TRANSITIONS, RUN_ENDED)


def states_page() -> str:
    """The whole of docs/reference/states.md."""
    rows = [f"| `{s}` | {text} | {_kind(s)} |" for s, text in MEANINGS.items()]
    return "\n".join(
        [
            "# States",
            "",
            "Generated from the tables in `mlflowkit.core.states`: do not edit.",
            "",
            "## A task instance",
            "",
            *_fenced(task_diagram()),
            "",
            "| State | Meaning | |",
            "|---|---|---|",
            *rows,
            "",
            "An ended state is left again only when a person asks for a retry "
            f"(*{Cause.CLEARED}*), or says that it is another one (*marked*).",
            '"Cancelled", "lost" and "timed out" are reasons beside a state, not states.',
            "",
            "## A DAG run",
            "",
            *_fenced(run_diagram()),
            "",
            "A run has failed when a task that nothing waits for has failed (or an upstream of",
            "it), or when it was cancelled before all of those had succeeded.",
            "",
        ]
    )


def _diagram(
    first: str,
    table: Mapping[TaskState, Mapping[Cause, TaskState]]
    | Mapping[RunState, Mapping[str, RunState]],
    ended: Iterable[str],
) -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for state, row in table.items():
        causes: dict[str, list[str]] = defaultdict(list)
        for cause, after in row.items():
            causes[after].append(str(cause))
        lines += [
            f"    {state} --> {after}: {' / '.join(c)}" for after, c in causes.items()
        ]
    lines += [f"    {state} --> [*]" for state in table if state in set(ended)]
    return "\n".join(lines)


def _kind(state: TaskState) -> str:
    if state in ENDED:
        return "ended"
    return "holds a place" if state in HOLDS_PLACE else ""


def _fenced(picture: str) -> list[str]:
    return ["```mermaid", picture, "```"]
