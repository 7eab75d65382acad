"""A task of a run in a person's hands: `run["fit"].result()`, `.log()`, `.notebook()`.

Reads the store and the run's folder; works out no state itself.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.authoring.runtime import part
from mlflowkit.core.spec import RETURN_VALUE, UNMAPPED
from mlflowkit.core.states import ENDED, TaskState
from mlflowkit.core.values import StoredValue
from mlflowkit.core.view import TaskView
from mlflowkit.errors import RunInterrupted, UnknownXCom, XComNotThere
from mlflowkit.handles.cell_waits import naps
from mlflowkit.handles.executed_notebook import ExecutedNotebook
from mlflowkit.handles.task_actions import TaskActions
from mlflowkit.home_store import database
from mlflowkit.store import reading, xcoms
from mlflowkit.store.reading import AttemptView

if TYPE_CHECKING:
    from mlflowkit.handles.run import RunHandle

#: Between two looks at the store.
LOOK_SECONDS = 0.02


class TaskHandle(TaskActions):
    """A task of a run; of a mapped one, all its instances, or one."""

    def __init__(self, run: RunHandle, task_id: str, map_index: int | None) -> None:
        self._run, self.task_id, self._index = run, task_id, map_index

    def __getitem__(self, map_index: int) -> TaskHandle:
        """One instance of a mapped task."""
        return TaskHandle(self._run, self.task_id, map_index)

    def view(self) -> TaskView:
        return self._run.view().task(self.task_id)

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
        raise UnknownXCom("", self.task_id, key, keys)

    def _wait(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with naps() as nap:
            while True:
                view = self._run.view()
                if TaskState(self.state) in ENDED or view.ended:
                    break
                if view.interrupted:
                    raise RunInterrupted(self._run.run_id)
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(
                        f"task {self.task_id!r} has not ended after {timeout} s"
                    )
                nap(LOOK_SECONDS)
        state = self.state
        if state != TaskState.SUCCESS:
            if state == TaskState.FAILED:
                self._run.wait()
            raise XComNotThere(self._run.run_id, self.task_id, state)

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
