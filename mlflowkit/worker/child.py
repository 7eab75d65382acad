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
from mlflowkit.errors import AskedOutsideTask, EngineRefused, InternalError
from mlflowkit.ports import LaunchOrder
from mlflowkit.worker import elsewhere, masking, processes, threads
from mlflowkit.worker.attempt import Link
from mlflowkit.worker.protocol import (
    LARGEST_ENDED,
    Answer,
    Ask,
    BlockingChannel,
    Elsewhere,
    Ended,
    Mask,
    Note,
    Order,
    encode,
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
        self._pid = os.getpid()
        self._asking = threading.Lock()
        #: Of the latest question.
        self._number = 0

    def ask(self, what: str, **arguments: Any) -> Any:
        """Ask, and wait for the answer. One question at a time, whichever thread asks.

        Raises:
            AskedOutsideTask: this is a fork of the task's process, or the attempt is over.
        """
        if os.getpid() != self._pid:
            who = "a process that the task forked (os.fork, multiprocessing)"
            raise AskedOutsideTask(what, who)
        with self._asking:
            if self.attempt is None:
                raise AskedOutsideTask(what, "a thread of a task that has ended")
            self._number += 1
            answer = self._answer_to(Ask(self.attempt, what, arguments, self._number))
        if answer.user_code:
            raise EngineRefused(answer.error, answer.user_code)
        if answer.error:
            raise InternalError(answer.error)
        return msgspec.msgpack.decode(answer.body)

    def mask(self, values: list[str]) -> None:
        """Have the supervisor hide these values; when this returns, it does.

        A fork of the task's process cannot wait for it: the answer would be another's.
        """
        if os.getpid() != self._pid:
            self._channel.send(Mask(values, answer=False))
            return
        with self._asking:
            self._number += 1
            self._answer_to(Mask(values, number=self._number))

    def elsewhere(self, pid: int, ended: bool) -> None:
        """Tell the supervisor of a process that is not below it and works for the attempt."""
        if os.getpid() == self._pid:
            self._channel.send(Elsewhere(pid, ended))

    def _answer_to(self, question: Ask | Mask) -> Answer:
        """Those to earlier questions, whose wait was interrupted, are passed over."""
        self._channel.send(question)
        while True:
            answer = self._channel.receive()
            if not isinstance(answer, Answer):
                raise InternalError("the supervisor is gone")
            if answer.number == question.number:
                return answer

    def next_order(self) -> Order | None:
        """What to run next; None when there is no more."""
        while isinstance(message := self._channel.receive(), Answer):
            continue
        return message if isinstance(message, Order) else None

    def close(self) -> None:
        """The attempt is over: threads that it left behind may ask no more."""
        with self._asking:
            self.attempt = None

    def note(self, line: bytes) -> None:
        self._channel.send(Note(line))


class _Interrupts:
    """SIGINT interrupts the task's code, and nothing of ours."""

    def __init__(self) -> None:
        self.in_task = False
        self.heard = False
        signal.signal(signal.SIGINT, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True
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
    masking.tell_with(link.mask)
    elsewhere.tell_with(link.elsewhere)
    known = False
    while (message := link.next_order()) is not None:
        if not known:
            masking.hide_environment()
            known = True
        order = message.order
        link.attempt = order.attempt
        frame = _frame(_one(order, link, run, interrupts))
        link.close()
        os.set_blocking(out, True)  # the task may have changed it, through its own streams
        processes.flush()
        _write(out, mark)
        channel.send_frame(frame)
    _orderly_end()


def _frame(ended: Ended) -> bytes:
    """The end of an attempt, encoded; one that is too large to be told is a failure."""
    frame = encode(masking.masked_end(ended))
    if len(frame) <= LARGEST_ENDED:
        return frame
    why = (
        f"its {len(ended.values):,} XComs are {len(frame) / 1e6:,.0f} MB, and a task can push "
        f"{LARGEST_ENDED / 1e6:,.0f} MB in small values. Push one list or dict of them "
        "instead of many: a large value is kept as a file, and has no such limit."
    )
    return encode(Ended(ended.attempt, "failed", why=why, error=why, retryable=False))


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


def _one(order: LaunchOrder, link: Link, run: RunAttempt, interrupts: _Interrupts) -> Ended:
    try:
        os.chdir(order.surroundings.cwd)
    except OSError as exc:
        why = f"its working folder is gone: {exc}"
        return Ended(order.attempt, "failed", why=why, retryable=False)
    pid, before = os.getpid(), threads.running()
    interrupts.heard = False
    try:
        interrupts.in_task = True
        ended = run(order, link)
        if os.getpid() != pid:
            processes.leave_fork(0 if ended.outcome != "failed" else 1)
        if ended.outcome != "failed" and not interrupts.heard:
            last = order.isolate or order.attempt.map_index < 0
            threads.wait_for_new(before, for_good=last)
    except KeyboardInterrupt:
        return Ended(order.attempt, "failed", why="interrupted")
    finally:
        interrupts.in_task = False
    return ended


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


def _orderly_end() -> None:
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    processes.flush()
