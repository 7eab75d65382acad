"""A home for a test, gone afterwards: `mlflowkit.testing.fresh_home`."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_HOME = "MLFLOWKIT_HOME"
#: Seconds that an engine of a test's home gets to stop.
_PATIENCE = 30.0


@contextmanager
def fresh_home(folder: Path | None = None) -> Generator[Path, None, None]:
    """An empty home, in place of the project's own, that is gone after the block.

    The store is a SQLite file in it. An engine that was started in it is stopped.

    Args:
        folder: Where it lies; a temporary folder if None.
    """
    home = Path(tempfile.mkdtemp(prefix="mlflowkit-home-")) if folder is None else folder
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = os.environ.get(_HOME)
    os.environ[_HOME] = str(home)
    try:
        yield home
    finally:
        _stop_engine(home)
        _release_kernels(home)
        if before is None:
            os.environ.pop(_HOME, None)
        else:
            os.environ[_HOME] = before
        shutil.rmtree(home, ignore_errors=True)


def _release_kernels(home: Path) -> None:
    """Nobody opens the kernels of notebooks that failed in it."""
    from mlflowkit.nbrun.held import held_kernels

    for kernel in held_kernels(home):
        kernel.release()


def _stop_engine(home: Path) -> None:
    from mlflowkit.engine.client import EngineClient
    from mlflowkit.engine.locks import engine_alive

    if not engine_alive(home):
        return
    client = EngineClient(home)
    if client.connect():
        client.call("stop")
    client.close()
    until = time.monotonic() + _PATIENCE
    while engine_alive(home) and time.monotonic() < until:
        time.sleep(0.02)
