"""The worker's side, put together: a template that has a bundle open, and what its forks run.

`python -m mlflowkit.worker_main --bundle FOLDER --control-fd N …` is started by an
executor, always as a fresh process. This is the one file that names the concrete
parts of the worker's side.
"""

from __future__ import annotations

import argparse
import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers.together import is_pickled, shared
from mlflowkit.authoring.open_bundle import (
    OpenBundle,
    imports_of,
    open_bundle,
    renders_templates,
    runs_notebooks,
)
from mlflowkit.authoring.quiet import all_quiet
from mlflowkit.authoring.template_check import read_ahead
from mlflowkit.core.spec import UNMAPPED, AttemptId, DagId, DagSpec, RunId, TaskId, TaskSpec
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import UserError
from mlflowkit.late_imports import put_off
from mlflowkit.nbrun.guarding import dump_guarded
from mlflowkit.ports import CellEvent, LaunchOrder, NotebookOrder, Surroundings
from mlflowkit.prepare import ask_timetable, complete, prepared
from mlflowkit.worker.attempt import Attempt, Executable, Link
from mlflowkit.worker.child import serve_child
from mlflowkit.worker.protocol import BlockingChannel, Ended, Order, decode, encode
from mlflowkit.worker.run_context import Context
from mlflowkit.worker.sides import Inputs
from mlflowkit.worker.supervisor import Supervisor
from mlflowkit.worker.template import Template, hold_locks, may_fork

#: What executing a notebook loads in the worker; the notebook itself runs in a kernel.
NOTEBOOK_IMPORTS = (
    "papermill.parameterize",
    "nbclient.client",
    "ipykernel.kernelspec",
    "IPython.core.inputtransformer2",
    "mlflowkit.nbrun.engine",
)


#: What pipeline files load of ours: children that import such a file find it loaded.
OUR_IMPORTS = (
    "mlflowkit.authoring.dag_function",
    "mlflowkit.authoring.notebook_task",
    "mlflowkit.authoring.places",
    "mlflowkit.authoring.redefined",
    "mlflowkit.authoring.task",
    "mlflowkit.hooks.base",  # where `Connection.get` finds them
    "mlflowkit.operators",
)


FEW_CORES = 2


class BundleCode:
    """`worker.attempt.Code` on an open bundle."""

    def __init__(self, bundle: OpenBundle) -> None:
        self._bundle = bundle
        self._last: Any = None
        self.spec: DagSpec = bundle.spec()

    def warm(self) -> None:
        """Import what the tasks need, once. What fails here fails again in its task, and says so.

        Local modules that may read something at their import are left to the children: what
        a file or the clock says is that of each run.
        """
        if not all_quiet(self._bundle.folder, self._bundle.facts["modules"]):
            return
        for task_id in self._bundle.task_ids:
            try:
                task = self._bundle.operator(task_id)
                if renders_templates(self._bundle.folder):
                    read_ahead(task, self._bundle.templates())
            except Exception:  # noqa: BLE001 - a person's modules may fail in any way
                continue

    def prepare(self, task_id: str, inputs: Inputs) -> Executable:
        task = self._last = self._bundle.operator(task_id)
        settings = self._bundle.templates
        return prepared(task, inputs, settings)

    def callbacks(self, task_id: str, kind: str) -> Sequence[Callable[[Any], object]]:
        if not task_id:
            return self._bundle.callbacks().get(kind, ())
        found: Sequence[Callable[[Any], object]] = self._operator(task_id).callbacks.get(
            kind, ()
        )
        return found

    def next_info(self, given: Mapping[str, Any]) -> bytes:
        return ask_timetable(self._bundle.timetable(), given)

    def complete(self, task_id: str, context: Context) -> None:
        complete(context, self._operator(task_id))

    def _operator(self, task_id: str) -> Any:
        """The one that was prepared last, if it is its task: opening it again would put other
        objects in the place of those that its code knows."""
        if self._last is None or self._last.task_id != task_id:
            self._last = self._bundle.operator(task_id)
        return self._last


class SerializedValues:
    """`worker.attempt.Values` on the home's artifacts."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = FileArtifacts(folder)

    def dump(self, value: object, *, expandable: bool, where: str) -> StoredValue:
        return dump_guarded(value, self.artifacts, expandable=expandable, where=where)

    def load(self, stored: StoredValue, opened: dict[str, Any] | None = None) -> Any:
        return serializers.load(stored, self.artifacts, opened=opened)

    def together(
        self, stored: Mapping[str, StoredValue], values: Mapping[str, object]
    ) -> Mapping[str, object]:
        if len(stored) < 2:
            return {}
        apart = {k for k, v in stored.items() if not is_pickled(v, self.artifacts)}
        return shared({k: values[k] for k in stored if k not in apart})

    def load_item(self, stored: StoredValue, index: int) -> Any:
        return serializers.load_item(stored, self.artifacts, index)


class LazyNotebooks:
    """`ports.NotebookRunner`; Jupyter's libraries are loaded when the first notebook runs."""

    def __init__(self, artifacts: Path) -> None:
        self._artifacts = artifacts

    def run(
        self, order: NotebookOrder, on_event: Callable[[CellEvent], None]
    ) -> Mapping[str, object]:
        from mlflowkit.nbrun.engine import NotebookEngine

        return NotebookEngine(artifacts=self._artifacts).run(order, on_event)


def run_attempt(code: BundleCode, order: LaunchOrder, link: Link) -> Ended:
    """One attempt in this process."""
    values = SerializedValues(Path(order.artifacts))
    return Attempt(order, code, values, link, LazyNotebooks(Path(order.artifacts))).run()


class Worker:
    """What a template's forks need. With `bare` the bundle is opened after the fork."""

    def __init__(self, bundle: str, *, bare: bool) -> None:
        self._folder, self._bare = Path(bundle), bare
        self._code: BundleCode | None = None

    def open(self) -> str:
        """Open the bundle, unless that is left to the children. Returns what went wrong."""
        if self._bare:
            return ""
        try:
            ahead = NOTEBOOK_IMPORTS if runs_notebooks(self._folder) else ()
            for name in [*OUR_IMPORTS, *imports_of(self._folder), *ahead]:
                _import_ahead(name)
            if ahead:
                _make_notebooks_ready()
            if renders_templates(self._folder):
                _warm_templates()
            self._code = BundleCode(open_bundle(self._folder))
            self._code.warm()
        except UserError as exc:
            return str(exc)
        except BaseException:  # noqa: BLE001 - a person's modules are executed here
            return traceback.format_exc()
        return ""

    def supervise(self, engine: socket.socket) -> None:
        """The life of a supervisor, in a fork of the template."""
        Supervisor(engine, self._child).serve()

    def _child(self, channel: BlockingChannel, out: int, mark: bytes) -> None:
        serve_child(channel, out, mark, self._run, self._rehearse)

    def _rehearse(self) -> None:
        """An attempt that does nothing, on plain data: no code of a person is called.

        It pays where a core is free for it (a chain of 40 tasks: 0.15 s for 0.19 s on four);
        on two it takes the time of the attempts themselves.
        """
        if self._code is None or len(os.sched_getaffinity(0)) <= FEW_CORES:
            return
        attempt = AttemptId(RunId("rehearsal/0"), TaskId("rehearsal"), UNMAPPED, 1)
        around = Surroundings(python="", env={}, cwd="", sys_path=(), umask=0)
        order = LaunchOrder(
            attempt=attempt,
            try_number=1,
            max_tries=1,
            bundle="",
            surroundings=around,
            params_json=b"{}",
            facts_json=b"{}",
            inputs={"a\0b": StoredValue(codec="json", inline=b"1", size=1)},
        )
        decode(encode(Order(order))[4:])
        values = SerializedValues(Path("rehearsal"))
        ended = Attempt(
            order, _NothingToDo(), values, _NobodyThere(), LazyNotebooks(Path())
        ).run()
        encode(ended)

    def _run(self, order: LaunchOrder, link: Link) -> Ended:
        if self._code is None:
            self._bare = False
            error = self.open()
            if error or self._code is None:
                why = "its code cannot be loaded"
                return Ended(order.attempt, "failed", why=why, error=error, retryable=False)
        return run_attempt(self._code, order, link)


def _make_notebooks_ready() -> None:
    from mlflowkit.nbrun import source

    source.make_ready()


class _NothingToDo:
    """`Code` whose task returns 1."""

    def __init__(self) -> None:
        task = TaskSpec(task_id=TaskId("rehearsal"))
        self.spec = DagSpec(dag_id=DagId("rehearsal"), tasks={task.task_id: task})

    def prepare(self, task_id: str, inputs: Inputs) -> Executable:
        return self

    def callbacks(self, task_id: str, kind: str) -> Sequence[Callable[[Any], object]]:
        return ()

    def complete(self, task_id: str, context: Context) -> None:
        return None

    def next_info(self, given: Mapping[str, Any]) -> bytes:
        return b"null"

    def execute(self, context: dict[str, Any]) -> object:
        return 1


class _NobodyThere:
    """`Link` of a rehearsal."""

    def ask(self, what: str, **arguments: Any) -> Any:
        return None

    def note(self, line: bytes) -> None:
        return None


def _warm_templates() -> None:
    from mlflowkit.authoring.template_env import warm

    warm()


def _import_ahead(name: str) -> None:
    """A distribution that tasks import: loaded once here. One that fails to load fails in its task."""
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - any library may fail in any way while it is imported
        sys.modules.pop(name, None)


def main(arguments: list[str] | None = None) -> None:
    """Be a template until the engine is gone."""
    put_off()
    parser = argparse.ArgumentParser(prog="mlflowkit.worker_main")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--lock", action="append", default=[])
    parser.add_argument("--sys-path", action="append", default=[])
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args(arguments)
    if given.sys_path:
        sys.path[:] = given.sys_path
    locks = hold_locks(*given.lock)
    worker = Worker(given.bundle, bare=given.bare)
    error = worker.open()
    if not error and not may_fork():
        # A module that was imported started threads: a fork of this process could hang.
        os.set_inheritable(given.control_fd, True)
        again = [a for a in (arguments or sys.argv[1:]) if a != "--bare"]
        os.execv(
            sys.executable,
            [sys.executable, "-m", "mlflowkit.worker_main", *again, "--bare"],
        )
    control = socket.socket(fileno=given.control_fd)
    control.set_inheritable(False)
    Template(control, worker.supervise).serve(error)
    for lock in locks:
        os.close(lock)


if __name__ == "__main__":
    main()
