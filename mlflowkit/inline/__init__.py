"""`dag.test()`: a run in this process, with the same brain and no store. Breakpoints work."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflowkit import home_store
from mlflowkit.authoring import waiting
from mlflowkit.authoring.companions import companions
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.params import validate_params
from mlflowkit.core.decisions import Call, Launch
from mlflowkit.core.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    PlacesOffered,
    RunOpened,
    TimePassed,
)
from mlflowkit.core.machine import Run, RunRow, handle
from mlflowkit.core.run_facts import run_as_asked
from mlflowkit.core.spec import UNMAPPED, AttemptId, DagSpec, RunId
from mlflowkit.core.states import RunState, TaskState
from mlflowkit.core.values import StoredValue
from mlflowkit.engine.owned import OwnedRun
from mlflowkit.engine.services import ServiceProcesses
from mlflowkit.errors import InternalError, RunFailed
from mlflowkit.executors.reports import report_of
from mlflowkit.handles.request import moments, params_as_json
from mlflowkit.inline.code import DagCode
from mlflowkit.inline.options import files_standing_in, logical_date, marked_successful
from mlflowkit.inline.timeout import Limit
from mlflowkit.inline.values import MemoryValues, MemoryXComs
from mlflowkit.ports import LaunchOrder, Report
from mlflowkit.store.runs import StoredRun
from mlflowkit.store.vault import ANSWERS as SECRET_QUESTIONS
from mlflowkit.surroundings import surroundings
from mlflowkit.worker.attempt import Attempt

#: Questions about earlier runs and assets: there are none here.
NOTHING_KNOWN: Mapping[str, object] = {
    "dag_facts": None,
    "previous_success": None,
    "asset_events": [],
    "asset_events_of_run": [],
    "cached": None,
}


class TestRun:
    """The outcome of `dag.test()`."""

    __test__ = False  # not a test class, whatever pytest may think of its name

    def __init__(
        self,
        dag: DAG,
        spec: DagSpec,
        params: Mapping[str, object],
        home: Path,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._marked = marked_successful(options or {})
        self.run_id = f"{spec.dag_id}/test"
        self._run = Run(spec, RunRow(run_id=RunId(self.run_id)))
        self._code, self._values = DagCode(dag, spec), MemoryValues()
        self._services = ServiceProcesses()
        self._xcoms = MemoryXComs()
        logical, interval = moments(dag, logical_date(dag, options or {}) or waiting.now())
        facts = {
            "run_type": "test",
            "logical_date": logical,
            "data_interval_start": interval[0],
            "data_interval_end": interval[1],
            "run_id": self.run_id,
        }
        found = StoredRun(
            0,
            self._run,
            "",
            surroundings(),
            params_as_json(
                params, lambda v, where: self._values.dump(v, expandable=False, where=where)
            ),
            facts,
            0,
        )
        self._owned, self._home = OwnedRun(found, home), home
        self.exception: BaseException | None = None
        self.failures: dict[AttemptId, BaseException | None] = {}
        self._todo: deque[Launch | Call] = deque()
        self._beside = companions(dag)
        #: Runs that its tasks have started: each to its end, before the task goes on.
        self.started: dict[str, TestRun] = {}
        self._others: Mapping[str, Callable[..., Any]] = {
            "trigger_run": self._trigger_run,
            "run_state": self._run_state,
            "run_states": self._run_states,
            "run_instances": lambda: run_as_asked(self._run),
        }

    @property
    def state(self) -> str:
        return str(self._run.row.state)

    def states(self) -> dict[str, str]:
        """State by task; mapped ones as `fit[0]`."""
        return {
            node_id + (f"[{i.map_index}]" if i.map_index != UNMAPPED else ""): str(i.state)
            for node_id, node in self._run.nodes.items()
            for i in node.instances.values()
        }

    def result(self, task_id: str, key: str = "return_value") -> Any:
        """A task's value; of a mapped task, a list of them."""
        mapped = self._run.nodes[task_id].mapped  # type: ignore[index]
        values = [self._values.load(v) for _, v in self._xcoms.of_task(task_id, key)]
        return values if mapped else (values[0] if values else None)

    def go(self) -> TestRun:
        """Run to the end, one attempt after the other.

        Raises:
            RunFailed: a task failed; its own exception is the cause.
        """
        self._tell(RunOpened())
        while not self._run.ended:
            self._tell(PlacesOffered(1))
            if self._todo:
                self._do(self._todo.popleft())
            elif self._run.alarms:
                self._wait_for_alarm()
            else:
                raise InternalError(f"the test run stands still: {self.states()}")
        while self._todo:
            self._do(self._todo.popleft())
        if self._run.row.state is not RunState.SUCCESS:
            failed = next((t for t, s in self.states().items() if s == "failed"), "")
            why = self._why_failed()
            states = self.states()
            raise RunFailed(self.run_id, failed, why, states) from self.exception
        return self

    def _why_failed(self) -> str:
        """What its code raised; else why the machine closed a task."""
        if self.exception is not None:
            return f"{type(self.exception).__name__}: {self.exception}"
        ends = (i for node in self._run.nodes.values() for i in node.instances.values())
        return next((i.reason for i in ends if i.state is TaskState.FAILED), "")

    def _tell(self, event: Event) -> None:
        outcome = handle(self._run, event, waiting.now())
        self._todo += [d for d in outcome.decisions if isinstance(d, Launch | Call)]

    def _wait_for_alarm(self) -> None:
        """A sensor gave its place back, or the run has a time limit: nothing else is to do."""
        when = min(alarm[0] for alarm in self._run.alarms)
        waiting.wait(max((when - waiting.now()).total_seconds(), 0.0))
        self._tell(TimePassed())

    def _do(self, decision: Launch | Call) -> None:
        if isinstance(decision, Launch):
            self._attempt(decision.attempt)
        else:
            self._call_back(decision)

    def _attempt(self, attempt: AttemptId) -> None:
        order: LaunchOrder = self._owned.order(attempt, self._fetch, lambda _v, _i: None)
        self._tell(AttemptStarted(attempt))
        if self._marked(attempt.task_id):
            self._tell(AttemptSucceeded(attempt))
            return
        running = Attempt(order, self._code, self._values, self, _notebooks())
        limit = Limit(
            attempt.task_id, self._run.spec.tasks[attempt.task_id].execution_timeout
        )
        out_of_time = AttemptFailed(attempt, f"timed out after {limit.longest}")
        report = Report(event=out_of_time)
        with limit.enforced():
            report = report_of(running.run(), order)
        event, raised, late = report.event, running.exception, limit.over()
        if late is not None:
            event, raised = out_of_time, late
        self.failures[attempt] = raised
        if raised is not None:
            self.exception = raised
            if isinstance(raised, KeyboardInterrupt):
                raise raised
        if isinstance(event, AttemptFailed):  # a person watches: nothing is tried again
            event = replace(event, retryable=False)
        if isinstance(event, AttemptSucceeded):
            for key, value in report.values:
                self._xcoms[attempt.task_id, attempt.map_index, key] = value
        self._tell(event)

    def _call_back(self, call: Call) -> None:
        attempt = call.attempt._replace(number=-1)
        arguments: dict[str, object] = {"kind": call.kind, "why": call.why}
        if attempt.task_id:
            instance = self._run.nodes[attempt.task_id].instances[attempt.map_index]
            arguments["started_at"] = instance.started_at
            arguments["ended_at"] = instance.ended_at
        order = self._owned.service_order(attempt, "callback", arguments)
        Attempt(order, self._code, self._values, self, _notebooks()).run()

    def _fetch(
        self, _run: int, task_id: str, key: str, map_index: int
    ) -> StoredValue | None:
        return self._xcoms.get((task_id, map_index, key))

    # ── runs that its tasks start ───────────────────────────────────────────

    def _trigger_run(self, dag_id: str, conf: Mapping[str, Any], **_: Any) -> Any:
        dag = self._beside.get(dag_id)
        if dag is None:
            return None
        spec = dag.spec()
        run = TestRun(dag, spec, validate_params(spec, conf), self._home)
        run.run_id = f"{dag_id}/test-{len(self.started) + 1}"
        self.started[run.run_id] = run
        _failing_is_fine(run)
        return {"run_id": run.run_id}

    def _run_state(self, run_id: str) -> str | None:
        found = self.started.get(run_id)
        return found.state if found is not None else None

    def _run_states(self, dag_id: str, run_id: str | None = None, **_: Any) -> Any:
        """By id only: a test has no other dates than now."""
        found = self.started.get(run_id or "")
        if found is None:
            return None
        return {"run_id": run_id, "state": found.state, "tasks": found.states()}

    # ── worker.attempt.Link ─────────────────────────────────────────────────

    def note(self, line: bytes) -> None:
        """Progress and cell events have no journal here."""

    def ask(self, what: str, **arguments: Any) -> Any:
        if what == "service_start":
            place = Path(arguments["log"])
            return self._services.start(
                arguments["name"], arguments["argv"], arguments["env"], place
            )
        if what == "service_stop":
            return self._services.stop(arguments["name"])
        if what in SECRET_QUESTIONS:
            return home_store.answer(what, **arguments)
        if what in self._others:
            return self._others[what](**arguments)
        if what in NOTHING_KNOWN:
            return NOTHING_KNOWN[what]
        return self._xcoms.answer(what, arguments, succeeded=self._has_succeeded)

    def _has_succeeded(self, task_id: str, map_index: int) -> bool:
        there = self._run.nodes[task_id].instances.get(map_index)  # type: ignore[index]
        return there is not None and there.state is TaskState.SUCCESS


def _failing_is_fine(run: TestRun) -> None:
    """Whoever started it asks for its state."""
    with suppress(RunFailed):
        run.go()


def test_run(
    dag: DAG, spec: DagSpec, params: Mapping[str, object], options: Mapping[str, Any]
) -> TestRun:
    """Run a DAG in this process. Files of the run, if there are any, lie in a temporary folder
    that is left for you.

    Args:
        options: Those of `DAG.test`.

    Raises:
        RunFailed: a task failed; its own exception is the cause.
        BadOption, BadSecretsFile: an option that cannot be. Nothing has run.
    """
    home = Path(tempfile.mkdtemp(prefix="mlflowkit-test-"))
    try:
        with files_standing_in(options):
            return TestRun(dag, spec, params, home, options).go()
    finally:
        with suppress(OSError):  # something is in it
            home.rmdir()


def _notebooks() -> Any:
    from mlflowkit.nbrun.engine import NotebookEngine

    return NotebookEngine()
