"""Whether our engine and papermill's own gave the same notebook, cell by cell.

What differs on purpose stands in `ON_PURPOSE`, to the letter, each with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from pprint import pformat
from typing import Any, Final

from tests.nbrun.parity import engines, sheets
from tests.nbrun.parity.compare import View
from tests.nbrun.parity.engines import Both


@dataclass(frozen=True)
class Difference:
    """What papermill says, what we say, and why."""

    reason: str
    #: By place: papermill's value and ours.
    places: dict[str, tuple[Any, Any]] = field(default_factory=dict)


_TICKS: Final = {
    "output_type": "stream",
    "name": "stdout",
    "text": "task 0\ntask 1\ntask 2\n",
}
#: papermill's kernel says good-bye or is killed before, as it comes; ours always does.
_ENDS_WELL: Final = {
    "atexit.txt": "said good-bye\n",
    "finalized.txt": "finalized",
    "unclosed.txt": "flushed at the end",
}

ON_PURPOSE: Final[dict[str, list[Difference]]] = {
    "stops": [
        Difference(
            "an empty cell was not run, so nothing says that it was",
            {
                "cell 3 status": ("completed", "pending"),
                "cell 3 exception": (False, None),
            },
        ),
    ],
    "leaves": [
        Difference(
            "sys.exit() ends a notebook early and well, so its cell did not fail",
            {
                "cell 1 status": ("failed", "completed"),
                "cell 1 exception": (True, False),
            },
        ),
    ],
    "late": [
        Difference(
            "what a task prints after its cell has ended is kept, in its own cell",
            {"cell 3 output 1": (None, _TICKS)},
        ),
    ],
}

#: Sheets that end early in both, and what the error says in both.
ENDS: Final = {
    "stops": "RuntimeError: nested",
    "asks": "StdinNotImplementedError: raw_input was called",
    "interrupted": "KeyboardInterrupt",
    "syntax": "SyntaxError: invalid syntax",
}


#: Sheets about what stops a notebook, outlives a cell or comes from outside.
ENDINGS: Final = (
    *("asks", "concurrent", "errors", "fresh", "interrupted", "late"),
    *("leaves", "stops", "surroundings", "syntax"),
)
#: All others but the one that is compared by itself: sheets about what cells show.
OUTPUTS: Final = tuple(n for n in sheets.NAMES if n not in (*ENDINGS, "redrawn"))


def assert_alike(name: str, folder: Path) -> None:
    """Execute one sheet by both engines, and compare all that they left behind."""
    both = engines.execute(name, folder)
    expected: dict[str, tuple[Any, Any]] = {}
    for difference in ON_PURPOSE.get(name, ()):
        expected |= difference.places
    found = differences(both)
    assert found == expected, _shown(found, expected)
    files = _ENDS_WELL if name == "concurrent" else both.papermills.files()
    assert both.ours.files() == files
    # papermill's command also complains of errors that a tag allows, after its last cell.
    assert ENDS.get(name, "") in both.papermills.error
    assert ENDS[name] in str(both.ours.error) if name in ENDS else not both.ours.error


def differences(both: Both) -> dict[str, tuple[Any, Any]]:
    """Where they differ: what papermill's notebook says there, and what ours does."""
    theirs, ours = _places(both.papermills), _places(both.ours)
    return {
        place: (theirs.get(place), ours.get(place))
        for place in [*theirs, *(p for p in ours if p not in theirs)]
        if theirs.get(place) != ours.get(place)
    }


def _shown(found: dict[str, Any], expected: dict[str, Any]) -> str:
    lines = []
    for place in [*found, *(each for each in expected if each not in found)]:
        if found.get(place) == expected.get(place):
            continue
        theirs, ours = found.get(place, ("as ours", "as papermill's"))
        lines.append(f"{place}:")
        before, after = (pformat(each, width=120).splitlines() for each in (theirs, ours))
        lines += unified_diff(before, after, "papermill", "ours", lineterm="", n=1)
    return "\n".join(line[:300] for line in lines)


def _places(executed: engines.Executed) -> dict[str, Any]:
    view = View(executed)
    found: dict[str, Any] = {"widgets": view.widgets, "cells": len(view.cells)}
    for at, cell in enumerate(view.cells):
        for number, output in enumerate(cell.pop("outputs", ())):
            found[f"cell {at} output {number}"] = output
        found |= {f"cell {at} {fact}": value for fact, value in cell.items()}
    return found
