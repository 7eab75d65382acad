"""One attempt: the task's arguments in, its code, its XComs out. Where user code is called.

`except Exception` and wider stand in this file alone: whatever user code does ends
as a plain `Ended`, never as an exception in a worker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from mlflowkit.core.spec import RETURN_VALUE
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import (
    TaskFailed,
    TaskRescheduled,
    TaskSkipped,
    UserError,
)
from mlflowkit.ports import (
    STORED,
    CellEvent,
    LaunchOrder,
    NotebookRunner,
    Services,
    as_running,
)
from mlflowkit.worker import masking
from mlflowkit.worker.cache_key import cache_key
from mlflowkit.worker.context import TaskInstance, build_context, check_key
from mlflowkit.worker.processes import leave_fork
from mlflowkit.worker.protocol import Ended
from mlflowkit.worker.pulls import Pulls, stored_value
from mlflowkit.worker.services import AskedServices
from mlflowkit.worker.sides import Code, Executable, Inputs, Link, Values
from mlflowkit.worker.telling import leave_fork_with, one_line, sendable, story

#: What a task instance is when a callback of this kind hears of it.
ENDS = {
    "success": "success",
    "failure": "failed",
    "retry": "up_for_retry",
    "skipped": "skipped",
}
#: What a callback of a run hears where nothing else is to be said: Airflow's words.
RUN_REASONS = {"success": "success", "failure": "task_failure"}

#: Bytes of small values of a failed attempt that are kept; large ones are artifacts.
MOST_LEFT_BEHIND = 1024 * 1024

__all__ = ["Attempt", "Code", "Executable", "Link", "Values"]


class Attempt:
    """A running attempt, and what its code may ask of us (`ports.RunningTask`)."""

    def __init__(
        self,
        order: LaunchOrder,
        code: Code,
        values: Values,
        link: Link,
        notebooks: NotebookRunner,
    ) -> None:
        self.order, self._code, self._values, self._link = order, code, values, link
        self.notebooks = notebooks
        self.services: Services = AskedServices(link)
        self._pulls = Pulls(order, code.spec, values, link)
        self._pushed: dict[str, StoredValue] = {}
        self._mine: dict[str, object] = {}
        self._chosen: tuple[str, ...] | None = None
        self._halts = ""
        self._assets: dict[str, dict[str, object]] = {}
        #: What the task's code raised, if it did.
        self.exception: BaseException | None = None
        self.params = {
            name: self._param(value)
            for name, value in json.loads(order.params_json).items()
        }
        self.ti = TaskInstance(order, code.spec, self.pull, self.push)
        self.context = build_context(
            order, code.spec, self.params, json.loads(order.facts_json), self.ti
        )

    @property
    def output_base(self) -> Path:
        """Where an executed notebook goes, without suffix."""
        return Path(self.order.output_base)

    def _param(self, value: Any) -> Any:
        if isinstance(value, dict) and STORED in value:
            return self._values.load(msgspec.convert(value[STORED], StoredValue))
        return value

    # ── asked by user code ──────────────────────────────────────────────────

    def push(self, key: str, value: object) -> None:
        check_key(self.order.attempt.task_id, key)
        masking.refuse_key(f"task {self.order.attempt.task_id!r}", key)
        expandable = key in self.order.expanded_keys
        where = f"task {self.order.attempt.task_id!r}, XCom {key!r}"
        self._pushed[key] = self._values.dump(value, expandable=expandable, where=where)
        self._mine[key] = value

    def _push_together(self, task: Executable, result: object) -> None:
        """Outputs that share objects are to share them still where a task takes several. What
        was pushed earlier stays as it was then."""
        if not getattr(task, "multiple_outputs", False) or not isinstance(result, Mapping):
            return
        given = cast("Mapping[str, object]", result).keys() - {*self.order.expanded_keys}
        apart = {k: v for k, v in self._pushed.items() if k in given}
        for key, value in self._values.together(apart, self._mine).items():
            where = f"task {self.order.attempt.task_id!r}, XCom {key!r}"
            self._pushed[key] = self._values.dump(value, expandable=False, where=where)

    def pull(self, task_id: str, key: str, map_index: int | None) -> Any:
        if task_id == self.order.attempt.task_id and key in self._mine:
            return self._mine[key]
        return self._pulls.pull(task_id, key, map_index)

    def ask(self, what: str, **arguments: Any) -> Any:
        """What the engine answers: plain data."""
        return self._link.ask(what, **arguments)

    def follow(self, task_ids: Sequence[str]) -> None:
        self._chosen = tuple(task_ids)

    def halt(self, *, direct_only: bool) -> None:
        self._halts = "direct" if direct_only else "all"

    def asset_event(self, uri: str, extra: Mapping[str, object]) -> None:
        self._assets.setdefault(uri, {}).update(extra)

    def progress(self, facts: Mapping[str, object]) -> None:
        self._link.note(json.dumps({"kind": "progress", **facts}, default=str).encode())

    def cell_event(self, event: CellEvent) -> None:
        line = {"kind": event.kind, "cell": event.cell, **event.facts}
        self._link.note(json.dumps(line, default=str).encode())

    def _inputs(self) -> Inputs:
        opened: dict[str, Any] = {}
        return Inputs(
            resolve=lambda task_id, key: self._pulls.pull(task_id, key, None, opened),
            params=self.params,
            axes=dict(self.order.axes),
            item=self._pulls.item,
            count=self._pulls.count,
            context=self.context,
        )

    # ── running ─────────────────────────────────────────────────────────────

    def run(self) -> Ended:
        """Call the task's code. Never raises, whatever the code does."""
        if self.order.service:
            return self._serve()
        attempt = self.order.attempt
        try:
            with as_running(self):
                task = self._code.prepare(attempt.task_id, self._inputs())
                kept, key = self._kept_result()
                if kept is not None:
                    return kept
                _around(task, "pre_execute", context=self.context)
                self._call_back("execute")
                result = self._execute(task)
                _around(task, "post_execute", context=self.context, result=result)
                if not getattr(task, "do_xcom_push", True):
                    result = None
                if result is not None or attempt.map_index >= 0:
                    # Of a mapped task None counts, too: item i is the value of instance i.
                    self.push(RETURN_VALUE, result)
                    self._push_together(task, result)
        except TaskSkipped as exc:
            why = sendable(str(exc)) or "it skipped itself"
            return Ended(attempt, "skipped", why=why, facts=self._told())
        except TaskRescheduled as exc:
            return Ended(attempt, "rescheduled", why=str(exc), when=exc.when)
        except BaseException as exc:  # noqa: BLE001 - user code may raise anything
            self.exception = exc
            return self._failed(exc)
        return Ended(
            attempt,
            "succeeded",
            values=list(self._pushed.items()),
            facts=self._told(),
            chosen=self._chosen,
            halts=self._halts,
            assets=self._updated(),
            # A branch is no value: what it chose is not kept.
            cache_key="" if self._chosen is not None or self._halts else key,
        )

    def _kept_result(self) -> tuple[Ended | None, str]:
        """What an earlier attempt gave for equal code and inputs, if that is kept and still
        counts; and what this one's result will be kept under."""
        if not self.order.cache_code:
            return None, ""
        key = cache_key(
            self.order, self._code.spec, self.context.whole_rendered(), self.ask
        )
        found = self.ask("cached", key=key)
        if found is None:
            return None, key
        values = [(k, stored_value(v)) for k, v in found["values"]]
        line = f"cached: the result of {found['run_id']} counts, for equal code and inputs"
        self.ti.log.info(line)
        kept = Ended(
            self.order.attempt,
            "succeeded",
            why=line,
            values=[(k, v) for k, v in values if v is not None],
            facts=self._told() | {"cached_by": found["run_id"]},
            assets=self._updated(),
        )
        return kept, ""

    def _updated(self) -> list[tuple[str, bytes]]:
        """The assets that its success updates, with what it said of them."""
        task = self._code.spec.tasks[self.order.attempt.task_id]
        uris = dict.fromkeys([*task.outlets, *self._assets])
        return [
            (uri, json.dumps(self._assets.get(uri, {}), default=str).encode())
            for uri in uris
        ]

    # ── code of a person outside of a task ──────────────────────────────────

    def _serve(self) -> Ended:
        """What is done instead of a task: a callback, or a timetable that is asked."""
        attempt = self.order.attempt
        try:
            with as_running(self):
                given = json.loads(self.order.service_json)
                if self.order.service == "timetable":
                    return Ended(attempt, "succeeded", answer=self._code.next_info(given))
                if attempt.task_id:
                    self._code.complete(attempt.task_id, self.context)
                if attempt.task_id:
                    self.ti.has_ended(ENDS[given["kind"]], given)
                if given.get("why"):
                    self.context["reason"] = given["why"]
                    self.context["exception"] = self._exception_of(given)
                elif not attempt.task_id:
                    self.context["reason"] = RUN_REASONS[given["kind"]]
                self._call_back(given["kind"])
        except BaseException as exc:  # noqa: BLE001 - user code may raise anything
            return self._failed(exc)
        return Ended(attempt, "succeeded")

    def _exception_of(self, given: Mapping[str, Any]) -> BaseException:
        """The task's own exception, if it could travel; else one with its text."""
        stored = given.get("exception")
        if stored is not None:
            try:
                found = self._values.load(msgspec.convert(stored, StoredValue))
            except Exception:  # noqa: BLE001 - it is loaded by code of a person
                found = None
            if isinstance(found, BaseException):
                return found
        kind = TaskSkipped if given["kind"] == "skipped" else TaskFailed
        return kind(given["why"])

    def _call_back(self, kind: str) -> None:
        """Call what was given for this; one that fails does not keep the others from being called.

        Its traceback goes to the log, as in Airflow: a callback decides nothing.
        """
        for call in self._code.callbacks(self.order.attempt.task_id, kind):
            try:
                call(self.context)
            except Exception:
                name = getattr(call, "__name__", repr(call))
                self.ti.log.exception("on_%s_callback %s failed", kind, name)

    def _told(self) -> dict[str, Any]:
        """What people may want to know of the attempt, beside its values."""
        found: dict[str, Any] = {}
        if self.context.rendered:
            found["rendered"] = self.context.rendered
        label = self._label()
        if label:
            found["map_index_label"] = label
        return found

    def _label(self) -> str:
        """What people see of a mapped instance instead of its index; empty if nothing."""
        task = self._code.spec.tasks.get(self.order.attempt.task_id)
        if task is None or not task.map_index_template or self.order.attempt.map_index < 0:
            return ""
        try:
            return self.context.text("map_index_template", task.map_index_template)
        except Exception:  # a label decides nothing; its mistake is in the log
            self.ti.log.exception("map_index_template cannot be rendered")
            return ""

    def _execute(self, task: Executable) -> object:
        """The task's code; a fork that it makes and that returns from it goes no further."""
        pid = os.getpid()
        try:
            result = task.execute(self.context)
        except BaseException as exc:
            if os.getpid() != pid:
                leave_fork_with(exc)
            raise
        if os.getpid() != pid:
            leave_fork(0)
        return result

    def _failed(self, exc: BaseException) -> Ended:
        why, retryable = one_line(exc), bool(getattr(exc, "retryable", True))
        if isinstance(exc, KeyboardInterrupt):
            why = "interrupted"
        elif isinstance(exc, SystemExit):
            why = f"it called sys.exit({exc.code!r})"
        elif isinstance(exc, UserError):
            why, retryable = f"{type(exc).__name__}: {exc}", False
        stored = self._exception_as_value(exc)
        facts = self._told() | self._left_behind()
        return Ended(
            self.order.attempt,
            "failed",
            why=sendable(why),
            error=sendable(story()),
            retryable=retryable,
            facts=facts | ({"exception": stored} if stored is not None else {}),
        )

    def _left_behind(self) -> dict[str, Any]:
        """What it pushed before it failed: for people; no task ever sees it."""
        kept: dict[str, StoredValue] = {}
        room = MOST_LEFT_BEHIND
        for key, value in self._pushed.items():
            room -= len(value.inline or b"")
            if room >= 0:
                kept[key] = value
        return {"pushed": kept} if kept else {}

    def _exception_as_value(self, exc: BaseException) -> StoredValue | None:
        """The exception itself, for the person who waits; None if it cannot travel, or if it
        would carry a secret there."""
        try:
            if masking.shows_secret(story(), exc.args, vars(exc)):
                return None
            return self._values.dump(exc, expandable=False, where="a task's exception")
        except Exception:  # noqa: BLE001 - an exception may hold anything; its text is kept
            return None


def _around(task: Executable, name: str, **given: Any) -> None:
    """The method of an operator that stands before or behind its `execute`, if it has one."""
    call = getattr(task, name, None)
    if call is not None:
        call(**given)
