"""A run in a person's hands: `run.wait()`, `run["fit"]`, `run.retry()`.

Reads the store and asks the engine; works out no state itself.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from mlflowkit.authoring.runtime import part
from mlflowkit.core.spec import UNMAPPED
from mlflowkit.core.view import RunView, TaskView
from mlflowkit.engine.client import EngineClient, ensure_engine
from mlflowkit.engine.locks import engine_alive
from mlflowkit.errors import (
    MlflowkitError,
    RunCleaned,
    RunInterrupted,
    RunNotFound,
    TaskNotInRun,
)
from mlflowkit.handles.again import Wish, run_again
from mlflowkit.handles.cell_waits import listening, naps
from mlflowkit.handles.failure import failure_of
from mlflowkit.handles.task import LOOK_SECONDS, TaskHandle
from mlflowkit.home_store import database
from mlflowkit.store import reading
from mlflowkit.store.cleaning import cleaned_at
from mlflowkit.store.runs import spec_of


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
                listening(
                    partial(client.call, "watch", run_id=self.run_id, timeout=timeout)
                )
            except TimeoutError:
                raise TimeoutError(
                    f"the run {self.run_id} has not ended after {timeout} s"
                ) from None
            except MlflowkitError:
                pass  # the store says how it is
            finally:
                client.close()
        with naps() as nap:
            while not (view := self.view()).ended:
                if view.interrupted:
                    raise RunInterrupted(self.run_id)
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(
                        f"the run {self.run_id} has not ended after {timeout} s"
                    )
                nap(LOOK_SECONDS)
        if view.state != "success":
            raise failure_of(self, view)
        return self

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
        self.ask("cancel")
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
        wish = Wish(
            task_ids=tuple(task_ids or ()),
            code=code,
            resume=resume or "",
            downstream=downstream,
        )
        return self.again(wish)

    def again(self, wish: Wish) -> RunHandle:
        """Have what is wished for run again, and say which code changed."""
        changed = run_again(self, wish)
        if changed:
            print(f"changed since the run was started: {', '.join(changed)}")  # noqa: T201
        return self

    def refuse_if_cleaned(self, wanted: str) -> None:
        """Raises RunCleaned if what the run held was cleaned away."""
        when = cleaned_at(self.path)
        if when:
            raise RunCleaned(self.run_id, when, wanted)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask the home's engine for something about this run."""
        client = ensure_engine(self.home)
        try:
            return client.call(do, run_id=self.run_id, **arguments)
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


def _state_line(task: TaskView) -> str:
    if not task.mapped:
        return f"{task.state}" + (f" ({task.reason})" if task.reason else "")
    counts = ", ".join(f"{n} {state}" for state, n in task.counts.items())
    return (counts or "not expanded yet") + (f" ({task.waits})" if task.waits else "")
