"""What a whole process shares and is brought back: generators of random numbers, and the
filters of warnings.
"""

from __future__ import annotations

import pickle
import random
import sys
import warnings
from typing import Any


def get_random() -> bytes:
    """The states of the generators behind random, numpy.random and torch; the filters."""
    states: dict[str, Any] = {"random": random.getstate()}
    if filters_travel():
        states["filters"] = list(warnings.filters)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if "numpy.random" in sys.modules and numpy is not None:
        states["numpy"] = numpy.random.get_state()
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return pickle.dumps(states, protocol=5)


def set_random(stored: bytes | bytearray) -> None:
    """Bring them back."""
    states = pickle.loads(stored)
    random.setstate(states["random"])
    if "filters" in states:
        warnings.filters[:] = states["filters"]  # type: ignore[index]  # it is a list
        getattr(warnings, "_filters_mutated", lambda: None)()
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(torch.frombuffer(bytearray(states["torch"]), dtype=torch.uint8))


def filters_travel() -> bool:
    """Whether the filters of warnings can be brought back: not those for a cell's own class."""
    return all(_is_found(each[2]) for each in warnings.filters)


def _is_found(kind: Any) -> bool:
    where = sys.modules.get(kind.__module__)
    return kind.__module__ != "__main__" and getattr(where, kind.__qualname__, None) is kind
