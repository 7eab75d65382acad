"""Carrying out what was asked: in the engine that is alive, or by being the engine.

The engine works in this process's main thread; the screen reads from another one.
Ctrl-C asks the runs to stop, and a second one leaves at once: whatever runs is ended
by its supervisors, and `mlflowkit runs resume` goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflowkit.app import foreground_engine
from mlflowkit.cli.jobs import Job
from mlflowkit.cli.screen import Screen
from mlflowkit.cli.stopping import Stop, stoppable
from mlflowkit.cli.words import clock
from mlflowkit.core.spec import RunId
from mlflowkit.core.states import RunState
from mlflowkit.engine.client import EngineClient
from mlflowkit.engine.process import EngineProcess
from mlflowkit.errors import EngineGone, HomeBusy, MlflowkitError, RunInterrupted
from mlflowkit.handles.run import RunHandle

if TYPE_CHECKING:
    from rich.console import Console

ENGINE_APPEARS_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1


@dataclass
class Outcome:
    """What came of it."""

    run_ids: list[str]
    #: The signal that a person stopped it with; 0 if none did.
    stopped_by: int = 0
    #: Runs that were left because they only wait for a retry, and when that is due.
    left: dict[str, datetime] = field(default_factory=dict[str, datetime])
    #: They still wait, in an engine of their own.
    still_waiting: bool = False


def carry_out(job: Job, home: Path, console: Console, *, logs: bool = False) -> Outcome:
    """Have a job done, and watch its runs until they have ended.

    Raises:
        HomeBusy: an engine works in the home, and does not answer.
        RunInterrupted: the engine that was asked died.
    """
    deadline = time.monotonic() + ENGINE_APPEARS_SECONDS
    while True:
        client = EngineClient(home)
        if client.connect():
            try:
                return _there(job, client, console, logs)
            finally:
                client.close()
        try:
            with foreground_engine(home) as engine:
                return _here(job, engine, console, logs)
        except HomeBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)


# ── being the engine ────────────────────────────────────────────────────────


def _here(job: Job, engine: EngineProcess, console: Console, logs: bool) -> Outcome:
    outcome = Outcome(job.begin(engine))
    left = set(outcome.run_ids)
    for run_id in outcome.run_ids:
        engine.watch(RunId(run_id), _leaver(left, run_id))
    with Screen(outcome.run_ids, engine.home, console, logs=logs) as screen:
        stop = Stop(engine.loop.wake, screen.restore)
        with stoppable(stop):
            watch = _Foreground(engine, screen, stop, outcome, left)
            engine.serve(watch.over)
    return outcome


def _leaver(left: set[str], run_id: str) -> Callable[[RunState], None]:
    return lambda _state: left.discard(run_id)


class _Foreground:
    """What the engine is asked between its turns, while a person waits."""

    def __init__(
        self,
        engine: EngineProcess,
        screen: Screen,
        stop: Stop,
        outcome: Outcome,
        left: set[str],
    ) -> None:
        self._engine, self._screen, self._stop = engine, screen, stop
        self._outcome, self._left = outcome, left
        self._others_named = False

    def over(self) -> bool:
        """Whether there is nothing left to do."""
        if self._stop.asked and not self._outcome.stopped_by:
            self._outcome.stopped_by = self._stop.asked
            self._cancel_all()
        if not self._left:
            return self._nobody_else() or bool(self._stop.asked)
        self._give_up_waiting()
        return False

    def _cancel_all(self) -> None:
        if self._left:
            self._screen.say("stopping … (once more leaves at once)")
        for run_id in self._left:
            self._engine.cancel(RunId(run_id))

    def _nobody_else(self) -> bool:
        """Runs that others handed to this engine are finished, too."""
        if self._engine.busy and not self._others_named:
            self._others_named = True
            self._screen.say(
                "done; this process still works on runs that others gave it (Ctrl-C leaves)"
            )
        return not self._engine.busy

    def _give_up_waiting(self) -> None:
        """A run in the foreground does not sleep an hour."""
        for run_id in self._left - self._outcome.left.keys():
            due = self._screen.retry_due(run_id)
            if due is not None:
                self._outcome.left[run_id] = due
                self._engine.cancel(RunId(run_id))


# ── asking another engine ───────────────────────────────────────────────────


def _there(job: Job, client: EngineClient, console: Console, logs: bool) -> Outcome:
    outcome = Outcome(job.send(client), still_waiting=True)
    watchers = [_Watcher(client.home, run_id) for run_id in outcome.run_ids]
    asked = threading.Event()
    with Screen(outcome.run_ids, client.home, console, logs=logs) as screen:
        stop = Stop(asked.set, screen.restore)
        with stoppable(stop):
            for watcher in watchers:
                watcher.start()
            while any(w.is_alive() for w in watchers):
                if stop.asked and not outcome.stopped_by:
                    outcome.stopped_by = stop.asked
                    _cancel_there(outcome.run_ids, client, screen)
                if _all_wait(watchers, screen, outcome):
                    return outcome
                asked.wait(LOOK_SECONDS)
    for watcher in watchers:
        if watcher.gone:
            raise RunInterrupted(watcher.run_id)
    return outcome


class _Watcher(threading.Thread):
    """Ends when its run has, or when the engine is gone before."""

    def __init__(self, home: Path, run_id: str) -> None:
        super().__init__(name=f"watch {run_id}", daemon=True)
        self._home, self.run_id, self.gone = home, run_id, False

    def run(self) -> None:
        client = EngineClient(self._home)
        try:
            client.call("watch", run_id=self.run_id)
        except EngineGone:  # one in the foreground goes as soon as its run has ended
            self.gone = not RunHandle(self.run_id, self._home).view().ended
        finally:
            client.close()


def _cancel_there(run_ids: list[str], client: EngineClient, screen: Screen) -> None:
    screen.say("stopping … (once more leaves at once; the engine goes on stopping them)")
    for run_id in run_ids:
        try:
            client.call("cancel", run_id=run_id)
        except MlflowkitError as exc:
            screen.say(str(exc))


def _all_wait(watchers: list[_Watcher], screen: Screen, outcome: Outcome) -> bool:
    """Whether all that have not ended wait for a retry that is far off."""
    waiting = {w.run_id: screen.retry_due(w.run_id) for w in watchers if w.is_alive()}
    due = {run_id: when for run_id, when in waiting.items() if when is not None}
    if not waiting or len(due) < len(waiting) or outcome.stopped_by:
        return False
    outcome.left.update(due)
    return True


def waiting_line(run_id: str, due: datetime, outcome: Outcome) -> str:
    """What is said of a run that was left because it only waits for a retry."""
    if outcome.still_waiting:
        return (
            f"retry at {clock(due)}, by the engine that works in this home; "
            f"`mlflowkit runs retry {run_id}` to do it now."
        )
    return (
        f"the retry would be due at {clock(due)}, and a run in the foreground does not wait "
        f"so long: it was stopped here. `mlflowkit runs retry {run_id}` to do it now."
    )
