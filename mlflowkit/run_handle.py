"""A run in a person's hands: `run.wait()`, `run["fit"].result()`, `run.retry()`.

Reads the store and asks the engine; works out no state itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.authoring.runtime import part
from mlflowkit.core.machine.people import CANCELLED
from mlflowkit.core.spec import RETURN_VALUE, UNMAPPED, instance_name
from mlflowkit.core.states import ENDED, TaskState
from mlflowkit.core.values import StoredValue
from mlflowkit.core.view import RunView, TaskView
from mlflowkit.engine.client import EngineClient, ensure_engine
from mlflowkit.engine.locks import engine_alive
from mlflowkit.errors import (
    BadOption,
    NotMarked,
    RunCleaned,
    RunFailed,
    RunInterrupted,
    RunNotFound,
    TaskFailed,
    TaskNotInRun,
    UnknownXCom,
    XComNotThere,
)
from mlflowkit.run_request import retry_code
from mlflowkit.store import reading, xcoms
from mlflowkit.store.cleaning import cleaned_at
from mlflowkit.store.database import Database, open_database
from mlflowkit.store.reading import AttemptView, RunSummary
from mlflowkit.store.runs import spec_of

#: By the file itself, not its path: a home may be deleted, and another one made in its place.
_databases: dict[tuple[int, int], Database] = {}
LOOK_SECONDS = 0.02


def database(home: Path) -> Database:
    """The store of a home, opened once in this process."""
    path = home / "store.db"
    if not path.exists():
        open_database(home).close()
    found = path.stat()
    key = (found.st_dev, found.st_ino)
    if key not in _databases:
        _databases[key] = open_database(home)
    return _databases[key]


class RunHandle:
    """One DAG run."""

    def __init__(self, run_id: str, home: Path, dag: Any = None) -> None:
        self.run_id, self.home, self._dag = run_id, home, dag

    @property
    def dag(self) -> Any:
        """The DAG that it was started from here; None for a run of another process."""
        return self._dag

    def view(self) -> RunView:
        """The run as it is now.

        Raises:
            RunNotFound: it is not in the store.
        """
        alive = partial(engine_alive, self.home)
        with database(self.home).reading() as tx:
            found = reading.run_view(tx, self.run_id, engine_alive=alive)
            if found is None:
                known = [r.run_id for r in reading.list_runs(tx)]
                raise RunNotFound(self.run_id, known)
        return found

    @property
    def state(self) -> str:
        return self.view().state

    @property
    def path(self) -> Path:
        """The folder with its executed notebooks and logs."""
        return self.home / "runs" / self.run_id

    def wait(self, timeout: float | None = None) -> RunHandle:
        """Wait until the run has ended. Interrupting it stops the waiting, not the run.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Raises:
            RunFailed: it ended without success; the task's own error is its `__cause__`.
            RunInterrupted: its engine died. `mlflowkit runs resume` goes on.
            TimeoutError: it has not ended yet.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        client = EngineClient(self.home)
        if client.connect():
            try:
                _listening(
                    partial(client.call, "watch", run_id=self.run_id, timeout=timeout)
                )
            except TimeoutError:
                raise TimeoutError(
                    f"the run {self.run_id} has not ended after {timeout} s"
                ) from None
            except Exception as exc:
                if not type(exc).__module__.startswith("mlflowkit"):
                    raise
            finally:
                client.close()
        while True:
            view = self.view()
            if view.ended:
                break
            if view.interrupted:
                raise RunInterrupted(self.run_id)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"the run {self.run_id} has not ended after {timeout} s")
            time.sleep(LOOK_SECONDS)
        if view.state != "success":
            raise self._failure(view)
        return self

    def _failure(self, view: RunView) -> RunFailed:
        for task in view.tasks:
            for instance in task.instances:
                if instance.state is not TaskState.FAILED or instance.reason == CANCELLED:
                    continue  # what was ended with its run says nothing of why
                attempts = self[task.task_id][instance.map_index].attempts()
                error = attempts[-1].error if attempts else ""
                failure = RunFailed(self.run_id, task.task_id, instance.reason)
                failure.__cause__ = self._cause(attempts, error or instance.reason)
                return failure
        return RunFailed(self.run_id, "", view.reason)

    def _cause(self, attempts: list[AttemptView], text: str) -> BaseException:
        """The task's own exception, if it could travel; else its text."""
        stored = attempts[-1].facts.get("exception") if attempts else None
        if stored is not None:
            value = msgspec.convert(stored, StoredValue)
            try:
                found = serializers.load(value, FileArtifacts(self.home / "artifacts"))
            except Exception:  # noqa: BLE001 - it is only a nicety; the text says the same
                found = None
            if isinstance(found, BaseException):
                found.add_note(text)
                return found
        return TaskFailed(text)

    def __getitem__(self, task_id: str) -> TaskHandle:
        """A task of the run.

        Raises:
            TaskNotInRun: its DAG has no such task.
        """
        with database(self.home).reading() as tx:
            spec = spec_of(tx, self.run_id)
        if spec is None:
            raise RunNotFound(self.run_id, [])
        if task_id not in spec.tasks:
            raise TaskNotInRun(self.run_id, task_id, spec.tasks)
        mapped = spec.tasks[task_id].expansion is not None  # type: ignore[index]
        return TaskHandle(self, task_id, None if mapped else UNMAPPED)

    def log(
        self, task_id: str, map_index: int = UNMAPPED, attempt: int | None = None
    ) -> str:
        """What the task wrote: standard output, standard error, logging."""
        return self[task_id][map_index].log(attempt)

    def cancel(self) -> None:
        """Stop it: what runs is killed, what waits is skipped."""
        self._call("cancel", run_id=self.run_id)
        part("mlflowkit.nbrun.held", "release_run")(self.home, self.run_id)

    def retry(
        self,
        task_ids: list[str] | None = None,
        *,
        code: str = "latest",
        resume: str | None = None,
        downstream: bool = True,
    ) -> RunHandle:
        """Run again what did not succeed, or these tasks and all below them.

        Args:
            task_ids: None: all that did not succeed; their upstream XComs are kept.
            code: "latest" takes the DAG as it is now, and says which tasks changed;
                "same" keeps the run's own.
            resume: "cell": notebooks go on from the failed cell, or from the first that
                has changed; None: they begin anew.
            downstream: False: what waits for the named tasks keeps what it has.

        Raises:
            RunStillRunning: it has not ended.
            ShapeChanged: the DAG has other tasks or arrows now.
            BadOption: there is no such way to resume.
        """
        if resume not in (None, "cell"):
            raise BadOption(
                f"run {self.run_id!r}", "resume", f"is {resume!r}: it is 'cell'"
            )
        self.refuse_if_cleaned("it cannot be tried again")
        newer = None
        if code == "latest" and self._dag is not None:
            with database(self.home).reading() as tx:
                spec = spec_of(tx, self.run_id)
            if spec is None:
                raise RunNotFound(self.run_id, [])
            newer, changed = retry_code(self._dag, spec, self.home)
            if changed:
                print(f"changed since the run was started: {', '.join(changed)}")  # noqa: T201
        wish: dict[str, Any] = {"code": newer, "resume": resume or ""}
        wish |= {"task_ids": task_ids or [], "alone": not downstream}
        self._call("retry", run_id=self.run_id, **wish)
        return self

    def mark(self, task_id: str, state: str, map_index: int | None = None) -> None:
        """Say how a task ended: see `TaskHandle.mark`."""
        if state not in ("success", "failed"):
            raise BadOption(
                f"task {task_id!r}", "mark", f"is {state!r}: it is 'success' or 'failed'"
            )
        where = {"task_id": task_id, "map_index": map_index}
        why = self._call("mark", run_id=self.run_id, state=state, **where)
        if why:
            name = instance_name(task_id, UNMAPPED if map_index is None else map_index)
            raise NotMarked(self.run_id, name, state, why)

    def refuse_if_cleaned(self, wanted: str) -> None:
        """Raises RunCleaned if what the run held was cleaned away."""
        when = cleaned_at(self.path)
        if when:
            raise RunCleaned(self.run_id, when, wanted)

    def _call(self, do: str, **arguments: Any) -> Any:
        client = ensure_engine(self.home)
        try:
            return client.call(do, **arguments)
        finally:
            client.close()

    def _ipython_display_(self) -> None:
        """Live in a notebook, below the cell; elsewhere IPython asks for the picture."""
        if not part("mlflowkit.jupyter.shown", "show")(self):
            raise NotImplementedError

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """The run as it is now: a picture with a table, and a text."""
        found: dict[str, str] = part("mlflowkit.jupyter.shown", "bundle")(self)
        return {**found, "text/plain": repr(self)}

    def __repr__(self) -> str:
        view = self.view()
        lines = [
            f"run {self.run_id}: {view.state}"
            + (f" ({view.reason})" if view.reason else "")
        ]
        lines += [f"  {t.task_id}: {_state_line(t)}" for t in view.tasks]
        return "\n".join(lines)


class TaskHandle:
    """A task of a run; of a mapped one, all its instances, or one."""

    def __init__(self, run: RunHandle, task_id: str, map_index: int | None) -> None:
        self._run, self.task_id, self._index = run, task_id, map_index

    def __getitem__(self, map_index: int) -> TaskHandle:
        """One instance of a mapped task."""
        return TaskHandle(self._run, self.task_id, map_index)

    def view(self) -> TaskView:
        return self._run.view().task(self.task_id)

    @property
    def _name(self) -> str:
        return instance_name(self.task_id, UNMAPPED if self._index is None else self._index)

    @property
    def state(self) -> str:
        if self._index is None:
            return str(self.view().state)
        found = [i.state for i in self.view().instances if i.map_index == self._index]
        return str(found[0]) if found else str(TaskState.NONE)

    def result(self, key: str = RETURN_VALUE, *, timeout: float | None = None) -> Any:
        """Its value; of a mapped task, a list of them. Waits if it must.

        Raises:
            RunFailed: it did not succeed.
            UnknownXCom: it pushed nothing under `key`.
        """
        self._wait(timeout)
        home = self._run.home
        with database(home).reading() as tx:
            run_key = xcoms.run_key_of(tx, self._run.run_id)
            assert run_key is not None
            if self._index is None:
                found = xcoms.page_xcoms(tx, run_key, self.task_id, key, limit=1_000_000)
                stored = [value for _, value in found]
            else:
                one = xcoms.get_xcom(tx, run_key, self.task_id, key, self._index)
                stored = [one] if one is not None else []
            keys = xcoms.keys_of(tx, run_key, self.task_id)
        artifacts = FileArtifacts(home / "artifacts")
        if self._index is None:
            if not stored:
                self._run.refuse_if_cleaned(f"task {self.task_id!r} has no values any more")
            return [serializers.load(value, artifacts) for value in stored]
        if stored:
            return serializers.load(stored[0], artifacts)
        self._run.refuse_if_cleaned(f"task {self.task_id!r} has no value any more")
        if key == RETURN_VALUE:
            return None
        raise UnknownXCom("a person", self.task_id, key, keys)

    def _wait(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            view = self._run.view()
            if TaskState(self.state) in ENDED or view.ended:
                break
            if view.interrupted:
                raise RunInterrupted(self._run.run_id)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"task {self.task_id!r} has not ended after {timeout} s")
            time.sleep(LOOK_SECONDS)
        state = self.state
        if state != TaskState.SUCCESS:
            if state == TaskState.FAILED:
                self._run.wait()
            raise XComNotThere(self._run.run_id, self.task_id, state)

    def mark(self, state: str) -> None:
        """Say how it ended, whatever its code does: "success" or "failed".

        What runs is killed first; tasks below go on by their trigger rules. In a run that has
        ended, what failed below a success runs now. What is marked a success has no XComs:
        pulls give None. Of a mapped task, all instances that this changes; one: `task[3].mark`.

        Raises:
            NotMarked: it is so already, it ended in a run that still goes on, or has not begun.
            RunStillRunning: the run was interrupted.
            BadOption: there is no such state.
        """
        self._run.mark(self.task_id, state, self._index)

    def attempts(self) -> list[AttemptView]:
        """Its attempts that have ended, oldest first."""
        index = UNMAPPED if self._index is None else self._index
        with database(self._run.home).reading() as tx:
            return reading.ended_attempts(tx, self._run.run_id, self.task_id, index)

    def _file(self, suffix: str, attempt: int | None) -> Path | None:
        folder = self._run.path / "logs"
        if attempt is not None:
            return folder / f"{self._name}.{attempt}{suffix}"
        numbers = [i.attempt for i in self.view().instances if i.map_index == self._index]
        return folder / f"{self._name}.{numbers[0]}{suffix}" if numbers else None

    def log(self, attempt: int | None = None) -> str:
        """What an attempt wrote, the latest one by default."""
        path = self._file(".log", attempt)
        return (
            path.read_text(errors="replace") if path is not None and path.exists() else ""
        )

    def pushed(self, attempt: int | None = None) -> dict[str, Any]:
        """What an attempt pushed by name, also one that failed: for people, and for no task.

        Values that its task returned are not among them. A worker that was killed leaves
        nothing behind.

        Args:
            attempt: Its number; None: the latest one that has ended.

        Raises:
            ValueError: there is no such attempt, or it has not ended.
        """
        ended = {one.number: one for one in self.attempts()}
        number = attempt if attempt is not None else max(ended, default=0)
        if number not in ended:
            which = f"attempt {number}" if number else "attempt"
            raise ValueError(f"task {self.task_id!r} has no {which} that has ended")
        if ended[number].outcome == "succeeded":
            stored = self._xcoms(number)
        else:
            facts = ended[number].facts.get("pushed", {})
            stored = {k: msgspec.convert(v, StoredValue) for k, v in facts.items()}
        artifacts = FileArtifacts(self._run.home / "artifacts")
        return {k: serializers.load(v, artifacts) for k, v in stored.items()}

    def _xcoms(self, attempt: int) -> dict[str, StoredValue]:
        """Its XComs, if they are of this attempt, without what it returned."""
        index = UNMAPPED if self._index is None else self._index
        with database(self._run.home).reading() as tx:
            found = xcoms.of_attempt(tx, self._run.run_id, self.task_id, index, attempt)
        return {key: value for key, value in found.items() if key != RETURN_VALUE}

    def notebook(self, attempt: int | None = None) -> ExecutedNotebook:
        """The executed notebook of an attempt, the latest one by default.

        Raises:
            FileNotFoundError: it is no notebook, or none was executed yet.
        """
        path = self._run.path / f"{self._name}.ipynb"
        if attempt is not None:
            path = self._run.path / "logs" / f"{self._name}.{attempt}.ipynb"
        elif self.state != TaskState.RUNNING or not path.exists():
            self._rebuild(path)
        if not path.exists():
            self._run.refuse_if_cleaned(f"task {self.task_id!r} has no notebook any more")
            which = "" if attempt is None else f" of attempt {attempt}"
            raise FileNotFoundError(
                f"task {self.task_id!r} has no executed notebook{which} at {path}"
            )
        return ExecutedNotebook(path)

    def open(self, *, lab: bool = True, browser: bool | None = None) -> Any:
        """Open its failed kernel, which is held: JupyterLab on a copy of the executed notebook.

        Args:
            lab: False: only say how a terminal gets at it.
            browser: Show it in the browser; None: where there is a screen.

        Returns:
            Where it is: `url`, `command` (`jupyter console --existing …`), `notebook`.

        Raises:
            NoHeldKernel: none is held.
        """
        find, show = (part("mlflowkit.nbrun.opening", n) for n in ("find", "open_kernel"))
        kernel = find(self._run.home, self._run.run_id, self.task_id, self._index)
        screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        return show(kernel, lab=lab, browser=screen if browser is None else browser)

    @staticmethod
    def _rebuild(path: Path) -> None:
        """A worker that was killed left no notebook, only the journal of its cells."""
        from mlflowkit.nbrun.journal import journal_path, rebuild, write_notebook

        journal = journal_path(path)
        if not journal.exists():
            return
        if not path.exists() or path.stat().st_mtime < journal.stat().st_mtime:
            write_notebook(rebuild(journal), path)

    def __repr__(self) -> str:
        return f"<{self._name} of {self._run.run_id}: {self.state}>"


class ExecutedNotebook:
    """A notebook with its outputs, as a run left it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def status(self) -> str:
        """How its execution ended: "completed", "failed", "timeout", "killed", …"""
        import json

        found = json.loads(self.path.read_text(encoding="utf-8"))
        status: str = found["metadata"].get("mlflowkit", {}).get("status", "")
        return status

    def html(self, *, report: bool = False) -> str:
        """The notebook as a page of its own; as a report, without its code.

        Raises:
            MissingExtra: nbconvert is not installed.
        """
        from mlflowkit.nbrun.report import to_html

        return to_html(self.path, report=report)

    def __repr__(self) -> str:
        return f"<executed notebook {self.path}>"


class RunList:
    """The runs of a DAG, or of all, the newest first."""

    def __init__(self, home: Path, dag_id: str | None) -> None:
        self.home, self.dag_id = home, dag_id

    def _summaries(self, state: str | None = None) -> list[RunSummary]:
        with database(self.home).reading() as tx:
            return reading.list_runs(tx, self.dag_id, state=state, limit=1_000_000)

    def __iter__(self) -> Iterator[RunHandle]:
        return (RunHandle(s.run_id, self.home) for s in self._summaries())

    def __len__(self) -> int:
        return len(self._summaries())

    def __getitem__(self, which: int | str) -> RunHandle:
        """A run by position (0 is the newest) or by id."""
        if isinstance(which, int):
            return RunHandle(self._summaries()[which].run_id, self.home)
        handle = RunHandle(which, self.home)
        handle.view()
        return handle

    def last(self, *, state: str | None = None) -> RunHandle | None:
        """The newest run, or the newest in that state; None if there is none."""
        found = self._summaries(state)
        return RunHandle(found[0].run_id, self.home) if found else None

    def to_df(self) -> Any:
        """All of them as a pandas DataFrame."""
        import pandas

        rows = [_plain(s) for s in self._summaries()]
        return pandas.DataFrame(rows)

    def _ipython_display_(self) -> None:
        """A table in a notebook; a click shows the run."""
        if not part("mlflowkit.jupyter.shown", "show")(self):
            raise NotImplementedError

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        found: dict[str, str] = part("mlflowkit.jupyter.shown", "list_bundle")(self)
        return found

    def __repr__(self) -> str:
        lines = [
            f"{s.run_id}  {s.state}  {s.created_at:%Y-%m-%d %H:%M}"
            for s in self._summaries()
        ]
        return "\n".join(lines) or "no runs yet"


def _listening(work: Callable[[], Any]) -> Any:
    """What `work` gives; in a notebook's cell, views are listened to meanwhile."""
    if "ipykernel" not in sys.modules:
        return work()
    return part("mlflowkit.jupyter.pumping", "waited")(work)


def _plain(summary: RunSummary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in summary.__dataclass_fields__}


def _state_line(task: TaskView) -> str:
    if not task.mapped:
        return f"{task.state}" + (f" ({task.reason})" if task.reason else "")
    counts = ", ".join(f"{n} {state}" for state, n in task.counts.items())
    return (counts or "not expanded yet") + (f" ({task.waits})" if task.waits else "")
