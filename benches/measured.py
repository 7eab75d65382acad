"""What benches say of a figure that has a target, and a kernel server of their own."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager


def at_least(ratios: list[float], target: float) -> str:
    """The median of these ratios, their quartiles, and whether it is at least the target."""
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    word = "met" if middle >= target else "MISSED"
    return f"{middle:.1f} ({low:.1f} to {high:.1f}); at least {target}: {word}"


def at_most(value: float, target: float, unit: str = "") -> str:
    """A figure, and whether it is at most the target."""
    word = "met" if value <= target else "MISSED"
    return f"{value:.2f}{unit}; at most {target:g}{unit}: {word}"


@contextmanager
def own_server(folder: str) -> Iterator[None]:
    """The kernel server of this folder: nobody else's notebooks are in it."""
    from mlflowkit.nbrun import kernel_client, kernel_place

    before, tempfile.tempdir = tempfile.tempdir, folder
    env = {"TMPDIR": folder, kernel_client.ENV_IDLE: "1"}
    kept = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        place = kernel_place.here()
        kernel_client.disconnect()
        until = time.monotonic() + 30
        while place.folder.exists() and time.monotonic() < until:
            time.sleep(0.1)
        tempfile.tempdir = before
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
