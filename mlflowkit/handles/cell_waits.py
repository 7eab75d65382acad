"""Waiting for the engine, in a cell or anywhere: our live views are listened to meanwhile.

Outside a notebook's kernel it is plain waiting. Loads nothing of Jupyter by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mlflowkit.authoring.runtime import part

T = TypeVar("T")


def listening(work: Callable[[], T]) -> T:
    """What `work` gives, which blocks; in a notebook's cell, views are heard meanwhile."""
    if "ipykernel" not in sys.modules:
        return work()
    found: T = part("mlflowkit.jupyter.pumping", "waited")(work)
    return found


@contextmanager
def naps() -> Iterator[Callable[[float], None]]:
    """A `sleep(seconds)` for a loop that looks and waits; in a cell, views are heard."""
    if "ipykernel" not in sys.modules:
        yield time.sleep
        return
    with part("mlflowkit.jupyter.pumping", "napping")() as nap:
        yield nap
