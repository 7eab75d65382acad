"""The states of the random generators that a whole process shares: taken, and brought back."""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any


def get_random() -> bytes:
    """The states of the generators behind random, numpy.random and torch."""
    states: dict[str, Any] = {"random": random.getstate()}
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
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(torch.frombuffer(bytearray(states["torch"]), dtype=torch.uint8))
