"""One execution of one prepared notebook: kernel, cells, values, written notebook.

The order of things at the end is fixed: values out, kernel ended, notebook written, then
the answer or the error. A cell that was not reached is never touched.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlflowkit.errors import (
    CannotSerialize,
    CellFailed,
    KernelWithoutMlflowkit,
    NotebookStopped,
    PathNotFound,
    ReturnMissing,
    UserError,
)
from mlflowkit.nbrun import asking, iofolder, kernels, record
from mlflowkit.nbrun.client import CellClient, Ending
from mlflowkit.nbrun.iofolder import IOFolder, Returned
from mlflowkit.nbrun.journal import JournaledRecord, now
from mlflowkit.nbrun.plan import Plan
from mlflowkit.nbrun.private import PrivateFolder
from mlflowkit.nbrun.stop import Stop
from mlflowkit.nbrun.verdict import INSIDE, Judge
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
        self._inside = False
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
        return await kernels.start_kernel(plan.spec, plan.cwd, env, folder)

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
        except CellFailed as exc:
            status = _STATUS[exc.status]
            raise
        finally:
            await self._finish(record.INTERRUPTED if self._stop.wanted else status)

    async def _finish(self, status: str) -> None:
        await self._kernel.end()
        for cell in self._record.running():
            at = now()
            seconds = (at - (self._record.started_at(cell) or at)).total_seconds()
            self._record.cell_ended(cell, record.INTERRUPTED, at, seconds, None)
        self._record.finish(status, now())
        self._record.write(self._plan.output)
        seconds = round(monotonic() - self._begun, 3)
        facts = {"status": status, "seconds": seconds, "output": str(self._plan.output)}
        self._tell("notebook_ended", -1, facts)

    async def _through_cells(self) -> dict[str, object]:
        self._client = CellClient(self._record, self._kernel, self._tell, self._stop)
        try:
            await self._set_up()
            for index, cell in enumerate(self._plan.notebook.cells):
                if not _is_run(cell):
                    self._record.cell_passed(index)
                elif await self._cell(index, cell):
                    break
            return await self._values()
        finally:
            with suppress(TypeError):  # nbclient's own, where a widget's state is odd
                self._client.set_widgets_metadata()
            if self._inside and not self._stop.wanted and self._kernel.has_children():
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
        code_cells = sum(_is_run(cell) for cell in plan.notebook.cells)
        facts = {
            "cells": code_cells,
            "kernel": plan.spec.display_name,
            "pid": self._kernel.pid,
        }
        self._tell("notebook_started", -1, facts)
        needed = [*plan.objects, *plan.returns, *plan.optional]
        why = f"its language is {plan.language}"
        if plan.language == "python":
            ending = await self._client.run_silently(f"{INSIDE}.start()")
            self._inside = ending.how == "ok"
            why = f"{ending.reply.get('ename')}: {ending.reply.get('evalue')}"
        if needed and not self._inside:
            what = f"handing {needed[0]!r} to or from {plan.name}"
            raise KernelWithoutMlflowkit(plan.spec.display_name, what, why)

    # ── one cell ──

    async def _cell(self, index: int, cell: NotebookNode) -> bool:
        """Execute a cell. Returns whether the notebook ends here, in peace."""
        begun = monotonic()
        self._record.cell_started(index, now())
        self._tell("cell_started", index, {"source": _first_line(cell.source)})
        ending = await self._client.run_cell(cell, index, self._plan.cell_timeout)
        left = _left_in_peace(ending)
        fine = ending.how == "ok" or left or _may_raise(cell, ending)
        how = "ok" if fine else ending.how
        ask = self._client if self._inside else None
        failed = None if fine else await self._judge.cell_failed(index, ending, ask)
        seconds = monotonic() - begun
        count = ending.reply.get("execution_count")
        self._record.cell_ended(index, _STATUS[how], now(), seconds, count)
        self._tell("cell_ended", index, {"status": how, "seconds": round(seconds, 3)})
        if failed is not None:
            raise failed
        return left

    # ── values ──

    async def _values(self) -> dict[str, object]:
        plan = self._plan
        returned = Returned()
        if plan.returns or plan.optional:
            code = f"{INSIDE}.collect({list(plan.returns)!r}, {list(plan.optional)!r})"
            ending = await self._client.run_silently(code)
            if ending.how != "ok":
                raise await self._judge.not_collected(ending)
            returned = self._io.returned()
        if returned.missing:
            raise ReturnMissing(plan.name, returned.missing[0], returned.known)
        if returned.refused:
            raise _refusal(returned.refused)
        return self._io.load(self._io.pushed()) | self._io.load(returned.values)


def _refusal(fields: dict[str, str]) -> UserError:
    facts = dict(fields)
    return (
        CannotSerialize(**facts) if facts.pop("kind") == "value" else PathNotFound(**facts)
    )


def _is_run(cell: NotebookNode) -> bool:
    tags = cell.metadata.get("tags", [])
    has_code = cell.cell_type == "code" and bool(cell.source.strip())
    return has_code and not record.SKIP_TAGS & set(tags)


def _may_raise(cell: NotebookNode, ending: Ending) -> bool:
    return ending.how == "error" and "raises-exception" in cell.metadata.get("tags", [])


def _left_in_peace(ending: Ending) -> bool:
    """`sys.exit()`, `sys.exit(0)` and `exit()` end a notebook early, and well."""
    if ending.how == "error":
        evalue = str(ending.reply.get("evalue"))
        return ending.reply.get("ename") == "SystemExit" and evalue in ("", "0", "None")
    payload = ending.reply.get("payload") or []
    return ending.how == "ok" and any(each.get("source") == "ask_exit" for each in payload)


def _first_line(code: str) -> str:
    lines = [line for line in code.splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
