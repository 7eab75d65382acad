"""TriggerDagRunOperator: starts a run of a DAG, and may wait for its end.

While it waits it holds no place: parent and child may share a pool of one. What it has
started is written down in the task instance's state folder before and after it asks, so
that being started again never starts a second run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypedDict, cast

from mlflowkit.authoring import waiting
from mlflowkit.authoring.operator import BaseOperator, seconds
from mlflowkit.core.states import RunState
from mlflowkit.errors import (
    BadOption,
    DagIsPaused,
    DagRunAlreadyExists,
    DagToTriggerMissing,
    TaskRescheduled,
    TaskSkipped,
    TriggeredRunFailed,
)
from mlflowkit.operators.questions import ask, run_states

XCOM_RUN_ID: Final = "trigger_run_id"
XCOM_DAG_ID: Final = "trigger_dag_id"
#: Under which name a task instance keeps what it has started.
NOTE_FILE: Final = "triggered.json"
_ENDED: Final = (RunState.SUCCESS, RunState.FAILED)
#: Stands for "the moment at which it is triggered".
NOW: Final = "now"


class _Note(TypedDict):
    """What one try has asked for, and what it got."""

    #: Which try, how often the task had been rescheduled then, and when it was written:
    #: a note of another try, or of before the task was cleared, means nothing.
    try_number: int
    reschedules: int
    at: str
    date: str | None
    run_id: str | None


class TriggerDagRunOperator(BaseOperator):
    """Starts a run of another DAG. Its id is the XCom `trigger_run_id`.

    Args:
        trigger_dag_id: The DAG (templated).
        conf: Its parameters (templated): what JSON can hold.
        trigger_run_id: Id of the new run (templated); a free one if None.
        logical_date: Of the new run (templated): a datetime or ISO text; the present
            moment if left, none if None.
        reset_dag_run: Run an existing run with that id or date again, instead of failing.
        wait_for_completion: End when that run ends.
        poke_interval: Between two looks at it: seconds or a timedelta.
        allowed_states: Run states that end the wait well; ["success"] if None.
        failed_states: Run states that fail this task; ["failed"] if None.
        skip_when_already_exists: Skipped when such a run exists.
        fail_when_dag_is_paused: Fail instead of starting a run that would only queue.
        deferrable: Without effect: it never holds a place while it waits.

    Raises:
        BadOption: a state that there is not, a date that is none, or a `conf` that is no JSON.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "trigger_dag_id",
        "trigger_run_id",
        "logical_date",
        "conf",
        "wait_for_completion",
        "skip_when_already_exists",
    )

    def __init__(  # noqa: PLR0913 - Airflow's arguments
        self,
        task_id: str,
        *,
        trigger_dag_id: str,
        conf: Mapping[str, object] | None = None,
        trigger_run_id: str | None = None,
        logical_date: str | datetime | None = NOW,
        reset_dag_run: bool = False,
        wait_for_completion: bool = False,
        poke_interval: timedelta | float = 60,
        allowed_states: Iterable[str] | None = None,
        failed_states: Iterable[str] | None = None,
        skip_when_already_exists: bool = False,
        fail_when_dag_is_paused: bool = False,
        deferrable: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        self.trigger_dag_id = trigger_dag_id
        self.conf = conf
        self.trigger_run_id = trigger_run_id
        self.logical_date: object = logical_date
        if isinstance(logical_date, str) and "{" not in logical_date:
            self._date()
        self.reset_dag_run = reset_dag_run
        self.wait_for_completion = wait_for_completion
        self.poke_interval = (
            seconds("poke_interval", poke_interval, where) or timedelta()
        ).total_seconds()
        self.allowed_states = _states(where, "allowed_states", allowed_states, "success")
        self.failed_states = _states(where, "failed_states", failed_states, "failed")
        self.skip_when_already_exists = skip_when_already_exists
        self.fail_when_dag_is_paused = fail_when_dag_is_paused

    def execute(self, context: Mapping[str, Any]) -> None:
        """Start the run, or go on waiting for the one that this try has started.

        Raises:
            DagRunAlreadyExists, DagToTriggerMissing, DagIsPaused: no run was started.
            TriggeredRunFailed: the run that it waited for did not end well.
            TaskRescheduled: the run is under way; look again later.
        """
        ti = context["ti"]
        place = Path(ti.state_dir) / NOTE_FILE
        mine = _read(place, ti)
        started = mine["run_id"] if mine is not None else None
        run_id = started or self._trigger(place, ti, mine)
        ti.xcom_push(XCOM_RUN_ID, run_id)
        ti.xcom_push(XCOM_DAG_ID, self.trigger_dag_id)
        if self.wait_for_completion and not (started and self._has_ended(run_id)):
            raise TaskRescheduled(waiting.now() + timedelta(seconds=self.poke_interval))

    # ── starting ──

    def _trigger(self, place: Path, ti: Any, mine: _Note | None) -> str:
        conf = self._checked_conf()
        run_id = None
        if mine is None:
            self._check_paused()
            date = self._date()
            self._check_exists(date)
            mine = _write(place, ti, date.isoformat() if date else None, None)
        else:  # this try has asked before, and has ended before it heard the answer
            run_id = self._already_started(mine)
        run_id = run_id or self._ask_for_run(mine["date"], conf)
        if run_id is None:
            place.unlink()
            raise DagToTriggerMissing(self.task_id, self.trigger_dag_id)
        _write(place, ti, mine["date"], run_id)
        return run_id

    def _ask_for_run(self, date: str | None, conf: Mapping[str, object]) -> str | None:
        answer = ask(
            str(self),
            "trigger_run",
            dag_id=self.trigger_dag_id,
            run_id=self.trigger_run_id or None,
            conf=conf,
            logical_date=date,
            reset=bool(self.reset_dag_run),
        )
        return None if answer is None else str(answer["run_id"])

    def _already_started(self, mine: _Note) -> str | None:
        if self.reset_dag_run:  # one that exists may be the old one, not yet reset
            return None
        date = datetime.fromisoformat(mine["date"]) if mine["date"] else None
        return self._existing(date) if self.trigger_run_id or date is not None else None

    def _existing(self, date: datetime | None) -> str | None:
        """The run that has the id, or else the date, that was asked for."""
        run_id = str(self.trigger_run_id) if self.trigger_run_id else None
        found = run_states(
            str(self),
            self.trigger_dag_id,
            run_id=run_id,
            logical_date=None if run_id else date,
        )
        return found["run_id"] if found is not None else None

    def _check_exists(self, date: datetime | None) -> None:
        given = self.trigger_run_id or self.logical_date not in (NOW, None)
        if not given or self.reset_dag_run:
            return
        found = self._existing(date)
        if found is None:
            return
        asked = f"trigger_run_id={str(self.trigger_run_id)!r}"
        if not self.trigger_run_id and date is not None:
            asked = f"logical_date={date.isoformat()!r}"
        error = DagRunAlreadyExists(self.task_id, self.trigger_dag_id, found, asked)
        if self.skip_when_already_exists:
            raise TaskSkipped(f"skipped by skip_when_already_exists: {error}") from error
        raise error

    def _check_paused(self) -> None:
        if not self.fail_when_dag_is_paused:
            return
        facts = ask(str(self), "dag_facts", dag_id=self.trigger_dag_id)
        if facts is None:
            raise DagToTriggerMissing(self.task_id, self.trigger_dag_id)
        if facts["paused"]:
            raise DagIsPaused(self.task_id, self.trigger_dag_id)

    def _checked_conf(self) -> Mapping[str, object]:
        conf: Mapping[str, object] = self.conf or {}
        try:
            json.dumps(conf)
        except (TypeError, ValueError) as exc:
            where = f"task {self.task_id!r}"
            raise BadOption(where, "conf", f"must be what JSON can hold: {exc}") from exc
        return conf

    def _date(self) -> datetime | None:
        found = waiting.now() if self.logical_date == NOW else self.logical_date
        if isinstance(found, str):
            try:
                found = datetime.fromisoformat(found.strip())
            except ValueError:
                pass
        if not isinstance(found, datetime | None):
            why = f"must be a datetime, text in ISO format or None, not {found!r}"
            raise BadOption(f"task {self.task_id!r}", "logical_date", why)
        if found is None:
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    # ── waiting ──

    def _has_ended(self, run_id: str) -> bool:
        state = ask(str(self), "run_state", run_id=run_id) or "no longer there"
        if state in self.failed_states or state == "no longer there":
            raise TriggeredRunFailed(self.task_id, run_id, state)
        if state in self.allowed_states:
            return True
        if state in _ENDED:  # in neither list, and it will not change by itself
            raise TriggeredRunFailed(self.task_id, run_id, state)
        return False


def _states(where: str, name: str, given: Iterable[str] | None, default: str) -> list[str]:
    found = [default] if given is None else [str(state) for state in given]
    known = [str(state) for state in RunState]
    for state in found:
        if state not in known:
            why = f"has {state!r}; the states of a run are {', '.join(known)}"
            raise BadOption(where, name, why)
    return found


def _read(place: Path, ti: Any) -> _Note | None:
    """The note of this try; None if there is none."""
    try:
        note = cast("_Note", json.loads(place.read_text()))
    except FileNotFoundError:
        return None
    if note["try_number"] != ti.try_number:
        return None
    written = datetime.fromisoformat(note["at"])
    # A task that was cleared begins anew: no reschedules, and a first start after the note.
    again = ti.poke_count > note["reschedules"] or ti.first_started_at <= written
    return note if again or note["run_id"] is None else None


def _write(place: Path, ti: Any, date: str | None, run_id: str | None) -> _Note:
    """In one step: whoever reads it later finds the old note or the new one."""
    note = _Note(
        try_number=ti.try_number,
        reschedules=ti.poke_count,
        at=waiting.now().isoformat(),
        date=date,
        run_id=run_id,
    )
    fresh = place.with_suffix(".new")
    fresh.write_text(json.dumps(note))
    os.replace(fresh, place)
    return note
