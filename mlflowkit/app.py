"""The engine's side, put together. The one file that names its concrete parts.

`python -m mlflowkit.app --home FOLDER` is the engine in the background;
`runtime()` is what `dag.run()` and its like reach through the front door.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from mlflowkit import preflight
from mlflowkit.artifacts import serializers
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.params import validate_params
from mlflowkit.authoring.runtime import part
from mlflowkit.backfill_handle import (
    Backfill,
    PlannedRun,
    make_order,
    planned_runs,
    start_backfill,
)
from mlflowkit.core.spec import RunId, TaskId
from mlflowkit.core.values import StoredValue
from mlflowkit.engine.client import EngineClient, ensure_engine
from mlflowkit.engine.commands import CommandServer
from mlflowkit.engine.process import EngineProcess, decode_request, idle_for
from mlflowkit.engine.published_dags import FolderDag
from mlflowkit.engine.triggers import trigger
from mlflowkit.errors import DagNotPublished, HomeBusy, InternalError
from mlflowkit.executors.local import LocalExecutor
from mlflowkit.ports import Surroundings
from mlflowkit.publishing import publish_request
from mlflowkit.run_handle import RunHandle, RunList
from mlflowkit.run_request import make_request
from mlflowkit.schedule_handle import Schedule
from mlflowkit.settings import home, settings
from mlflowkit.store.backfills import Order as BackfillOrder


def item_of(stored: StoredValue, index: int) -> StoredValue | None:
    """An item of a list that is small enough to lie in the store; None for others."""
    if stored.inline is None:
        return None
    return serializers.item_slice(stored, index)


def make_engine(
    folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> EngineProcess:
    """The engine of a home, in this process.

    Args:
        clock: Gives the moment, aware and in UTC.

    Raises:
        HomeBusy: another one works in it.
    """
    chosen = settings()

    def executor(
        loop: Any, engine: EngineProcess, place: Path, engine_id: str
    ) -> LocalExecutor:
        return LocalExecutor(
            loop,
            engine,
            place,
            engine_id,
            parallelism=chosen.parallelism,
            grace_seconds=chosen.kill_grace.total_seconds(),
        )

    return EngineProcess(
        folder,
        executor,
        item_of,
        synchronous=chosen.sqlite_synchronous,
        failpoints_text=chosen.failpoints,
        clock=clock,
    )


class Commands:
    """What clients may ask, put into calls of the engine."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine
        self._doers: dict[str, Callable[..., Any]] = {
            "ping": lambda: {
                "engine_id": engine.engine_id,
                "planning": engine.schedules.planning,
            },
            "submit": self._submit,
            "cancel": lambda run_id: engine.cancel(RunId(run_id)),
            "retry": self._retry,
            "instance": self._instance,
            "mark": self._mark,
            "resume": self._resume,
            "stop": engine.stop,
            "publish": self._publish,
            "publish_all": self._publish_all,
            "retire": engine.dags.retire,
            "pause": lambda dag_id: self._pause(dag_id, True),
            "unpause": lambda dag_id: self._pause(dag_id, False),
            "delete_dag": self._delete_dag,
            "trigger": self._trigger,
            "backfill": self._backfill,
            "withdraw": engine.backfills.withdraw,
            "plan": engine.schedules.plan,
            "rest": engine.schedules.rest,
        }

    def handle(self, command: dict[str, Any], answer: Callable[[Any], None]) -> None:
        do = command.pop("do", "")
        self._engine.last_busy = time.monotonic()
        if do == "watch":
            self._engine.watch(RunId(command["run_id"]), lambda state: answer(str(state)))
        elif do in self._doers:
            answer(self._doers[do](**command))
        else:
            raise InternalError(f"the engine knows no command {do!r}")

    def _submit(self, request: dict[str, Any]) -> dict[str, str]:
        return {"run_id": self._engine.submit(decode_request(request))}

    def _publish(
        self, request: dict[str, Any], paused: bool | None = None, replace: bool = False
    ) -> dict[str, bool]:
        """Hand a DAG to the scheduler: a run request says all that is needed."""
        given = decode_request(request)
        changed = self._engine.dags.publish(given, paused=paused, replace=replace)
        return {"changed": changed, "planning": self._engine.schedules.planning}

    def _publish_all(self, dags: list[dict[str, Any]], folder: str) -> list[Any]:
        given = msgspec.convert(dags, list[FolderDag])
        return list(self._engine.dags.publish_all(given, folder))

    def _pause(self, dag_id: str, paused: bool) -> None:
        self._engine.dags.pause(dag_id, paused)

    def _delete_dag(self, dag_id: str) -> None:
        self._engine.dags.delete(dag_id)

    def _trigger(
        self,
        dag_id: str,
        params: dict[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: str | None = None,
    ) -> dict[str, str]:
        """A run of a published DAG, now, with parameters that were checked."""
        validate_params(self._engine.dags.known(dag_id).spec, params or {})
        date = datetime.fromisoformat(logical_date) if logical_date else None
        name = f"{dag_id}/{run_id}" if run_id else None
        started = trigger(
            self._engine, dag_id, run_id=name, params=params, logical_date=date
        )
        if started is None:
            raise DagNotPublished(dag_id, ())
        return {"run_id": started}

    def _backfill(self, order: dict[str, Any]) -> dict[str, Any]:
        outcome = self._engine.backfills.start(msgspec.convert(order, BackfillOrder))
        found: dict[str, Any] = msgspec.to_builtins(outcome)
        return found

    def _retry(
        self,
        run_id: str,
        task_ids: list[str],
        code: dict[str, Any] | None = None,
        resume: str = "",
        alone: bool = False,
    ) -> None:
        newer = None
        if code is not None:
            around = msgspec.convert(code["surroundings"], Surroundings)
            newer = (code["bundle"], msgspec.convert(code["spec_json"], bytes), around)
        chosen = tuple(TaskId(t) for t in task_ids)
        self._engine.retry(RunId(run_id), chosen, newer, resume, alone)

    def _instance(self, run_id: str, task_id: str, map_index: int, what: str) -> bool:
        """What a person wants of one task instance of a run that goes on."""
        return self._engine.ask_instance(RunId(run_id), TaskId(task_id), map_index, what)

    def _mark(self, run_id: str, task_id: str, map_index: int | None, state: str) -> str:
        """A person says how a task instance ended. Why it was not marked, if so."""
        if state not in ("success", "failed"):
            raise ValueError(f"a task is marked success or failed, not {state!r}")
        return self._engine.mark(RunId(run_id), TaskId(task_id), map_index, state)

    def _resume(self, run_ids: list[str] | None = None) -> list[str]:
        chosen = run_ids if run_ids is not None else self._engine.interrupted()
        for run_id in chosen:
            self._engine.resume(RunId(run_id))
        return list(chosen)


@contextmanager
def foreground_engine(folder: Path) -> Iterator[EngineProcess]:
    """An engine in this process, which others may hand runs to, too.

    Raises:
        HomeBusy: another one works in the home.
    """
    engine = make_engine(folder)
    server = CommandServer(engine.loop, folder, Commands(engine).handle)
    try:
        engine.carrying_out.take_up_calls()
        yield engine
    finally:
        server.close()
        engine.close()


def serve_in_background(folder: Path, idle: timedelta) -> None:
    """The life of the engine that `dag.run()` starts: until it was idle for long."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        with foreground_engine(folder) as engine:

            def stop(_number: int, _frame: FrameType | None) -> None:
                engine.stop()

            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            engine.serve(lambda: idle_for(engine, idle))
    except HomeBusy:
        return  # another one was faster


# ── front door ──────────────────────────────────────────────────────────────


class App:
    """`ports.Runtime`."""

    def run(
        self, dag: DAG, params: Mapping[str, object], options: Mapping[str, Any]
    ) -> RunHandle:
        """Start a run in the home's engine; wait for it where nobody watches."""
        folder = home()
        request = make_request(dag, params, options, folder)
        loads = preflight.begin(request.bundle)
        with_engine = ensure_engine(folder)
        loads()
        answer = with_engine.call("submit", request=msgspec.to_builtins(request))
        with_engine.close()
        handle = RunHandle(answer["run_id"], folder, dag)
        for note in request.notes:
            print(note)  # noqa: T201 - said to the person who called run()
        if interactive():
            part("mlflowkit.jupyter.shown", "started")(handle)
        wait = options.get("wait")
        if wait if wait is not None else not interactive():
            handle.wait()
        return handle

    def test(
        self, dag: DAG, params: Mapping[str, object], options: Mapping[str, Any]
    ) -> Any:
        from mlflowkit.inline import test_run

        spec = dag.spec()
        return test_run(dag, spec, validate_params(spec, params), options)

    def runs(self, dag_id: str | None) -> RunList:
        return RunList(home(), dag_id)

    def publish(self, dag: DAG, *, paused: bool | None, replace: bool) -> Schedule:
        """Hand a DAG to the scheduler of the home."""
        folder = home()
        request = publish_request(dag, folder)
        preflight.check_bundle(request.bundle)
        handle = Schedule(dag.dag_id, folder, dag)
        client = ensure_engine(folder)
        try:
            body = msgspec.to_builtins(request)
            client.call("publish", request=body, paused=paused, replace=replace)
            if paused is not None and handle.paused is not paused:
                client.call("pause" if paused else "unpause", dag_id=dag.dag_id)
        finally:
            client.close()
        for note in request.notes:
            print(note)  # noqa: T201 - said to the person who called publish()
        return handle

    def backfill(
        self,
        dag: DAG,
        start: Any,
        end: Any,
        params: Mapping[str, object],
        options: Mapping[str, Any],
    ) -> Backfill | list[PlannedRun]:
        """Run a span of a DAG; wait for it where nobody watches."""
        folder = home()
        request = replace(make_request(dag, params, {}, folder), companions=())
        order = make_order(
            request,
            dag.spec(),
            start,
            end,
            own_timetable=dag.own_timetable,
            reverse=options["reverse"],
            rerun=options["rerun"],
            max_active=options["max_active"],
        )
        if options["dry_run"]:
            return planned_runs(order, folder)
        handle = start_backfill(order, folder)
        wait = options["wait"]
        return (
            handle.wait() if (wait if wait is not None else not interactive()) else handle
        )


def interactive() -> bool:
    """Whether a person sits at this process: a notebook in a front end, or a prompt."""
    import os
    import sys

    if hasattr(sys, "ps1"):
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return False
    if getattr(shell, "kernel", None) is None:
        return True
    session = os.environ.get("JPY_SESSION_NAME") or os.environ.get("VSCODE_PID")
    return bool(session or shell.user_ns.get("__vsc_ipynb_file__"))


_app = App()


def runtime() -> App:
    return _app


def main() -> None:
    parser = argparse.ArgumentParser(prog="mlflowkit.app")
    parser.add_argument("--home", required=True, type=Path)
    given = parser.parse_args()
    serve_in_background(given.home, settings().engine_idle)


__all__ = ["App", "EngineClient", "foreground_engine", "make_request", "runtime"]

if __name__ == "__main__":
    main()
