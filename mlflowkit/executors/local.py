"""Attempts in processes of this machine: at most `parallelism` at once, each apart from the others.

    engine ── template (a bundle, open) ── supervisor (a slot) ── child (one task) ── its own processes

Orders wait here, and go to whichever slot is free, the runs in turn. For mapped tasks
whose attempts take a moment each, a slot is given some orders ahead, and gives them
back when another slot has nothing to do, or when they are no longer a matter of a moment.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from mlflowkit.core.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
)
from mlflowkit.core.spec import AttemptId
from mlflowkit.errors import MlflowkitError, UserError
from mlflowkit.executors.reports import report_of
from mlflowkit.executors.template_pool import TemplateKey, TemplatePool
from mlflowkit.executors.templates import Slot, TemplateProcess
from mlflowkit.executors.waiting import Waiting
from mlflowkit.ports import Engine, LaunchOrder, Loop, Report, Surroundings
from mlflowkit.worker.protocol import (
    Answer,
    Ask,
    Ended,
    Kill,
    Message,
    Recall,
    Returned,
    Started,
)

#: Orders that a slot holds ahead while the attempts of its mapped task are short.
AHEAD = 16
SHORT_SECONDS = 0.02
#: Orders that wait here while attempts are short: the engine's turns are then worth more.
BACKLOG = 64
REMEMBERED = 1000

TaskKey = tuple[str, str]


class LocalExecutor:
    """`ports.Executor` on this machine. Lives in the engine's thread, on its loop."""

    def __init__(
        self,
        loop: Loop,
        engine: Engine,
        folder: Path,
        engine_id: str,
        *,
        parallelism: int,
        grace_seconds: float,
    ) -> None:
        self._engine, self._parallelism, self._grace = engine, parallelism, grace_seconds
        self._templates = TemplatePool(loop, self, folder, engine_id)
        self._full: dict[TemplateKey, Surroundings] = {}
        self._queue = Waiting()
        self._keys: dict[AttemptId, TemplateKey] = {}
        self._slots: dict[AttemptId, Slot] = {}
        self._ended: OrderedDict[AttemptId, None] = OrderedDict()
        #: Those that a slot was told to end, and why.
        self._killed: dict[AttemptId, str] = {}
        self._began: dict[AttemptId, float] = {}
        #: Seconds that the attempts of a task take, smoothed.
        self._pace: dict[TaskKey, float] = {}
        #: Surroundings by identity: the object itself (kept alive), its key, and what of it
        #: goes with each order. All the rest is what the template was started with.
        self._known: dict[int, tuple[Surroundings, bytes, Surroundings]] = {}

    # ── port ────────────────────────────────────────────────────────────────

    def places(self) -> int:
        backlog = BACKLOG if self._all_short() else 0
        return self._parallelism + backlog - len(self._keys)

    def launch(self, order: LaunchOrder) -> None:
        attempt = order.attempt
        if attempt in self._keys or attempt in self._ended:
            return
        _, around, light = self._around(order.surroundings)
        self._keys[attempt] = (order.bundle, around)
        if len(self._full) > REMEMBERED:
            self._full = {k: v for k, v in self._full.items() if k in self._keys.values()}
        self._full[order.bundle, around] = order.surroundings
        self._queue.put(replace(order, surroundings=light))

    def _around(self, around: Surroundings) -> tuple[Surroundings, bytes, Surroundings]:
        known = self._known.get(id(around))
        if known is None:
            if len(self._known) > REMEMBERED:
                self._known.clear()
            light = replace(around, env={}, sys_path=(), distributions="")
            known = (around, msgspec.msgpack.encode(around), light)
            self._known[id(around)] = known
        return known

    def flush(self) -> None:
        """Hand out what `launch` has queued."""
        self._dispatch()

    def kill(self, attempt: AttemptId, why: str) -> None:
        slot = self._slots.get(attempt)
        if slot is not None and slot.channel is not None:
            self._killed[attempt] = why
            slot.channel.send(Kill(attempt, why, self._grace))
            return
        for order in self._queue:
            if order.attempt == attempt:
                self._queue.remove(order)
                self._over(attempt)
                self._engine.report(Report(event=AttemptFailed(attempt, why)))

    def close(self) -> None:
        self._templates.close()

    # ── dispatch ────────────────────────────────────────────────────────────

    def _all_short(self) -> bool:
        return bool(self._slots) and all(self._is_short(a) for a in self._slots)

    def _is_short(self, attempt: AttemptId) -> bool:
        """Whether the attempts of its task took a moment each, until now."""
        return self._pace.get((attempt.run_id, attempt.task_id), 1.0) < SHORT_SECONDS

    def _busy(self) -> Counter[str]:
        """How many places each run has."""
        return Counter(
            next(iter(s.orders)).run_id
            for t in self._templates
            for s in t.slots.values()
            if s.orders
        )

    def _dispatch(self) -> None:
        waiting = list[LaunchOrder]()
        busy = self._busy()
        while self._queue and busy.total() < self._parallelism:
            order = self._queue.take(busy)
            template = self._template(order)
            if template is None:
                continue  # it could not be started: the attempt has failed
            slot = self._free_slot(template, order)
            if slot is None:
                waiting.append(order)
                if template.broken:
                    continue
                break
            self._give(slot, order)
            busy[order.attempt.run_id] += 1
        self._queue.put_back(waiting)
        if self._queue:
            self._give_ahead()
            self._recall(lambda slot: not self._is_short(next(iter(slot.orders))))
        elif busy.total() < self._parallelism:
            self._recall(lambda _: True)

    def _give(self, slot: Slot, order: LaunchOrder) -> None:
        self._slots[order.attempt] = slot
        self._began[order.attempt] = time.monotonic()
        slot.template.used_at = time.monotonic()
        slot.give(order)

    def _template(self, order: LaunchOrder) -> TemplateProcess | None:
        key = self._keys[order.attempt]
        try:
            return self._templates.get(key, self._full[key], self._wanted)
        except OSError as exc:  # its interpreter or its working folder is gone
            self._over(order.attempt)
            failed = AttemptFailed(
                order.attempt, f"no process can be started: {exc}", False
            )
            self._engine.report(Report(event=failed))
            return None

    def _wanted(self) -> set[TemplateKey]:
        """The templates that orders wait for."""
        return {self._keys[order.attempt] for order in self._queue}

    def _free_slot(self, template: TemplateProcess, order: LaunchOrder) -> Slot | None:
        """The slot that has been idle longest, so that others can make ready for the next task."""
        if template.broken:
            return None
        idle = [s for s in template.slots.values() if not s.orders and not s.dead]
        same = (order.attempt.run_id, order.attempt.task_id)
        for slot in idle:
            if order.attempt.map_index >= 0 and slot.task == same:
                return slot
        if len(template.slots) < self._parallelism + 1:
            idle.append(template.new_slot())
        return min(idle, key=lambda s: s.idle_since, default=None)

    def _give_ahead(self) -> None:
        """Slots whose mapped task is quick get the next of its orders before they ask."""
        for slot in self._busy_slots():
            first = next(iter(slot.orders))
            if first.map_index < 0 or not self._is_short(first):
                continue
            if len(slot.orders) > AHEAD // 2:
                continue  # several at a time: each message wakes a process
            while len(slot.orders) < AHEAD:
                order = self._queue.take_next_of(first.run_id, first.task_id)
                if order is None:
                    break
                self._give(slot, order)

    def _recall(self, whose: Callable[[Slot], bool]) -> None:
        """Others could have a place now: orders that these slots hold ahead come back."""
        for slot in self._busy_slots():
            ahead = len(slot.orders) > 1 and not slot.recalled
            if ahead and slot.channel is not None and whose(slot):
                slot.recalled = True
                slot.channel.send(Recall())

    def _busy_slots(self) -> Iterator[Slot]:
        for template in self._templates:
            yield from (s for s in template.slots.values() if s.orders and not s.dead)

    # ── what slots say ──────────────────────────────────────────────────────

    def slot_says(self, slot: Slot, message: Message) -> None:
        if isinstance(message, Ended):
            self._slot_ended(slot, message)
        elif isinstance(message, Started):
            slot.started.add(message.attempt)
            self._began[message.attempt] = time.monotonic()
            self._engine.report(
                Report(event=AttemptStarted(message.attempt), facts={"pid": message.pid})
            )
        elif isinstance(message, Ask):
            self._answer(slot, message)
        elif isinstance(message, Returned):
            self._take_back(slot, message.attempts)

    def _slot_ended(self, slot: Slot, ended: Ended) -> None:
        attempt = ended.attempt
        task = (attempt.run_id, attempt.task_id)
        took = time.monotonic() - self._began.pop(attempt, time.monotonic())
        before = self._pace.get(task)
        self._pace[task] = took if before is None else 0.8 * before + 0.2 * took
        if len(self._pace) > REMEMBERED:
            del self._pace[next(iter(self._pace))]
        order = slot.orders.pop(attempt, None)
        slot.started.discard(attempt)
        slot.recalled = False
        slot.idle_since = time.monotonic()
        self._over(attempt)
        self._engine.report(report_of(ended, order))
        self._dispatch()

    def _take_back(self, slot: Slot, attempts: list[AttemptId]) -> None:
        slot.recalled = False
        back = [
            slot.orders.pop(tuple_id(a)) for a in attempts if tuple_id(a) in slot.orders
        ]
        for order in reversed(back):
            self._put_back(order)
        self._dispatch()

    def _put_back(self, order: LaunchOrder) -> None:
        """It has not started where it was: somewhere else it may, unless it was killed meanwhile."""
        attempt = order.attempt
        self._slots.pop(attempt, None)
        if attempt in self._killed:
            why = self._killed[attempt]
            self._over(attempt)
            self._engine.report(Report(event=AttemptFailed(attempt, why)))
        else:
            self._queue.put_back([order])

    def _answer(self, slot: Slot, ask: Ask) -> None:
        assert slot.channel is not None
        try:
            found = self._engine.ask(ask.attempt, ask.what, ask.arguments)
        except MlflowkitError as exc:
            code = exc.code if isinstance(exc, UserError) else ""
            slot.channel.send(Answer(b"", error=str(exc), user_code=code))
            return
        slot.channel.send(Answer(msgspec.msgpack.encode(found)))

    def slot_lost(self, slot: Slot, why: str) -> None:
        """A supervisor is dead, with all below it: what it ran is lost, what waited starts anew."""
        for number, (attempt, order) in enumerate(list(slot.orders.items())):
            if number == 0 or attempt in slot.started:
                self._over(attempt)
                lost = AttemptLost(attempt, f"its supervisor is gone: {why}")
                self._engine.report(Report(event=lost))
            else:
                self._put_back(order)
        slot.orders.clear()
        self._dispatch()

    def template_ready(self, template: TemplateProcess) -> None:
        self._dispatch()

    def template_broken(self, template: TemplateProcess, why: str, story: str) -> None:
        """The code cannot be loaded: whatever waits for it fails, and says why."""
        key = self._templates.give_up(template)
        if key is None:
            return
        loaded = template.ready
        orders = [o for o in self._queue if self._keys[o.attempt] == key]
        if loaded:
            return  # it died later, of something else: a new one is started
        held = [o for s in template.slots.values() for o in s.orders.values()]
        for slot in template.slots.values():
            slot.orders.clear()
        for order in orders:
            self._queue.remove(order)
        for order in [*orders, *held]:
            self._over(order.attempt)
            event: AttemptEvent = AttemptFailed(order.attempt, why, retryable=False)
            if (
                template.crashed
            ):  # of its own code, or killed from outside: a few times more
                event = AttemptLost(order.attempt, why)
            self._engine.report(Report(event=event, error=story))
        template.kill()

    def _over(self, attempt: AttemptId) -> None:
        self._keys.pop(attempt, None)
        self._slots.pop(attempt, None)
        self._began.pop(attempt, None)
        self._killed.pop(attempt, None)
        self._ended[attempt] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)


def tuple_id(attempt: Any) -> AttemptId:
    return AttemptId(*attempt)
