"""The executed notebook of an execution that was cut off, from its journal.

Also what a journal begins with that was begun anew. Reads; writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import NotebookInvalid
from mlflowkit.nbrun import record
from mlflowkit.nbrun.record import Record

if TYPE_CHECKING:
    from nbformat import NotebookNode

VERSION: Final = 1


def rebuild(journal: Path) -> NotebookNode:
    """The executed notebook of an execution that was cut off.

    The cell that was running is marked "interrupted"; cells after it stay "not run".

    Raises:
        NotebookInvalid: the journal has not even a whole first line.
    """
    changes = _read(journal)
    first = next(changes, None)
    if first is None or first.get("op") != "begin":
        problem = "the execution ended before anything was written down"
        raise NotebookInvalid(journal, problem, "Run the notebook again.")
    rebuilt, latest = begun(first), datetime.fromisoformat(first["at"])
    for change in changes:
        applied(rebuilt, change)
        latest = datetime.fromisoformat(change["at"]) if "at" in change else latest
    for cell in rebuilt.running():
        started = rebuilt.started_at(cell) or latest
        seconds = (latest - started).total_seconds()
        rebuilt.cell_ended(cell, record.INTERRUPTED, latest, seconds, None)
    rebuilt.finish(record.INTERRUPTED, latest, rebuilt=True)
    result: NotebookNode = rebuilt.notebook
    return result


def begun(first: dict[str, Any]) -> Record:
    """The record that a journal's first line begins with."""
    from nbformat import from_dict

    notebook = from_dict(first["nb"])  # type: ignore[no-untyped-call]  # untyped
    made = Record(notebook, first["limit"])
    if "state" in first:
        made.go_on(first["state"])
    else:
        made.begin(datetime.fromisoformat(first["at"]))
    return made


def _read(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return  # the crash cut it off
            yield json.loads(line)


def applied(rebuilt: Record, change: dict[str, Any]) -> None:
    """Apply one other line of a journal."""
    outputs, cell = rebuilt.outputs, change.get("cell", -1)
    match change["op"]:
        case "passed":
            rebuilt.cell_passed(cell)
        case "started":
            replayed = bool(change.get("replayed"))
            at = datetime.fromisoformat(change["at"])
            rebuilt.cell_started(cell, at, replayed=replayed)
        case "restored":
            facts = (change["outputs"], change["count"], change["status"])
            rebuilt.cell_restored(cell, *facts)
        case "ended":
            at = datetime.fromisoformat(change["at"])
            rebuilt.cell_ended(
                cell, change["status"], at, change["seconds"], change["count"]
            )
        case "stream":
            outputs.stream(cell, change["name"], change["text"], change["cut"])
        case "output":
            outputs.output(cell, change["output"], change["display_id"])
        case "dropped":
            outputs.set_dropped(cell, change["count"], change["size"])
        case "update":
            outputs.update(change["display_id"], change["data"], change["metadata"])
        case "clear":
            outputs.clear(cell, change["wait"])


def state_of(live: Record, clean: Callable[[Any], Any]) -> dict[str, Any]:
    """What a journal that is begun anew begins with: the notebook, and how it goes on."""
    state = live.state()
    return {
        "at": state["begun"],
        "limit": live.outputs.limit,
        "nb": clean(live.notebook),
        "state": state,
    }
