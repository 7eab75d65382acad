"""The template: opens a bundle once, in a fresh process, and forks supervisors from it.

It keeps one Python thread, runs no task, and is started anew when the code, the
interpreter, the environment or an installed distribution changed. It ends when the
engine's end of its socket does, after everything below it is dead.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from mlflowkit.worker import processes
from mlflowkit.worker.protocol import (
    BlockingChannel,
    Close,
    Fork,
    Frames,
    SlotGone,
    TemplateReady,
    decode,
)

#: Runs in the fork: never returns.
Supervise = Callable[[socket.socket], None]


class Template:
    """Waits for `Fork`, reaps supervisors, tells which are gone."""

    def __init__(self, control: socket.socket, supervise: Supervise) -> None:
        self._control, self._supervise = control, supervise
        self._channel = BlockingChannel(control)
        self._slots: dict[int, int] = {}
        self._frames = Frames()
        self._files: list[int] = []
        self._selector = selectors.DefaultSelector()

    def serve(self, error: str = "") -> None:
        """Until the engine is gone."""
        processes.become_subreaper()
        gc.collect()
        gc.freeze()  # forks share these pages: the collector must not touch them
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(wake_read, selectors.EVENT_READ)
        self._channel.send(TemplateReady(error))
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._read():
                        self._leave()
                        return
                else:
                    os.read(wake_read, 4096)
                    self._reap()

    def _read(self) -> bool:
        data, files, _, _ = socket.recv_fds(self._control, 65536, 16)
        if not data:
            return False
        self._files += files
        for frame in self._frames.feed(data):
            message = decode(frame)
            if isinstance(message, Fork):
                self._fork(message.slot, self._files.pop(0))
            elif isinstance(message, Close):
                return False
        return True

    def _fork(self, slot: int, fd: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            os.close(fd)
            self._slots[pid] = slot
            return
        try:
            processes.die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            self._supervise(socket.socket(fileno=fd))
        except BaseException:  # noqa: BLE001 - told in the template's log, then gone
            traceback.print_exc()
            os._exit(1)
        finally:
            os._exit(0)

    def _reap(self) -> None:
        """Bury the dead; whatever a dead supervisor left behind goes with it."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            slot = self._slots.pop(pid, None)
            if slot is not None:
                processes.kill_all_below(spare=self._slots)
                self._channel.send(SlotGone(slot, processes.words_for(status)))

    def _leave(self) -> None:
        """The engine is gone: supervisors see it too, and end what is below them."""
        while self._slots:
            try:
                pid, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                break
            self._slots.pop(pid, None)
        processes.kill_all_below()


def may_fork() -> bool:
    """Whether this process can be forked safely: it has a single Python thread."""
    return threading.active_count() == 1


def hold_locks(*paths: str) -> list[int]:
    """Shared locks that tell the engine when this process and its forks are all dead."""
    return [processes.hold_shared(Path(p)) for p in paths]
