"""A forked process that runs the attempts of one task, as its supervisor sees it.

Its output comes through a pipe, with a mark where an attempt ends; what it has written before
is in the attempt's log when its end is told. Nothing here decides what becomes of an attempt.
"""

from __future__ import annotations

import os
import secrets
import socket
import traceback
from collections.abc import Callable

from mlflowkit.core.masking import Masker, StreamMasker
from mlflowkit.worker import elsewhere, processes
from mlflowkit.worker.attempt_log import AttemptLog
from mlflowkit.worker.protocol import (
    FRAME_ERRORS,
    BlockingChannel,
    Elsewhere,
    Frames,
    Message,
    decode,
    encode,
)

#: Runs in the child: takes its channel, the output pipe and the end mark; returns at the end.
RunChild = Callable[[BlockingChannel, int, bytes], None]
#: Processes that work for an attempt elsewhere end by themselves when it does.
ELSEWHERE_SECONDS = 5.0
READ_BYTES = 65_536
SAID_BYTES = 262_144


class Child:
    """A forked process that runs the attempts of one task, as its supervisor sees it."""

    def __init__(self, run: RunChild) -> None:
        ours, theirs = socket.socketpair()
        self.out, out_theirs = os.pipe()
        self.mark = b"\0" + secrets.token_hex(16).encode() + b"\0"
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            os.close(self.out)
            try:
                processes.die_with_parent(parent)
                run(BlockingChannel(theirs), out_theirs, self.mark)
            except BaseException:  # noqa: BLE001 - told in the attempt's log, then gone
                traceback.print_exc()
                os._exit(1)
            finally:
                os._exit(0)
        theirs.close()
        os.close(out_theirs)
        os.set_blocking(self.out, False)
        self.sock = ours
        self.frames = Frames()
        self.pidfd = os.pidfd_open(self.pid)
        self.task: tuple[str, str] | None = None  # (run, task) whose attempts it runs
        self.tail = b""  # output read, but not yet known to be free of a mark
        #: The secrets it has met; nothing of its output is written but through this.
        self.masker = Masker()
        self.masked = StreamMasker(self.masker)
        #: Processes that are not below it and work for its attempt: pid → pidfd.
        self.elsewhere: dict[int, int] = {}

    def read(self) -> tuple[list[Message], str] | None:
        """What it has said, and what was wrong with the rest; None when it will say no more."""
        try:
            data = self.sock.recv(SAID_BYTES)
        except ConnectionResetError:
            return None
        if not data:
            return None
        messages: list[Message] = []
        try:
            messages.extend(map(decode, self.frames.feed(data)))
        except FRAME_ERRORS as exc:
            return messages, str(exc) or type(exc).__name__
        return messages, ""

    def told_of(self, message: Elsewhere) -> None:
        if message.ended:
            pidfd = self.elsewhere.pop(message.pid, None)
        elif message.pid in self.elsewhere:
            return
        else:
            pidfd = elsewhere.watch(message.pid)
            if pidfd is not None:
                self.elsewhere[message.pid] = pidfd
            return
        if pidfd is not None:
            os.close(pidfd)

    def end_elsewhere(self) -> None:
        """Nothing works for its attempt anywhere when this returns."""
        elsewhere.wait_for(self.elsewhere.values(), ELSEWHERE_SECONDS)
        for pid in list(self.elsewhere):
            os.close(self.elsewhere.pop(pid))

    def send(self, message: Message) -> None:
        try:
            self.sock.sendall(encode(message))
        except OSError:
            return  # it died: its pidfd says so

    def drain(self, log: AttemptLog, *, to_mark: bool) -> None:
        """Everything the attempt has written goes to its log: up to its mark, or all there is."""
        os.set_blocking(self.out, to_mark)
        try:
            while not (to_mark and self.mark in self.tail):
                data = os.read(self.out, READ_BYTES)
                if not data:
                    break
                self.take(data, log)
        except BlockingIOError:
            pass
        os.set_blocking(self.out, False)
        before, found, after = self.tail.partition(self.mark)
        log.write(self.masked.feed(before) + self.masked.flush())
        self.tail = after if found else b""

    def take(self, data: bytes, log: AttemptLog) -> None:
        """Write what cannot be part of a mark; keep the rest."""
        self.tail += data
        if self.mark in self.tail:
            return
        cut = len(self.tail) - len(self.mark) + 1
        start = self.tail.find(b"\0", max(cut, 0))
        safe = self.tail if start < 0 else self.tail[:start]
        log.write(self.masked.feed(safe))
        self.tail = self.tail[len(safe) :]

    def close(self) -> None:
        self.sock.close()
        os.close(self.out)
        os.close(self.pidfd)
        for pidfd in self.elsewhere.values():
            os.close(pidfd)
