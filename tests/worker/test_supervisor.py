"""A supervisor with real children, and a person instead of the engine at the other end."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mlflowkit.core.spec import AttemptId, RunId, TaskId
from mlflowkit.errors import AskedOutsideTask
from mlflowkit.ports import LaunchOrder, Surroundings
from mlflowkit.worker.attempt import Link
from mlflowkit.worker.child import serve_child
from mlflowkit.worker.protocol import (
    Answer,
    Ask,
    BlockingChannel,
    Close,
    Ended,
    Kill,
    Order,
    Recall,
    Returned,
    Started,
)
from mlflowkit.worker.supervisor import RunChild, Supervisor
from tests.homes import alive, wait_until

#: What an attempt does, by the name of its task. Runs in a fork of this process.
Deeds = Mapping[str, Callable[..., object]]


class Slot:
    """A supervisor in a process of its own."""

    def __init__(self, deeds: Deeds, folder: Path) -> None:
        self.folder = folder
        ours, theirs = socket.socketpair()
        ours.settimeout(120)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            try:
                Supervisor(theirs, _child_for(deeds)).serve()
            finally:
                os._exit(0)
        theirs.close()
        self.channel = BlockingChannel(ours)

    def order(self, task: str, map_index: int = -1, number: int = 1) -> LaunchOrder:
        attempt = AttemptId(RunId("d/1"), TaskId(task), map_index, number)
        around = Surroundings(
            python="", env=dict(os.environ), cwd=os.getcwd(), sys_path=(), umask=0o22
        )
        return LaunchOrder(
            attempt=attempt,
            try_number=1,
            max_tries=1,
            bundle="",
            surroundings=around,
            params_json=b"{}",
            facts_json=b"{}",
            log=str(self.folder / f"{task}.{map_index}.{number}.log"),
            journal=str(self.folder / f"{task}.{map_index}.{number}.jsonl"),
        )

    def give(self, *orders: LaunchOrder) -> None:
        for order in orders:
            self.channel.send(Order(order))

    def ended(self) -> Ended:
        """The next end that it tells."""
        while True:
            message = self.channel.receive()
            assert message is not None, "the supervisor is gone"
            if isinstance(message, Ended):
                return message

    def close(self) -> None:
        self.channel.sock.close()
        os.waitpid(self.pid, 0)


def _child_for(deeds: Deeds) -> RunChild:
    run = _doing(deeds)
    return lambda channel, out, mark: serve_child(channel, out, mark, run, lambda: None)


def _doing(deeds: Deeds) -> Callable[[LaunchOrder, Link], Ended]:
    def run(order: LaunchOrder, link: Link) -> Ended:
        deed = deeds[order.attempt.task_id]
        told = deed(order, link) if deed.__name__ == "asks" else deed(order)
        if isinstance(told, bytes):
            link.note(told)
        return Ended(order.attempt, "succeeded", why=str(told))

    return run


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Deeds], Slot]]:
    made: list[Slot] = []

    def make(deeds: Deeds) -> Slot:
        made.append(Slot(deeds, tmp_path))
        return made[-1]

    yield make
    for slot in made:
        slot.close()


Make = Callable[[Deeds], Slot]


def test_output_with_zeros_and_half_marks_is_kept_byte_by_byte(make: Make) -> None:
    data = bytes(range(256)) * 300 + b"\0" * 5000 + b"\0" + b"ab" * 15

    def writes(_order: LaunchOrder) -> None:
        for start in range(0, len(data), 1013):
            os.write(1, data[start : start + 1013])

    slot = make({"writes": writes})
    for index in range(3):
        order = slot.order("writes", index)
        slot.give(order)
        slot.ended()
        assert Path(order.log).read_bytes() == data


def test_the_output_of_each_attempt_goes_to_its_own_log(make: Make) -> None:
    slot = make({"says": lambda order: os.write(1, f"{order.attempt}\n".encode()) and None})
    orders = [slot.order("says", i) for i in range(20)]
    slot.give(*orders)
    assert [slot.ended().attempt for _ in orders] == [o.attempt for o in orders]
    assert [Path(o.log).read_text() for o in orders] == [f"{o.attempt}\n" for o in orders]


def test_notes_are_in_the_journal_when_the_end_is_told(make: Make) -> None:
    slot = make({"notes": lambda order: f'{{"n": {order.attempt.number}}}'.encode()})
    for number in (1, 2):
        order = slot.order("notes", number=number)
        slot.give(order)
        slot.ended()
        assert Path(order.journal).read_text() == f'{{"n": {number}}}\n'


def test_exit_handlers_run_and_threads_end_before_the_next_task(
    make: Make, tmp_path: Path
) -> None:
    log = tmp_path / "order"

    def write(word: str) -> None:
        with log.open("a") as out:
            out.write(word + "\n")

    def first(_order: LaunchOrder) -> None:
        import atexit
        import threading

        atexit.register(write, "exit handler")

        def thread() -> None:
            time.sleep(0.1)
            write("thread")

        threading.Thread(target=thread).start()

    slot = make({"first": first, "second": lambda _order: write("second")})
    slot.give(slot.order("first"), slot.order("second"))
    slot.ended()
    slot.ended()
    assert log.read_text().split("\n") == ["thread", "exit handler", "second", ""]


def test_orders_that_have_not_started_can_be_called_back(
    make: Make, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def waits(_order: LaunchOrder) -> None:
        while not gate.exists():
            time.sleep(0.005)

    slot = make({"waits": waits})
    orders = [slot.order("waits", i) for i in range(3)]
    slot.give(*orders)
    assert isinstance(slot.channel.receive(), Started)
    slot.channel.send(Recall())
    back = slot.channel.receive()
    assert isinstance(back, Returned)
    assert [AttemptId(*a) for a in back.attempts] == [o.attempt for o in orders[1:]]
    gate.touch()
    assert slot.ended().attempt == orders[0].attempt


def test_an_order_that_waits_behind_another_can_be_killed(
    make: Make, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def waits(_order: LaunchOrder) -> None:
        while not gate.exists():
            time.sleep(0.005)

    slot = make({"waits": waits})
    orders = [slot.order("waits", i) for i in range(2)]
    slot.give(*orders)
    slot.channel.send(Kill(orders[1].attempt, "cancelled", 1.0))
    ended = slot.ended()
    assert (ended.attempt, ended.outcome, ended.why) == (
        orders[1].attempt,
        "failed",
        "cancelled",
    )
    gate.touch()
    assert slot.ended().outcome == "succeeded"


def test_a_mapped_task_goes_on_in_a_new_child_when_one_dies(make: Make) -> None:
    def dies_at_one(order: LaunchOrder) -> int:
        if order.attempt.map_index == 1:
            os._exit(9)
        return os.getpid()

    slot = make({"dies": dies_at_one})
    slot.give(*(slot.order("dies", i) for i in range(4)))
    ends = [slot.ended() for _ in range(4)]
    assert [e.outcome for e in ends] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert ends[0].why != ends[2].why == ends[3].why


def test_an_isolated_attempt_has_its_own_child(make: Make) -> None:
    slot = make({"pid": lambda _order: os.getpid()})
    orders = [replace(slot.order("pid", i), isolate=True) for i in range(3)]
    slot.give(*orders)
    assert len({slot.ended().why for _ in orders}) == 3


def test_it_ends_what_is_below_it_when_the_engine_is_gone(
    make: Make, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"

    def family(_order: LaunchOrder) -> None:
        import subprocess

        other = subprocess.Popen(["setsid", "sleep", "600"])
        pids.write_text(f"{os.getpid()} {other.pid}\n")
        time.sleep(600)

    slot = make({"family": family})
    slot.give(slot.order("family"))
    wait_until(lambda: pids.exists() and pids.read_text())
    slot.channel.sock.shutdown(socket.SHUT_RDWR)
    found = [int(p) for p in pids.read_text().split()]
    wait_until(lambda: not any(map(alive, found)), 120)


def test_it_ends_in_order_when_no_more_will_come(make: Make) -> None:
    slot = make({"pid": lambda _order: os.getpid()})
    slot.give(slot.order("pid"))
    slot.ended()
    slot.channel.send(Close())
    assert slot.channel.receive() is None


def test_orders_are_heard_while_exit_handlers_of_the_last_task_run(
    make: Make, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"

    def lingers(_order: LaunchOrder) -> None:
        import atexit

        def waits() -> None:
            begun.touch()
            while not gate.exists():
                time.sleep(0.005)

        atexit.register(waits)

    slot = make({"lingers": lingers, "next": lambda _order: None})
    orders = [slot.order("next", number=n) for n in (1, 2)]
    slot.give(slot.order("lingers"), *orders)
    slot.ended()
    wait_until(begun.exists)
    slot.channel.send(Kill(orders[1].attempt, "cancelled", 1.0))
    assert (slot.ended().attempt, gate.exists()) == (orders[1].attempt, False)
    gate.touch()
    ended = slot.ended()
    assert (ended.attempt, ended.outcome) == (orders[0].attempt, "succeeded")


def test_a_child_that_does_not_end_is_ended_and_the_next_task_runs(make: Make) -> None:
    def never_ends(_order: LaunchOrder) -> None:
        import atexit

        atexit.register(time.sleep, 600)

    slot = make({"never": never_ends, "next": lambda _order: None})
    since = time.monotonic()
    slot.give(slot.order("never"), slot.order("next"))
    assert [slot.ended().outcome for _ in range(2)] == ["succeeded"] * 2
    assert 4 < time.monotonic() - since < 120


def test_an_answer_goes_to_whoever_asked_and_to_nobody_else(
    make: Make, tmp_path: Path
) -> None:
    """A wait for an answer that was interrupted, a fork, and a thread that asks too late."""
    import threading

    late: list[str] = []
    is_over, has_asked = tmp_path / "is over", tmp_path / "has asked"
    for path in (is_over, has_asked):
        os.mkfifo(path)

    def asks(order: LaunchOrder, link: Link) -> object:
        if order.attempt.map_index == 1:
            return (late, link.ask("c"))
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            link.ask("a", pid=os.getpid())
        except KeyboardInterrupt:
            pass

        def too_late() -> None:
            os.read(os.open(is_over, os.O_RDONLY), 3)
            try:
                link.ask("d")
            except AskedOutsideTask:
                late.append("refused")
            has_asked.write_bytes(b"refused")

        threading.Thread(target=too_late, daemon=True).start()
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                link.ask("e")
            except AskedOutsideTask:
                os.write(write, b"refused")
            os._exit(0)
        return (link.ask("b"), os.read(read, 7))

    slot = make({"asks": asks})
    slot.give(slot.order("asks", 0))
    asked: list[str] = []
    while len(asked) < 2:
        message = slot.channel.receive()
        if isinstance(message, Ask):
            asked.append(message.what)
            if message.what == "a":
                os.kill(message.arguments["pid"], signal.SIGALRM)
    for what in asked:
        slot.channel.send(Answer(msgspec.msgpack.encode(f"to {what}")))
    assert (asked, slot.ended().why) == (["a", "b"], "('to b', b'refused')")
    over, asks_late = (os.open(path, os.O_RDWR) for path in (is_over, has_asked))
    os.write(over, b"now")  # between two attempts, when nothing may be asked
    assert select.select([asks_late], [], [], 30)[0]
    slot.give(slot.order("asks", 1))
    while not isinstance(slot.channel.receive(), Ask):
        pass
    slot.channel.send(Answer(msgspec.msgpack.encode("to c")))
    assert slot.ended().why == "(['refused'], 'to c')"
    os.close(over)
    os.close(asks_late)
