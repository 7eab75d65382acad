"""The child: a forked process that runs the attempts of one task, then ends in order."""

from __future__ import annotations

import atexit
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec

from mlflowkit.core.spec import AttemptId
from mlflowkit.errors import InternalError
from mlflowkit.ports import LaunchOrder
from mlflowkit.worker import processes
from mlflowkit.worker.attempt import Link
from mlflowkit.worker.protocol import (
    Answer,
    Ask,
    BlockingChannel,
    Ended,
    Note,
    Order,
)

#: Runs one attempt to its end.
RunAttempt = Callable[[LaunchOrder, Link], Ended]
#: Libraries that log each request as information.
TALKATIVE = ("botocore", "httpx", "httpcore", "urllib3")
LOG_FORMAT = "[%(asctime)s] %(levelname)s %(name)s: %(message)s"


class ChannelLink:
    """The way to the engine: through the supervisor."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self.attempt: AttemptId | None = None

    def ask(self, what: str, **arguments: Any) -> Any:
        """Ask, and wait for the answer. One question at a time."""
        assert self.attempt is not None
        self._channel.send(Ask(self.attempt, what, arguments))
        answer = self._channel.receive()
        if not isinstance(answer, Answer):
            raise InternalError("the supervisor is gone")
        if answer.error:
            raise InternalError(answer.error)
        return msgspec.msgpack.decode(answer.body)

    def note(self, line: bytes) -> None:
        self._channel.send(Note(line))


class _Interrupts:
    """SIGINT interrupts the task's code, and nothing of ours."""

    def __init__(self) -> None:
        self.in_task = False
        signal.signal(signal.SIGINT, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.in_task:
            self.in_task = (
                False  # once: a second one must not break what tells of the first
            )
            raise KeyboardInterrupt


def serve_child(
    channel: BlockingChannel,
    out: int,
    mark: bytes,
    run: RunAttempt,
    rehearse: Callable[[], None],
) -> None:
    """Run what comes, until there is no more. Called right after the fork.

    `rehearse` goes the way of an attempt without a task: a fork pays for each page when
    it first touches it, and this one has time until its order comes.
    """
    _own_streams(out)
    _fresh_start()
    rehearse()
    interrupts = _Interrupts()
    link = ChannelLink(channel)
    while isinstance(message := channel.receive(), Order):
        order = message.order
        link.attempt = order.attempt
        ended = _one(order, link, run, interrupts)
        flush()
        os.write(out, mark)
        channel.send(ended)
    _orderly_end()


def _one(order: LaunchOrder, link: Link, run: RunAttempt, interrupts: _Interrupts) -> Ended:
    try:
        os.chdir(order.surroundings.cwd)
    except OSError as exc:
        why = f"its working folder is gone: {exc}"
        return Ended(order.attempt, "failed", why=why, retryable=False)
    try:
        interrupts.in_task = True
        return run(order, link)
    except KeyboardInterrupt:
        return Ended(order.attempt, "failed", why="interrupted")
    finally:
        interrupts.in_task = False


def _own_streams(out: int) -> None:
    """Both streams, of Python and of C, go to the attempt's log; nothing is read from a terminal."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def _fresh_start() -> None:
    """What a fork must not share with its siblings: dice, exit handlers, log handlers."""
    atexit._clear()
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def flush() -> None:
    """Everything Python has not written yet. User code may have broken or closed its streams."""
    processes.flush_c()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def _orderly_end() -> None:
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    flush()
