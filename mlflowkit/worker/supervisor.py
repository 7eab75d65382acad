"""The supervisor of a slot: forks a child for each task, keeps its log, ends what is below it.

It never runs user code, so it lives on when that code crashes, hangs or eats its
memory. A child runs the attempts of one task, one after the other, and is gone
before the next task starts; a spare one is forked ahead. `Ended` goes to the engine
only when the attempt's output is in its log and, after a kill, everything is dead.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque

import msgspec

from mlflowkit.ports import LaunchOrder
from mlflowkit.worker import processes
from mlflowkit.worker.attempt_log import AttemptLog, last_words
from mlflowkit.worker.child_process import READ_BYTES, Child, RunChild
from mlflowkit.worker.engine_end import EngineEnd
from mlflowkit.worker.killing import Killing
from mlflowkit.worker.memory_group import MemoryGroup
from mlflowkit.worker.protocol import (
    Answer,
    Ask,
    BlockingChannel,
    Close,
    Elsewhere,
    Ended,
    Kill,
    Mask,
    Message,
    Note,
    Order,
    Recall,
    Returned,
    Started,
)

#: A child that was told to end gets this long for its exit handlers.
EXIT_GRACE_SECONDS = 5.0


class Supervisor:
    """One slot: at most one attempt runs in it."""

    def __init__(self, engine: socket.socket, run_child: RunChild) -> None:
        self._engine, self._run_child = EngineEnd(engine), run_child
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[LaunchOrder] = deque()
        self._current: LaunchOrder | None = None
        self._child: Child | None = None
        self._spare: Child | None = None
        #: Who waits for an answer, and the question's number, in the order of the questions.
        self._askers: deque[tuple[Child, int]] = deque()
        #: When a child that was told to end is ended.
        self._retire_by: float | None = None
        #: Where output goes: to the attempt that runs, or ran last.
        self._log = AttemptLog()
        self._kill: Killing | None = None
        self._memory = MemoryGroup.of(os.getpid())
        self._memory_kills = self._memory.kills()
        self._closing = False

    # ── loop ────────────────────────────────────────────────────────────────

    def serve(self) -> None:
        """Until the engine is gone or says that no more will come."""
        processes.become_subreaper()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._engine.sock, selectors.EVENT_READ, self._read_engine)
        self._fork_spare()
        while not (self._closing and self._current is None and not self._waiting):
            for key, _ in self._selector.select(self._timeout()):
                if self._selector.get_map().get(key.fd) is not key:
                    continue  # an event before it, of the same moment, closed it
                if not key.data():
                    self._end_everything()
                    return
            if self._kill is not None and self._child is not None:
                self._kill.go_on(self._child.pid)
            self._end_retired()
            self._engine.say_held()
        self._wait_for_retired()
        self._end_everything()

    def _timeout(self) -> float | None:
        kill_due = self._kill.due if self._kill is not None else None
        moments = (kill_due, self._engine.held_until, self._retire_by)
        until = [moment for moment in moments if moment is not None]
        return max(min(until) - time.monotonic(), 0) if until else None

    def _end_everything(self) -> None:
        processes.kill_all_below()
        self._log.close()

    # ── engine ──────────────────────────────────────────────────────────────

    def _read_engine(self) -> bool:
        messages = self._engine.read()
        if messages is None:
            return False
        for message in messages:
            self._hear(message)
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
            self._engine.tell(Returned([order.attempt for order in self._waiting]))
            self._waiting.clear()
        elif isinstance(message, Close):
            self._closing = True

    def _kill_asked(self, kill: Kill) -> None:
        if self._current is not None and self._current.attempt == kill.attempt:
            if self._kill is None:
                self._kill = Killing(kill)
            return
        for order in list(self._waiting):
            if order.attempt == kill.attempt:
                self._waiting.remove(order)
                self._engine.tell(Ended(kill.attempt, "failed", why=kill.why))

    # ── child ───────────────────────────────────────────────────────────────

    def _fork_spare(self) -> None:
        if self._spare is None:
            self._spare = Child(self._in_child)

    def _in_child(self, channel: BlockingChannel, out: int, mark: bytes) -> None:
        self._selector.close()
        self._engine.sock.close()
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
            hears = (
                (self._child.sock, self._read_child),
                (self._child.out, self._read_output),
                (self._child.pidfd, self._child_died),
            )
            for source, hear in hears:
                self._selector.register(source, selectors.EVENT_READ, hear)
        self._current, self._kill = order, None
        self._log.begin(order)
        self._child.send(Order(order))
        self._engine.hold(Started(order.attempt, self._child.pid))

    def _read_child(self) -> bool:
        assert self._child is not None
        child = self._child
        read = child.read()
        if read is None:
            self._selector.unregister(child.sock)
            return True  # its pidfd tells the rest
        messages, wrong = read
        for message in messages:
            self._child_says(child, message)
        if wrong and self._child is child:
            self._child_is_confused(wrong)
        return True

    def _child_says(self, child: Child, message: Message) -> None:
        if isinstance(message, Note):
            self._log.note(self._current, child.masker.json_line(message.line))
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
            self._engine.tell(message)

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
        self._child.drain(self._log, to_mark=True)
        self._child.end_elsewhere()
        if self._kill is not None:
            self._remove_child()
        self._finish(ended)

    def _finish(self, ended: Ended) -> None:
        self._current, self._kill = None, None
        if trouble := self._log.trouble():
            facts = {**ended.facts, "log_error": trouble}
            ended = msgspec.structs.replace(ended, facts=facts)
        self._engine.tell(ended)
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
        before, self._memory_kills = self._memory_kills, self._memory.kills()
        memory = self._memory.limit() if self._memory_kills > before else None
        processes.kill_all_below(spare=self._spared())  # first: it may write without end
        child.end_elsewhere()
        child.drain(self._log, to_mark=False)
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
            self._finish(Ended(order.attempt, "failed", why=why, error=last_words(order)))
        else:
            self._go_on()
        return True

    def _read_output(self) -> bool:
        assert self._child is not None
        try:
            data = os.read(self._child.out, READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            self._selector.unregister(self._child.out)
            return True
        self._child.take(data, self._log)
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
        child.drain(self._log, to_mark=False)
        self._forget(child)

    def _forget(self, child: Child) -> None:
        for source in (child.sock, child.out, child.pidfd):
            if source in self._selector.get_map():
                self._selector.unregister(source)
        child.close()
        self._log.close()
        self._child, self._retire_by = None, None

    def _spared(self) -> set[int]:
        return {self._spare.pid} if self._spare is not None else set()
