"""One execution of one prepared notebook: kernel, cells, values, written notebook.

The order of things at the end is fixed: values out, the kernel's end and the written
notebook, then the answer or the error. A cell that was not reached is never touched.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlflowkit.errors import (
    ArtifactNotStored,
    CellFailed,
    KernelWithoutMlflowkit,
    MlflowkitError,
    NotebookStopped,
    ReturnMissing,
    TaskSkipped,
    UserError,
)
from mlflowkit.nbrun import (
    asking,
    failures,
    going_on,
    handing,
    holding,
    iofolder,
    kernels,
    record,
)
from mlflowkit.nbrun.cells import exited, is_run, left_in_peace, may_raise, source_line
from mlflowkit.nbrun.client import CellClient, Ending
from mlflowkit.nbrun.holding import may_hold
from mlflowkit.nbrun.hooks import Restored
from mlflowkit.nbrun.iofolder import IOFolder, Returned
from mlflowkit.nbrun.journal import JournaledRecord, now
from mlflowkit.nbrun.leaving import Left
from mlflowkit.nbrun.plan import Plan
from mlflowkit.nbrun.private import PrivateFolder
from mlflowkit.nbrun.stop import Stop
from mlflowkit.nbrun.timelimit import TimeLimit
from mlflowkit.nbrun.verdict import INSIDE, TUNING, Judge
from mlflowkit.ports import CellEvent

if TYPE_CHECKING:
    from nbformat import NotebookNode

T = TypeVar("T")

_STATUS: Final = {
    "ok": record.COMPLETED,
    "error": record.FAILED,
    "timeout": record.TIMEOUT,
    "killed": record.KILLED,
    "interrupted": record.INTERRUPTED,
}


class Execution:
    """Used once."""

    def __init__(
        self, plan: Plan, on_event: Callable[[CellEvent], None], stop: Stop
    ) -> None:
        self._plan, self._on_event, self._stop = plan, on_event, stop
        self._begun = monotonic()
        self._time = TimeLimit(plan.timeout)
        self._inside = False
        #: The cell that called `exit_notebook`, and what it said.
        self._left: tuple[int, Left] | None = None
        #: What is said of its kernel, if that is held.
        self._held: Mapping[str, Any] = {}
        #: The environment that its kernel was given.
        self._given: Mapping[str, str] = {}
        #: It is going to be held, and what cells left running in it, too.
        self._rests = False
        self._io: IOFolder
        self._record: JournaledRecord
        self._kernel: kernels.KernelHandle
        self._client: CellClient
        self._judge: Judge

    def _tell(self, kind: str, cell: int, facts: dict[str, Any]) -> None:
        self._on_event(CellEvent(kind=kind, cell=cell, facts=facts))

    async def run(self) -> dict[str, object]:
        """Run to the end. Raises as `NotebookEngine.run`."""
        self._stop.attach()
        with PrivateFolder() as folder:
            self._hand_over(folder.path)
            with asking.answering(self._io.path):
                self._kernel = await self._unless_stopped(self._start(folder.path))
                try:
                    return await self._recorded()
                finally:
                    await self._kernel.end()

    def _hand_over(self, folder: Path) -> None:
        plan = self._plan
        artifacts = plan.artifacts or folder / "artifacts"
        told = iofolder.Settings(artifacts=str(artifacts), where=plan.where)
        self._io = IOFolder.create(folder / "io", told)
        if plan.objects:
            self._io.give(plan.objects, plan.where)

    async def _start(self, folder: Path) -> kernels.KernelHandle:
        plan = self._plan
        more = {iofolder.ENV_FOLDER: str(self._io.path)}
        if plan.state_dir is not None:
            more[iofolder.ENV_STATE] = str(plan.state_dir)
        env = kernels.kernel_environment(os.environ, **more)
        cells = [cell.source for cell in plan.notebook.cells if is_run(cell)]
        self._given = env
        start = plan.start or kernels.start_kernel
        return await start(plan.spec, plan.cwd, env, folder, cells)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stop.asked())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            raise NotebookStopped(f"{self._plan.where} was stopped before its first cell")
        return task.result()

    # ── between the kernel's start and its end ──

    async def _recorded(self) -> dict[str, object]:
        plan = self._plan
        self._record = JournaledRecord(plan.notebook, plan.output, plan.output_limit)
        self._judge = Judge(plan, self._kernel, self._record, self._io)
        status = record.FAILED
        try:
            self._record.begin(now())
            values = await self._through_cells()
            status = record.COMPLETED
            return values
        except TaskSkipped:
            status = record.SKIPPED
            raise
        except CellFailed as exc:
            status = _STATUS[exc.status]
            await self._hold(exc)
            raise
        except ArtifactNotStored as exc:
            self._say_in_running_cells(exc)
            raise
        finally:
            stopped = self._stop.wanted and status != record.TIMEOUT
            await self._finish(record.INTERRUPTED if stopped else status)

    def _say_in_running_cells(self, exc: MlflowkitError) -> None:
        """The disk is full: what can still be said of it stands where it happened."""
        told = failures.as_output(type(exc).__name__, str(exc))
        for cell in self._record.running():
            self._record.output(cell, told, None)

    async def _hold(self, error: CellFailed) -> None:
        """A person may want to look at what failed."""
        if not self._stop.wanted:
            output = str(self._plan.output)
            self._held = await holding.hold(self._plan.keep, self._kernel, error, output)

    async def _rest(self, index: int, error: CellFailed) -> None:
        """Its kernel is going to be held: it has to know how it was left."""
        plan = self._plan
        self._rests = not self._stop.wanted and may_hold(plan.keep, self._kernel, error)
        if self._rests and self._inside:
            began = self._record.started_at(index) or now()
            left = going_on.left_behind(plan, index, error, began, self._given)
            await going_on.rest(self._client, self._io, left)

    async def _finish(self, status: str) -> None:
        ending = asyncio.create_task(self._kernel.end())
        await asyncio.sleep(0)  # it has been asked to; meanwhile, the notebook is written
        try:
            self._written_as(status)
        finally:
            await ending
        told = {"status": status, "seconds": round(monotonic() - self._begun, 3)}
        self._tell("notebook_ended", -1, told | {"output": str(self._plan.output)})

    def _written_as(self, status: str) -> None:
        for cell in self._record.running():
            at = now()
            seconds = (at - (self._record.started_at(cell) or at)).total_seconds()
            self._record.cell_ended(cell, record.INTERRUPTED, at, seconds, None)
        more: dict[str, Any] = dict(self._plan.hooks.facts())
        if self._held:
            more["held"] = dict(self._held)
        if self._left is not None:
            more["left"] = {"cell": self._left[0], "state": self._left[1].state}
        self._record.finish(status, now(), **more)
        self._write()

    def _write(self) -> None:
        """Write the notebook. Where that fails after something else did, that is the error."""
        failed = sys.exception()
        try:
            self._record.write(self._plan.output)
        except ArtifactNotStored as exc:
            if failed is None:
                raise
            failed.add_note(f"Its executed notebook could not be written: {exc}")

    async def _through_cells(self) -> dict[str, object]:
        self._client = CellClient(
            self._record, self._kernel, self._tell, self._stop, self._take_values
        )
        self._client.heard = self._plan.heard
        try:
            await self._set_up()
            for index, cell in enumerate(self._plan.notebook.cells):
                if not is_run(cell):
                    self._record.cell_passed(index)
                elif await self._run_or_pass(index, cell):
                    break
            return await self._values()
        finally:
            with suppress(TypeError):  # nbclient's own, where a widget's state is odd
                self._client.set_widgets_metadata()
            ends = self._inside and not self._stop.wanted and not self._rests
            if ends and self._kernel.has_children():
                await self._client.run_silently(
                    f"{INSIDE}.end_children()", kernels.END_SECONDS
                )
            await self._client.close()
            if self._client.stuck:
                await self._kernel.end(0)

    async def _set_up(self) -> None:
        plan, info = self._plan, self._kernel.info
        if "language_info" in info:
            plan.notebook.metadata["language_info"] = info["language_info"]
        code_cells = sum(is_run(cell) for cell in plan.notebook.cells)
        facts = {"cells": code_cells, "kernel": plan.spec.display_name}
        facts |= {"pid": self._kernel.pid, **self._kernel.how_started()}
        self._tell("notebook_started", -1, facts)
        needed = [*plan.objects, *plan.returns, *plan.optional]
        why = f"its language is {plan.language}"
        if self._kernel.inside:
            self._inside = True
        elif plan.language == "python":
            ending = await self._client.run_silently(f"{INSIDE}.start(); {TUNING}.apply()")
            self._inside = ending.how == "ok"
            why = f"{ending.reply.get('ename')}: {ending.reply.get('evalue')}"
        if needed and not self._inside:
            what = f"handing {needed[0]!r} to or from {plan.name}"
            raise KernelWithoutMlflowkit(plan.spec.display_name, what, why)
        if self._inside:
            await plan.hooks.kernel_ready(self._client)

    # ── one cell ──

    async def _run_or_pass(self, index: int, cell: NotebookNode) -> bool:
        """What the hooks say of a cell. Returns whether the notebook ends here, in peace."""
        answer = await self._plan.hooks.before_cell(index, cell)
        if isinstance(answer, Restored):
            status = record.KEPT if answer.kept else record.RESTORED
            self._record.cell_restored(index, answer.outputs, answer.count, status)
            self._tell("cell_ended", index, {"status": status, "seconds": 0.0})
            return False
        if answer == "skip":
            self._record.cell_passed(index)
            return False
        return await self._cell(index, cell, replayed=answer == "replay")

    async def _cell(self, index: int, cell: NotebookNode, *, replayed: bool) -> bool:
        """Execute a cell. Returns whether the notebook ends here, in peace."""
        begun = monotonic()
        self._record.cell_started(index, now(), replayed=replayed)
        self._client.teller.begin(index, source_line(cell.source))
        ending, whole = await self._in_time(index, cell)
        left = left_in_peace(ending)
        fine = ending.how == "ok" or left or may_raise(cell, ending)
        how = "ok" if fine else ending.how
        ask = self._client if self._inside else None
        failed = None if fine else await self._judge.cell_failed(index, ending, ask, whole)
        seconds = monotonic() - begun
        count = ending.reply.get("execution_count")
        self._record.cell_ended(index, _STATUS[how], now(), seconds, count)
        self._client.teller.end(index, how, seconds)
        await self._plan.hooks.after_cell(index, cell, ending, seconds)
        if failed is not None:
            await self._rest(index, failed)
            raise failed
        if exited(ending):
            self._left = (index, Left.read(self._io))
        return left

    async def _in_time(self, index: int, cell: NotebookNode) -> tuple[Ending, bool]:
        """Run a cell within its time and the notebook's. Also returns whether it was the
        notebook's that ran out."""
        limit = self._time.for_cell(self._plan.cell_timeout)
        ending = await self._client.run_cell(cell, index, limit)
        if ending.how == "interrupted" and self._time.is_nearly_over():
            return Ending("timeout", ending.reply), True
        return ending, ending.how == "timeout" and self._time.is_over()

    # ── values ──

    def _take_values(self, values: Mapping[str, object]) -> None:
        """What a kernel handed on by a message becomes values that were pushed."""
        handing.take(self._io, values, self._plan.where)

    async def _values(self) -> dict[str, object]:
        plan = self._plan
        self._raise_if_skipped()
        returned = Returned()
        if plan.returns or plan.optional:
            returns, optional = list(plan.returns), list(plan.optional)
            if self._left is not None:  # it ended before it could assign them all
                returns, optional = [], [*returns, *optional]
            code = f"{INSIDE}.collect({returns!r}, {optional!r})"
            ending = await self._client.run_silently(code)
            if ending.how != "ok":
                raise await self._judge.not_collected(ending)
            returned = self._io.returned()
        if returned.missing:
            missing = ReturnMissing(plan.name, returned.missing[0], returned.known)
            raise self._with_pushed(missing)
        if returned.refused:
            raise self._with_pushed(handing.refusal(returned.refused))
        return self._io.load(self._io.pushed()) | self._io.load(returned.values)

    def _raise_if_skipped(self) -> None:
        if self._left is None or self._left[1].state != "skipped":
            return
        cell, left = self._left
        why = f": {left.why}" if left.why else ""
        raise TaskSkipped(f"{self._plan.where} skipped itself in cell {cell + 1}{why}")

    def _with_pushed(self, error: UserError) -> UserError:
        """What the notebook pushed stays readable, as after a cell that failed."""
        vars(error)["values"] = self._judge.pushed()
        return error
