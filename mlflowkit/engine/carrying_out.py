"""Carrying out what a turn has decided and saved: launches, kills, calls of a person's code.

Twice is harmless: executors know an attempt by its id. Nothing is carried out that was not
saved before.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mlflowkit.core.decisions import Call, Kill
from mlflowkit.engine.failpoints import failpoint
from mlflowkit.engine.owned import OwnedRun, Slice
from mlflowkit.engine.service_attempts import (
    callback_arguments,
    callback_id,
)
from mlflowkit.engine.turn import Turns
from mlflowkit.store import outbox, xcoms
from mlflowkit.store import runs as stored
from mlflowkit.store.outbox import OutboxEntry

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess, LocalExecutorPort


class CarryingOut:
    """Hands the decisions of one engine to its executor."""

    def __init__(
        self,
        engine: EngineProcess,
        executor: LocalExecutorPort,
        turns: Turns,
        slice_: Slice,
    ) -> None:
        self._engine, self._executor = engine, executor
        self._turns, self._slice = turns, slice_

    def work(self, entries: list[OutboxEntry]) -> None:
        """What was decided and saved. Twice is harmless: executors know an attempt by its id."""
        if entries:
            failpoint("carry_out.before")
        for number, entry in enumerate(entries):
            if number:
                failpoint("carry_out.middle")
            decision = entry.decision
            owned = self._engine.owned_or_none(decision.attempt.run_id)
            if isinstance(decision, Kill):
                self._executor.kill(decision.attempt, decision.why)
            elif isinstance(decision, Call):
                self._call_back(entry, decision, owned)
                continue  # it is carried out when it has been called
            elif owned is not None:
                self._executor.launch(
                    owned.order(decision.attempt, self._fetch, self._slice)
                )
            self._turns.carried_out(entry)
        self._executor.flush()
        if entries:
            failpoint("launch.after")

    def _call_back(self, entry: OutboxEntry, call: Call, owned: OwnedRun | None) -> None:
        """Have code of a person called. It may outlive the run, and the engine."""
        with self._engine.database.reading() as tx:
            facts = xcoms.facts_of_attempt(tx, entry.run_key, call.attempt)
            if owned is None:
                found = stored.load_run(tx, call.attempt.run_id)
                owned = OwnedRun(found, self._engine.home) if found is not None else None
        if owned is None:
            self._turns.carried_out(entry)
            return
        order = owned.service_order(
            callback_id(call, entry.entry_id),
            "callback",
            callback_arguments(call, facts),
            facts.get("try_number", 1),
        )
        self._engine.service_attempts.start(order, partial(self._called, entry))

    def _called(self, entry: OutboxEntry, answer: bytes | None, why: str) -> None:
        """Forgotten at once: there may be no more turns, and it is not to be called again."""
        self._engine.later.do(("called", entry.entry_id), partial(self._forget, entry))

    def _forget(self, entry: OutboxEntry) -> None:
        with self._engine.database.writing() as tx:
            outbox.drop(tx, [entry.entry_id])

    def take_up_calls(self) -> None:
        """Callbacks that an earlier engine had still to make."""
        with self._engine.database.reading() as tx:
            entries = outbox.pending_calls(tx)
        self.work(entries)

    def _fetch(self, run_key: int, task_id: str, key: str, map_index: int) -> Any:
        with self._engine.database.reading() as tx:
            return xcoms.get_xcom(tx, run_key, task_id, key, map_index)
