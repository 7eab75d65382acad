"""The engine's side, put together. The one file that names its concrete parts.

`python -m mlflowkit.app --home FOLDER` is the engine in the background;
`runtime()` is what `dag.run()` and its like reach through the front door.
"""

from __future__ import annotations

import argparse
import logging
import signal
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
from mlflowkit.core.values import StoredValue
from mlflowkit.engine.client import EngineClient, ensure_engine
from mlflowkit.engine.commands import CommandServer
from mlflowkit.engine.process import EngineProcess, idle_for
from mlflowkit.engine_commands import Commands
from mlflowkit.errors import HomeBusy
from mlflowkit.executors.local import LocalExecutor
from mlflowkit.handles.backfill import (
    Backfill,
    PlannedRun,
    make_order,
    planned_runs,
    start_backfill,
)
from mlflowkit.handles.request import make_request
from mlflowkit.handles.run import RunHandle
from mlflowkit.handles.run_list import RunList
from mlflowkit.handles.schedule import Schedule
from mlflowkit.late_imports import put_off
from mlflowkit.nbrun.held import HomesKernels
from mlflowkit.publishing import publish_request
from mlflowkit.settings import home, settings


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
        kernels=HomesKernels(folder),
    )


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

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if shell is None or kernel is None:
        return shell is not None or hasattr(sys, "ps1")
    session = os.environ.get("JPY_SESSION_NAME") or os.environ.get("VSCODE_PID")
    # What executes notebooks by itself (nbclient, papermill) says that nobody can be asked.
    asks = getattr(kernel, "_allow_stdin", False)
    return bool(session or asks or shell.user_ns.get("__vsc_ipynb_file__"))


_app = App()


def runtime() -> App:
    return _app


def main() -> None:
    put_off()
    parser = argparse.ArgumentParser(prog="mlflowkit.app")
    parser.add_argument("--home", required=True, type=Path)
    given = parser.parse_args()
    serve_in_background(given.home, settings().engine_idle)


__all__ = ["App", "EngineClient", "foreground_engine", "make_request", "runtime"]

if __name__ == "__main__":
    main()
