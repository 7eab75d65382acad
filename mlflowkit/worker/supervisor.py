"""The supervisor of a slot: forks a child for each task, keeps its log, ends what is below it.

It never runs user code, so it lives on when that code crashes, hangs or eats its
memory. A child runs the attempts of one task, one after the other, and is gone
before the next task starts; a spare one is forked ahead. `Ended` goes to the engine
only when the attempt's output is in its log and, after a kill, everything is dead.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from mlflowkit.core.masking import Masker, StreamMasker
from mlflowkit.ports import LaunchOrder
from mlflowkit.worker import elsewhere, processes
from mlflowkit.worker.protocol import (
    FRAME_ERRORS,
    Answer,
    Ask,
    BlockingChannel,
    Close,
    Elsewhere,
    Ended,
    Frames,
    Kill,
    Mask,
    Message,
    Note,
    Order,
    Recall,
    Returned,
    Started,
    decode,
    encode,
)

#: Runs in the child: takes its channel, the output pipe and the end mark; returns at the end.
RunChild = Callable[[BlockingChannel, int, bytes], None]
#: A child that was told to end gets this long for its exit handlers.
EXIT_GRACE_SECONDS = 5.0
#: Processes that work for an attempt elsewhere end by themselves when it does.
ELSEWHERE_SECONDS = 5.0
HOLD_SECONDS = 0.004


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

    def close(self) -> None:
        self.sock.close()
        os.close(self.out)
        os.close(self.pidfd)
        for pidfd in self.elsewhere.values():
            os.close(pidfd)


class Supervisor:
    """One slot: at most one attempt runs in it."""

    def __init__(self, engine: socket.socket, run_child: RunChild) -> None:
        self._engine, self._run_child = engine, run_child
        self._engine_frames = Frames()
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[LaunchOrder] = deque()
        self._current: LaunchOrder | None = None
        self._child: Child | None = None
        self._spare: Child | None = None
        #: Who waits for an answer, and the question's number, in the order of the questions.
        self._askers: deque[tuple[Child, int]] = deque()
        #: When a child that was told to end is ended.
        self._retire_by: float | None = None
        #: Where output goes: the log of the attempt that runs, or ran last.
        self._log_path = ""
        self._log: BinaryIO | None = None
        #: Why some output of the current attempt is in no file (a full disk).
        self._unwritten = ""
        self._kill: Kill | None = None
        self._next_signal: tuple[float, signal.Signals] | None = None
        self._memory_kills = processes.out_of_memory_kills()
        self._closing = False
        #: A `Started` that waits a moment: if the attempt ends meanwhile, both go in one piece.
        self._held = b""
        self._held_since = 0.0

    # ── loop ────────────────────────────────────────────────────────────────

    def serve(self) -> None:
        """Until the engine is gone or says that no more will come."""
        processes.become_subreaper()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._engine, selectors.EVENT_READ, self._read_engine)
        self._fork_spare()
        while not (self._closing and self._current is None and not self._waiting):
            for key, _ in self._selector.select(self._timeout()):
                if self._selector.get_map().get(key.fd) is not key:
                    continue  # an event before it, of the same moment, closed it
                if not key.data():
                    self._end_everything()
                    return
            self._escalate()
            self._end_retired()
            self._say_held()
        self._wait_for_retired()
        self._end_everything()

    def _timeout(self) -> float | None:
        until = [self._next_signal[0]] if self._next_signal is not None else []
        until += [self._held_since + HOLD_SECONDS] if self._held else []
        until += [self._retire_by] if self._retire_by is not None else []
        return max(min(until) - time.monotonic(), 0) if until else None

    def _say_held(self) -> None:
        if self._held and time.monotonic() >= self._held_since + HOLD_SECONDS:
            held, self._held = self._held, b""
            self._engine.sendall(held)

    def _end_everything(self) -> None:
        processes.kill_all_below()
        self._close_log()

    def _tell(self, message: Message) -> None:
        held, self._held = self._held, b""
        self._engine.sendall(held + encode(message))

    # ── engine ──────────────────────────────────────────────────────────────

    def _read_engine(self) -> bool:
        try:
            data = self._engine.recv(262_144)
        except ConnectionResetError:
            return False
        if not data:
            return False
        for frame in self._engine_frames.feed(data):
            self._hear(decode(frame))
        return True

    def _hear(self, message: Message) -> None:
        if isinstance(message, Order):
            self._waiting.append(message.order)
            self._start_next()
        elif isinstance(message, Answer):
            asker, number = self._askers.popleft()
            if asker is self._child:
                asker.send(msgspec.structs.replace(message, number=number))
        elif isinstance(message, Kill):
            self._kill_asked(message)
        elif isinstance(message, Recall):
            self._tell(Returned([order.attempt for order in self._waiting]))
            self._waiting.clear()
        elif isinstance(message, Close):
            self._closing = True

    def _kill_asked(self, kill: Kill) -> None:
        if self._current is not None and self._current.attempt == kill.attempt:
            if self._kill is None:
                self._kill = kill
                self._next_signal = (time.monotonic(), signal.SIGINT)
            return
        for order in list(self._waiting):
            if order.attempt == kill.attempt:
                self._waiting.remove(order)
                self._tell(Ended(kill.attempt, "failed", why=kill.why))

    def _escalate(self) -> None:
        """Interrupt the child; then SIGTERM, then SIGKILL for all below."""
        if self._next_signal is None or self._kill is None or self._child is None:
            return
        when, sig = self._next_signal
        if time.monotonic() < when:
            return
        if sig is signal.SIGKILL:
            self._next_signal = None
            processes.send(self._child.pid, signal.SIGKILL)
            return
        targets = [self._child.pid]
        if sig is signal.SIGTERM:
            targets += processes.below(self._child.pid)
        for pid in targets:
            processes.send(pid, sig)
        later = signal.SIGTERM if sig is signal.SIGINT else signal.SIGKILL
        self._next_signal = (time.monotonic() + self._kill.grace, later)

    # ── child ───────────────────────────────────────────────────────────────

    def _fork_spare(self) -> None:
        if self._spare is None:
            self._spare = Child(self._in_child)

    def _in_child(self, channel: BlockingChannel, out: int, mark: bytes) -> None:
        self._selector.close()
        self._engine.close()
        for other in (self._child, self._spare):
            if other is not None:
                other.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._run_child(channel, out, mark)

    def _start_next(self) -> None:
        if self._current is not None or not self._waiting or self._retire_by is not None:
            return
        order = self._waiting[0]
        task = (order.attempt.run_id, order.attempt.task_id)
        if self._child is not None and (self._child.task != task or order.isolate):
            self._retire()
            return
        self._waiting.popleft()
        if self._child is None:
            self._fork_spare()
            assert self._spare is not None
            self._child, self._spare = self._spare, None
            self._child.task = task
            self._selector.register(
                self._child.sock, selectors.EVENT_READ, self._read_child
            )
            self._selector.register(
                self._child.out, selectors.EVENT_READ, self._read_output
            )
            self._selector.register(
                self._child.pidfd, selectors.EVENT_READ, self._child_died
            )
        self._current, self._kill, self._next_signal = order, None, None
        self._close_log()
        self._log_path, self._unwritten = order.log, ""
        self._child.send(Order(order))
        self._held += encode(Started(order.attempt, self._child.pid))
        self._held_since = time.monotonic()

    def _read_child(self) -> bool:
        assert self._child is not None
        child = self._child
        try:
            data = child.sock.recv(262_144)
        except ConnectionResetError:
            data = b""
        if not data:
            self._selector.unregister(child.sock)
            return True  # its pidfd tells the rest
        messages: list[Message] = []
        wrong = ""
        try:
            messages.extend(map(decode, child.frames.feed(data)))
        except FRAME_ERRORS as exc:
            wrong = str(exc) or type(exc).__name__
        for message in messages:
            self._child_says(child, message)
        if wrong and self._child is child:
            self._child_is_confused(wrong)
        return True

    def _child_says(self, child: Child, message: Message) -> None:
        if isinstance(message, Note):
            self._note(child.masker.json_line(message.line))
        elif isinstance(message, Mask):
            child.masker.add(message.values)
            if message.answer:
                child.send(Answer(b"", number=message.number))
        elif isinstance(message, Elsewhere):
            child.told_of(message)
        elif isinstance(message, Ended) and self._current is not None:
            self._attempt_ended(message)
        elif isinstance(message, Ask):
            self._askers.append((child, message.number))
            self._tell(message)

    def _child_is_confused(self, what: str) -> None:
        """It sent what is no message: nothing it says can be trusted from now on."""
        order = self._current
        if self._child is not None:
            self._remove_child()
        if order is None:
            self._go_on()
            return
        why = (
            self._kill.why
            if self._kill
            else f"its process said what cannot be read: {what}"
        )
        self._finish(Ended(order.attempt, "failed", why=why))

    def _attempt_ended(self, ended: Ended) -> None:
        assert self._child is not None
        self._drain(self._child, to_mark=True)
        self._child.end_elsewhere()
        if self._kill is not None:
            self._remove_child()
        self._finish(ended)

    def _finish(self, ended: Ended) -> None:
        self._current, self._kill, self._next_signal = None, None, None
        if self._unwritten:
            facts = {**ended.facts, "log_error": self._unwritten}
            ended = msgspec.structs.replace(ended, facts=facts)
            self._unwritten = ""
        self._tell(ended)
        if ended.attempt.map_index < 0 and self._child is not None:
            self._retire()  # nothing more of this task will come
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._child is None and not self._closing:
            self._fork_spare()
        self._start_next()

    def _child_died(self) -> bool:
        child, order = self._child, self._current
        assert child is not None
        self._read_what_is_left(child)
        if self._child is not child:
            return True  # its last words ended the attempt, and the child with it
        _, status = os.waitpid(child.pid, 0)
        before, self._memory_kills = self._memory_kills, processes.out_of_memory_kills()
        memory = self._memory_kills > before
        processes.kill_all_below(spare=self._spared())  # first: it may write without end
        child.end_elsewhere()
        self._drain(child, to_mark=False)
        self._forget(child)
        if self._current is not None and self._current is not order:
            self._waiting.appendleft(self._current)  # handed to it after it had died
            self._current = None
            self._start_next()
        elif order is not None and self._current is order:
            why = (
                self._kill.why
                if self._kill
                else processes.words_for(status, out_of_memory=memory)
            )
            self._finish(
                Ended(order.attempt, "failed", why=why, error=self._last_words(order))
            )
        else:
            self._go_on()
        return True

    def _read_what_is_left(self, child: Child) -> None:
        """Messages that a child sent before it died count."""
        child.sock.setblocking(False)
        try:
            while self._child is child and child.sock in self._selector.get_map():
                if not self._read_child():
                    return
        except BlockingIOError:
            return

    def _last_words(self, order: LaunchOrder) -> str:
        path = Path(order.log)
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(max(path.stat().st_size - 4000, 0))
            return log.read().decode(errors="replace")

    def _retire(self) -> None:
        """The task has no more attempts here: the child may run its exit handlers."""
        if self._child is not None and self._retire_by is None:
            self._retire_by = time.monotonic() + EXIT_GRACE_SECONDS
            self._child.send(Close())

    def _end_retired(self) -> None:
        if self._retire_by is not None and time.monotonic() >= self._retire_by:
            self._remove_child()
            self._go_on()

    def _wait_for_retired(self) -> None:
        self._retire()
        while self._child is not None and self._retire_by is not None:
            for key, _ in self._selector.select(self._timeout()):
                if self._selector.get_map().get(key.fd) is not key:
                    continue
                if not key.data():
                    return  # the engine is gone
            self._end_retired()

    def _remove_child(self) -> None:
        child = self._child
        assert child is not None
        processes.send(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        processes.kill_all_below(spare=self._spared())  # first: it may write without end
        child.end_elsewhere()
        self._drain(child, to_mark=False)
        self._forget(child)

    def _forget(self, child: Child) -> None:
        for source in (child.sock, child.out, child.pidfd):
            if source in self._selector.get_map():
                self._selector.unregister(source)
        child.close()
        self._close_log()
        self._child, self._retire_by = None, None

    def _spared(self) -> set[int]:
        return {self._spare.pid} if self._spare is not None else set()

    # ── output ──────────────────────────────────────────────────────────────

    def _read_output(self) -> bool:
        assert self._child is not None
        try:
            data = os.read(self._child.out, 65_536)
        except BlockingIOError:
            return True
        if not data:
            self._selector.unregister(self._child.out)
            return True
        self._take(self._child, data)
        return True

    def _drain(self, child: Child, *, to_mark: bool) -> None:
        """Everything the attempt has written goes to its log: up to its mark, or all there is."""
        os.set_blocking(child.out, to_mark)
        try:
            while not (to_mark and child.mark in child.tail):
                data = os.read(child.out, 65_536)
                if not data:
                    break
                self._take(child, data)
        except BlockingIOError:
            pass
        os.set_blocking(child.out, False)
        before, found, after = child.tail.partition(child.mark)
        self._write(child.masked.feed(before) + child.masked.flush())
        child.tail = after if found else b""

    def _take(self, child: Child, data: bytes) -> None:
        """Write what cannot be part of a mark; keep the rest."""
        child.tail += data
        if child.mark in child.tail:
            return
        cut = len(child.tail) - len(child.mark) + 1
        start = child.tail.find(b"\0", max(cut, 0))
        safe = child.tail if start < 0 else child.tail[:start]
        self._write(child.masked.feed(safe))
        child.tail = child.tail[len(safe) :]

    def _write(self, data: bytes) -> None:
        if not data or not self._log_path:
            return
        try:
            if self._log is None:
                path = Path(self._log_path)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._log = path.open("ab", buffering=0)
            self._log.write(data)
        except OSError as exc:  # the attempt is not to blame, and goes on
            self._unwritten = str(exc)

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _note(self, line: bytes) -> None:
        if self._current is None or not self._current.journal:
            return
        path = Path(self._current.journal)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as journal:
                journal.write(line + b"\n")
        except OSError as exc:
            self._unwritten = str(exc)
