"""One attempt: the task's arguments in, its code, its XComs out. Where user code is called.

`except Exception` and wider stand in this file alone: whatever user code does ends
as a plain `Ended`, never as an exception in a worker.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec

import mlflowkit
from mlflowkit.core.spec import RETURN_VALUE, DagSpec
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import (
    TaskFailed,
    TaskRescheduled,
    TaskSkipped,
    UnknownXCom,
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
from mlflowkit.worker.context import (
    MappedValues,
    TaskInstance,
    build_context,
    check_key,
)
from mlflowkit.worker.processes import leave_fork
from mlflowkit.worker.protocol import Ended
from mlflowkit.worker.run_context import Context

#: Characters of an error that are kept.
LONGEST_TEXT = 200_000
OUR_FOLDER = str(Path(mlflowkit.__file__).parent)


class Executable(Protocol):
    """A task whose arguments are all there."""

    def execute(self, context: dict[str, Any]) -> object: ...


class Code(Protocol):
    """An open bundle."""

    @property
    def spec(self) -> DagSpec: ...
    def prepare(
        self,
        task_id: str,
        resolve: Callable[[str, str], object],
        params: Mapping[str, Any],
        axes: Mapping[str, int],
        item: Callable[[str, str, int], object],
        count: Callable[[str, str], int],
        context: Context,
    ) -> Executable:
        """The task, with XComs, parameters and its mapped arguments put in place, and its
        templates rendered."""
        ...

    def callbacks(self, task_id: str, kind: str) -> Sequence[Callable[[Any], object]]:
        """What is to be called when a task, or the run (no task id), has ended so."""
        ...

    def complete(self, task_id: str, context: Context) -> None:
        """Put into a context what belongs to the task."""
        ...

    def next_info(self, given: Mapping[str, Any]) -> bytes:
        """What the DAG's own timetable says comes next, as JSON."""
        ...


class Values(Protocol):
    """Typed values in and out of their stored form."""

    def dump(self, value: object, *, expandable: bool, where: str) -> StoredValue: ...
    def load(self, stored: StoredValue) -> Any: ...
    def load_item(self, stored: StoredValue, index: int) -> Any: ...


class Link(Protocol):
    """The way to the engine, while an attempt runs."""

    def ask(self, what: str, **arguments: Any) -> Any: ...
    def note(self, line: bytes) -> None: ...


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
        self.services: Services = _Services(link)
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
        expandable = key in self.order.expanded_keys
        where = f"task {self.order.attempt.task_id!r}, XCom {key!r}"
        self._pushed[key] = self._values.dump(value, expandable=expandable, where=where)
        self._mine[key] = value

    def pull(self, task_id: str, key: str, map_index: int | None) -> Any:
        if task_id == self.order.attempt.task_id and key in self._mine:
            return self._mine[key]
        if self._is_beside(task_id) and map_index is None:
            map_index = self.order.attempt.map_index
        task = self._code.spec.tasks[task_id]  # type: ignore[index]  # a plain str is one
        if task.expansion is not None and map_index is None:
            return self._mapped(task_id, key)
        stored = self._fetch(task_id, key, -1 if map_index is None else map_index)
        return self._values.load(stored) if stored is not None else None

    def _is_beside(self, task_id: str) -> bool:
        """Whether instance i of that task is for instance i of this one."""
        tasks = self._code.spec.tasks
        mine = tasks[self.order.attempt.task_id].mapped_group
        return bool(mine) and tasks[task_id].mapped_group == mine  # type: ignore[index]

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

    # ── values of other tasks ───────────────────────────────────────────────

    def _fetch(self, task_id: str, key: str, map_index: int) -> StoredValue | None:
        ahead = f"{task_id}\0{key}"
        if map_index < 0 and ahead in self.order.inputs:
            return self.order.inputs[ahead]
        found = self._link.ask("xcom", task_id=task_id, key=key, map_index=map_index)
        if found["value"] is None and found["succeeded"]:
            raise UnknownXCom(self.order.attempt.task_id, task_id, key, found["keys"])
        return _stored(found["value"])

    def _mapped(self, task_id: str, key: str) -> MappedValues:
        length = self._link.ask("xcom_count", task_id=task_id, key=key)

        def page(offset: int, limit: int) -> list[tuple[int, StoredValue]]:
            found = self._link.ask(
                "xcom_page", task_id=task_id, key=key, offset=offset, limit=limit
            )
            return [(index, StoredValue(**value)) for index, value in found]

        return MappedValues(length, page, self._values.load)

    def _item(self, task_id: str, key: str, index: int) -> Any:
        """Item `index` of what a mapped task expands over."""
        task = self._code.spec.tasks[task_id]  # type: ignore[index]  # a plain str is one
        if task.expansion is not None:
            return self._mapped(task_id, key)[index]
        sliced = self.order.inputs.get(f"{task_id}\0{key}\0{index}")
        if sliced is not None:
            return self._values.load(sliced)
        stored = self._fetch(task_id, key, -1)
        if stored is None:
            raise UnknownXCom(self.order.attempt.task_id, task_id, key, [])
        return self._values.load_item(stored, index)

    def _count(self, task_id: str, key: str) -> int:
        """How many items there are in what a mapped task expands over."""
        task = self._code.spec.tasks[task_id]  # type: ignore[index]  # a plain str is one
        if task.expansion is not None:
            return len(self._mapped(task_id, key))
        stored = self._fetch(task_id, key, -1)
        if stored is None:
            raise UnknownXCom(self.order.attempt.task_id, task_id, key, [])
        return (
            stored.length if stored.length is not None else len(self._values.load(stored))
        )

    # ── running ─────────────────────────────────────────────────────────────

    def run(self) -> Ended:
        """Call the task's code. Never raises, whatever the code does."""
        if self.order.service:
            return self._serve()
        attempt = self.order.attempt
        try:
            with as_running(self):
                task = self._code.prepare(
                    attempt.task_id,
                    lambda task_id, key: self.pull(task_id, key, None),
                    self.params,
                    dict(self.order.axes),
                    self._item,
                    self._count,
                    self.context,
                )
                kept, key = self._kept_result()
                if kept is not None:
                    return kept
                self._call_back("execute")
                result = self._execute(task)
                if not getattr(task, "do_xcom_push", True):
                    result = None
                if result is not None or attempt.map_index >= 0:
                    # Of a mapped task None counts, too: item i is the value of instance i.
                    self.push(RETURN_VALUE, result)
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
        values = [(k, _stored(v)) for k, v in found["values"]]
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
                if given.get("why"):
                    self.context["reason"] = given["why"]
                    self.context["exception"] = self._exception_of(given)
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
        return TaskFailed(given["why"])

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
                _leave_fork(exc)
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
        return Ended(
            self.order.attempt,
            "failed",
            why=sendable(why),
            error=sendable(story()),
            retryable=retryable,
            facts=self._told() | ({"exception": stored} if stored is not None else {}),
        )

    def _exception_as_value(self, exc: BaseException) -> StoredValue | None:
        """The exception itself, for the person who waits; None if it cannot travel, or if it
        would carry a secret there."""
        try:
            if masking.shows_secret(story(), exc.args, vars(exc)):
                return None
            return self._values.dump(exc, expandable=False, where="a task's exception")
        except Exception:  # noqa: BLE001 - an exception may hold anything; its text is kept
            return None


def _leave_fork(exc: BaseException) -> NoReturn:
    code = exc.code if isinstance(exc, SystemExit) else 1
    if not isinstance(exc, SystemExit):
        sys.stderr.write(story() + "\n")
    elif isinstance(code, str):
        sys.stderr.write(code + "\n")
    leave_fork(code & 0xFF if isinstance(code, int) else int(code is not None))


class _Services:
    """Long-lived processes, started by the engine so that they outlive the attempt."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def start(
        self, name: str, argv: list[str], *, env: Mapping[str, str], log: Path
    ) -> int:
        pid: int = self._link.ask(
            "service_start", name=name, argv=argv, env=dict(env), log=str(log)
        )
        return pid

    def stop(self, name: str) -> None:
        self._link.ask("service_stop", name=name)


def _stored(found: Mapping[str, Any] | None) -> StoredValue | None:
    if found is None:
        return None
    keys = found.get("keys")
    return StoredValue(**{**found, "keys": tuple(keys) if keys is not None else None})


def sendable(text: str) -> str:
    """A text that any file and frame can take: no half characters, and not without end."""
    text = text.encode(errors="backslashreplace").decode()
    left_out = len(text) - LONGEST_TEXT
    if left_out <= 0:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[{left_out:,} characters left out]\n{text[-half:]}"


def one_line(exc: BaseException) -> str:
    """`ValueError: no such file`, shortened, for the task instance's reason."""
    try:
        lines = str(exc).strip().splitlines()
    except Exception:  # noqa: BLE001 - its text is made by user code
        lines = ["(its text cannot be shown)"]
    text = f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def story() -> str:
    """The current exception as a traceback of the person's own frames."""
    exc = sys.exception()
    assert exc is not None
    if isinstance(exc, UserError) or hasattr(exc, "story"):
        return str(getattr(exc, "story", "") or exc)
    told = traceback.TracebackException.from_exception(exc)
    todo, seen = [told], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        theirs = [f for f in one.stack if not f.filename.startswith(OUR_FOLDER)]
        if theirs:
            one.stack = traceback.StackSummary.from_list(theirs)
        todo += [
            linked for linked in (one.__cause__, one.__context__) if linked is not None
        ]
    return "".join(told.format())
