"""SIGTERM while a task waits for a cluster: it ends like an interrupted one, and cleans up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """Turns the first SIGTERM into a KeyboardInterrupt; later ones wait for the clean-up."""

    def __init__(self) -> None:
        self.cleaning_up = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.cleaning_up:
            self.cleaning_up = True
            raise KeyboardInterrupt("SIGTERM")


@contextmanager
def stop_signal() -> Generator[StopSignal, None, None]:
    """Inside, SIGTERM interrupts. In a thread that gets no signals, nothing changes."""
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
