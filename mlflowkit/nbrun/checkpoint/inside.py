"""The kernel's side: after a cell, what it holds is stored; before one, it is had again.

The execution calls `begin`, `explain`, `after`, `load`, `verify` and `settle` silently. What goes
wrong in `after` is noted and costs a checkpoint, never a cell; what goes wrong in `load`
and `verify` is raised as `Doubt`, and the notebook is run from its beginning.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mlflowkit.nbrun.checkpoint import ambient, beside, randomness
from mlflowkit.nbrun.checkpoint.bringing import Doubt, load, verify
from mlflowkit.nbrun.checkpoint.imports import explain
from mlflowkit.nbrun.checkpoint.keeper import Keeper, keepers
from mlflowkit.nbrun.checkpoint.store import Store
from mlflowkit.nbrun.checkpoint.writing import after, settle

__all__ = ["Doubt", "Keeper", "after", "begin", "explain", "load", "settle", "verify"]


def begin(folder: str, *, always: bool, shell: Any = None) -> None:
    """From now on this kernel's cells may be stored into `folder`."""
    store = Store(Path(folder))
    store.prepare()
    if shell is None:
        shell = sys.modules["IPython"].get_ipython()
    ambient.know_own()
    keeper = Keeper(store, shell, always)
    keepers[:] = [keeper]
    random = store.put(randomness.get_random())
    facts = {"random": random, "kernel": ambient.interpreter(), "inputs": beside.inputs()}
    store.write_kernel({**facts, "ambient": ambient.probe(keeper.namespace)})
