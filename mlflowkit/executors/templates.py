"""A template process and its slots, as the local executor sees them."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mlflowkit.core.spec import AttemptId
from mlflowkit.executors.channel import EngineChannel
from mlflowkit.ports import LaunchOrder, Loop, Surroundings
from mlflowkit.worker import processes
from mlflowkit.worker.protocol import (
    Close,
    Fork,
    Message,
    Order,
    SlotGone,
    TemplateReady,
)

#: Whoever has closed its end of the stream ends within this time, or is ended.
GONE_SECONDS = 5.0


#: Several processes share the cores here: a pool of threads that spins while it waits makes
#: training many times slower. What the person has set counts more.
DEFAULT_ENV = {"OMP_WAIT_POLICY": "PASSIVE"}


class Owner(Protocol):
    """Who hears of slots: the executor."""

    def slot_says(self, slot: Slot, message: Message) -> None: ...
    def slot_lost(self, slot: Slot, why: str) -> None: ...
    def template_ready(self, template: TemplateProcess) -> None: ...
    def template_broken(self, template: TemplateProcess, why: str, story: str) -> None: ...


@dataclass(eq=False)
class Slot:
    """A supervisor that runs one attempt at a time."""

    number: int
    template: TemplateProcess
    channel: EngineChannel | None = None
    #: Orders it has, by attempt; the first is the one that runs.
    orders: dict[AttemptId, LaunchOrder] = field(
        default_factory=dict[AttemptId, LaunchOrder]
    )
    started: set[AttemptId] = field(default_factory=set[AttemptId])
    #: The run and task whose attempts its child runs.
    task: tuple[str, str] | None = None
    idle_since: float = 0.0
    recalled: bool = False
    #: Its end of the stream is gone; its processes may not be yet.
    dead: bool = False

    def give(self, order: LaunchOrder) -> None:
        assert self.channel is not None
        self.orders[order.attempt] = order
        self.task = (order.attempt.run_id, order.attempt.task_id)
        self.channel.send(Order(order))


class TemplateProcess:
    """One template: a fresh interpreter that has a bundle open."""

    def __init__(
        self,
        loop: Loop,
        owner: Owner,
        folder: Path,
        bundle: str,
        surroundings: Surroundings,
        engine_id: str,
    ) -> None:
        self._loop, self._owner, self._folder = loop, owner, folder
        self.ready = False
        self.broken = ""
        #: It died of a signal before it was ready.
        self.crashed = False
        self.retired = False
        self.slots: dict[int, Slot] = {}
        self._next_slot = 0
        self.used_at = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "template.log"
        self.lock = folder / "alive.lock"
        ours, theirs = socket.socketpair()
        self._mark = f"{engine_id}/{folder.name}"
        env = {**DEFAULT_ENV, **surroundings.env, processes.ENGINE_MARK: self._mark}
        # -P: what lies in the working folder must not stand in for a module of Python's.
        argv = [
            surroundings.python,
            "-P",
            "-m",
            "mlflowkit.worker_main",
            "--bundle",
            bundle,
        ]
        argv += ["--control-fd", str(theirs.fileno())]
        argv += ["--lock", str(folder.parent / "alive.lock"), "--lock", str(self.lock)]
        for entry in surroundings.sys_path:
            argv += ["--sys-path", entry]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                env=env,
                cwd=surroundings.cwd,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=surroundings.umask,
                start_new_session=True,
            )
        theirs.close()
        self.channel = EngineChannel(loop, ours, self._hear, self._gone)

    def new_slot(self) -> Slot:
        """Have a supervisor forked."""
        ours, theirs = socket.socketpair()
        slot = Slot(self._next_slot, self, idle_since=time.monotonic())
        self._next_slot += 1
        self.slots[slot.number] = slot
        slot.channel = EngineChannel(
            self._loop,
            ours,
            lambda message: self._owner.slot_says(slot, message),
            lambda: self._slot_closed(slot),
        )
        self.channel.send_with_file(Fork(slot.number), theirs.fileno())
        theirs.close()
        return slot

    def retire(self) -> None:
        """No more orders: supervisors end, then the template."""
        self.retired = True
        for slot in self.slots.values():
            if slot.channel is not None:
                slot.channel.send(Close())
        self.channel.send(Close())

    def kill(self) -> None:
        """Close every stream: supervisors end all that is below them."""
        self.retired = True
        for slot in list(self.slots.values()):
            if slot.channel is not None:
                slot.channel.close()
        self.channel.close()
        if not self.ready:
            self.process.kill()  # it may be deep in somebody's module, and not listen

    def bury(self, deadline: float) -> None:
        """Wait until it and all below it are dead; from `deadline` on, see to it."""
        while not self.all_dead() and time.monotonic() < deadline:
            time.sleep(0.005)
        if time.monotonic() >= deadline:
            self.process.kill()
        self.process.wait()
        if not self.ready or time.monotonic() >= deadline:
            self._sweep()

    def _sweep(self) -> None:
        """Kill what it left behind: nobody below it was there to do so."""
        while processes.kill_marked(self._mark):
            time.sleep(0.005)

    def all_dead(self) -> bool:
        """Whether the template and everything it forked are known dead."""
        self.process.poll()
        return processes.nobody_holds(self.lock)

    def _slot_closed(self, slot: Slot) -> None:
        slot.dead = True  # SlotGone follows, when its processes are known dead
        if self.broken or self.process.poll() is not None:
            self._when_dead(lambda: self._drop(slot, "its worker's template died"))

    def _hear(self, message: Message) -> None:
        if isinstance(message, TemplateReady):
            if message.error:
                self._break("its code cannot be loaded", message.error)
            else:
                self.ready = True
                self._owner.template_ready(self)
        elif isinstance(message, SlotGone):
            slot = self.slots.get(message.slot)
            if slot is not None:
                self._drop(slot, message.why)

    def _drop(self, slot: Slot, why: str) -> None:
        if self.slots.pop(slot.number, None) is None:
            return
        slot.dead = True
        if slot.channel is not None:
            slot.channel.read_rest()  # an end that it told before it died counts
            slot.channel.close()
        self._owner.slot_lost(slot, why)

    def _gone(self) -> None:
        """The template died. Its supervisors are told by closing their streams."""
        try:
            status = self.process.wait(GONE_SECONDS)
        except subprocess.TimeoutExpired:  # somebody's module closed our end of the stream
            self.process.kill()
            status = self.process.wait()
        if self.retired:
            return
        self._sweep()
        self.crashed = status < 0 and not self.ready
        when = "" if self.ready else "while its code was loaded, "
        why = when + processes.words_for_code(status)
        self._break(why, self.log.read_text(errors="replace")[-4000:])
        self._when_dead(lambda: self._drop_all(why))

    def _drop_all(self, why: str) -> None:
        for slot in list(self.slots.values()):
            self._drop(slot, why)

    def _break(self, why: str, story: str) -> None:
        self.broken = why
        self._owner.template_broken(self, why, story)

    def _when_dead(self, call: Callable[[], object], *, tries: int = 500) -> None:
        if self.all_dead() or tries == 0:
            call()
        else:
            self._loop.call_later(0.02, lambda: self._when_dead(call, tries=tries - 1))
