"""What a kernel has imported: kept by name, had again, and what importing alone would set.

A cell that imports a library changes settings by it (loggers, options, printers). Where
importing alone sets just the same, nothing of that needs the cell: `explain` finds it out
in a fork of the new kernel, so that nothing is imported there before its time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mlflowkit.nbrun.checkpoint import ambient
from mlflowkit.nbrun.checkpoint.keeper import Keeper, current
from mlflowkit.nbrun.checkpoint.modules import data_of, is_local
from mlflowkit.nbrun.checkpoint.plan import to_explain
from mlflowkit.nbrun.checkpoint.shared import contents_of
from mlflowkit.nbrun.checkpoint.store import DATA, Step
from mlflowkit.nbrun.checkpoint.writing import leave_with, may_fork


def import_again(names: Iterable[str]) -> None:
    """Import what is not there. What no import brings is told by what it should have set."""
    for name in names:
        if name not in sys.modules:
            with suppress(Exception):  # the code of any module may run here
                import_module(name)


def names_in(keeper: Keeper, step: Step) -> list[str]:
    """The modules of a step."""
    stored = bytes(keeper.store.get(step.loaded)) if step.loaded else b""
    return stored.decode().split("\n") if stored else []


def explain() -> None:
    """Have written what the settings are by imports alone, at the steps before which they
    changed. Where that cannot be found out, nothing is written."""
    keeper = current()
    ats = to_explain(keeper.store.cells(), keeper.store.steps())
    if not ats or not may_fork():
        return
    try:
        pid = os.fork()
    except OSError:
        return
    if not pid:
        leave_with(lambda: _explain(keeper, ats))
    ambient.own_children.add(pid)
    os.waitpid(pid, 0)  # it has a deadline of its own
    ambient.own_children.discard(pid)


@cache
def _is_local_top(top: str) -> bool:
    spec = find_spec(top)
    if spec is None:
        return False
    inside = [f"{folder}/x.py" for folder in spec.submodule_search_locations or ()]
    return any(is_local(place) for place in (spec.origin or "", *inside))


def _is_installed(name: str) -> bool:
    """Whether importing it runs nobody's own code."""
    try:
        return not _is_local_top(name.partition(".")[0])
    except (ImportError, ValueError):
        return False


def _explain(keeper: Keeper, ats: Sequence[int]) -> bool:
    found: dict[str, Any] = {}
    for step in keeper.store.steps():
        if step.at in ats:
            import_again(filter(_is_installed, names_in(keeper, step)))
            names = step.ambient.get(DATA, ())
            data = {**data_of(names), **contents_of(names)}
            found[str(step.at)] = {**ambient.rest({}), DATA: data}
    keeper.store.write_kernel(found, "imports")
    return True
