"""Judges how a cell ended: makes the CellFailed that says what happened, and all that is known.

Reads the record, the kernel and the folder; changes none of them, but for one error output
where the kernel could not write its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.errors import CellFailed, UserError
from mlflowkit.nbrun import failures, usage
from mlflowkit.nbrun.client import BROKEN, Ending
from mlflowkit.worker.memory_group import MemoryGroup

if TYPE_CHECKING:
    from mlflowkit.nbrun.client import CellClient
    from mlflowkit.nbrun.iofolder import IOFolder
    from mlflowkit.nbrun.journal import JournaledRecord
    from mlflowkit.nbrun.kernels import KernelHandle
    from mlflowkit.nbrun.plan import Plan

#: Python that reaches our side of the kernel without leaving a name behind.
INSIDE: Final = "__import__('mlflowkit.nbrun.inside', fromlist=['start'])"
TUNING: Final = "__import__('mlflowkit.nbrun.kernel_tuning', fromlist=['apply'])"
#: What ipykernel says of an error that a display, and not the cell, raised.
_NOTHING: Final = "NoneType"
#: Asking a kernel what kind of exception it saw.
_ASK_SECONDS: Final = 5.0


class Judge:
    """For one execution."""

    def __init__(
        self, plan: Plan, kernel: KernelHandle, record: JournaledRecord, io: IOFolder
    ) -> None:
        self._plan, self._kernel, self._record, self._io = plan, kernel, record, io
        self._group = MemoryGroup.of(kernel.pid)
        self._killed_before = self._group.kills()

    async def cell_failed(
        self, index: int, ending: Ending, ask: CellClient | None, whole: bool = False
    ) -> CellFailed:
        """The error of a cell that did not end well.

        Args:
            index: The cell.
            ending: How it ended; not "ok".
            ask: Asked what kind of exception it was; None where the kernel has no mlflowkit.
            whole: It was the time of the whole notebook that ran out.
        """
        retryable, traceback = True, list[str]()
        source = self._plan.notebook.cells[index].source
        count = ending.reply.get("execution_count")
        if ending.how == "error":
            ename, evalue, traceback = self._raised(index, ending)
            hint = failures.hint_for(ename, evalue, self._memory())
            if ask is not None and ename != BROKEN:
                retryable = not await self._is_user_error(ask, ename)
        else:
            traceback = ending.reply.get("traceback") or []
            ename, evalue, hint = await self._ended_otherwise(ending, whole)
        if ending.how != "error" or ename == BROKEN:
            self._record.output(index, failures.as_output(ename, evalue), None)
        return CellFailed(
            self._plan.name,
            index,
            status=ending.how,
            source=source,
            ename=ename,
            evalue=evalue,
            line=failures.line_of_cell(source, traceback, count),
            traceback=failures.own_frames(traceback),
            stream=self._record.outputs.text(index),
            output=str(self._plan.output),
            values=self.pushed(),
            retryable=retryable,
            hint=hint,
        )

    def _raised(self, index: int, ending: Ending) -> tuple[str, str, list[str]]:
        """Class and text of what a cell raised, and its traceback."""
        reply = ending.reply
        if reply.get("ename") == _NOTHING:
            reply = self._shown_error(index) or reply
        # bash says nothing but a number: its exit status
        ename, evalue = str(reply.get("ename") or "Error"), str(reply.get("evalue"))
        return ename, evalue, list(reply.get("traceback") or [])

    def _shown_error(self, cell: int) -> Mapping[str, Any] | None:
        """The last error among a cell's outputs: a broken `_repr_html_` is told there alone."""
        outputs = self._plan.notebook.cells[cell].get("outputs", [])
        errors = (out for out in reversed(outputs) if out["output_type"] == "error")
        return next(errors, None)

    async def not_collected(self, ending: Ending) -> CellFailed:
        """The error of a notebook whose cells ran, and whose values could not be taken out."""
        names = ", ".join([*self._plan.returns, *self._plan.optional])
        if ending.how == "error":
            ename, evalue = (
                str(ending.reply.get("ename")),
                str(ending.reply.get("evalue")),
            )
            hint = ""
        else:
            ename, evalue, hint = await self._ended_otherwise(ending)
        return CellFailed(
            self._plan.name,
            len(self._plan.notebook.cells) - 1,
            status=ending.how,
            source=f"# after the last cell, taking out: {names}",
            ename=ename,
            evalue=evalue,
            output=str(self._plan.output),
            values=self.pushed(),
            hint=hint,
        )

    def _memory(self) -> tuple[int, int]:
        """The most memory the kernel had, and the most that it may have; 0: not known."""
        pid = self._kernel.pid
        peak = max(usage.of(pid).peak, self._kernel.peak_bytes)
        return peak, usage.memory_limit(pid)

    async def _ended_otherwise(
        self, ending: Ending, whole: bool = False
    ) -> tuple[str, str, str]:
        if ending.how == "timeout" and whole:
            said = f"the notebook took more than its {self._plan.timeout:g} s"
            return "NotebookTimeout", said, "Give it more time with execution_timeout=."
        if ending.how == "timeout":
            said = f"the cell took more than its {self._plan.cell_timeout:g} s"
            return "CellTimeout", said, "Give it more time with cell_timeout=."
        if ending.how == "interrupted":
            return "Interrupted", "the task was asked to stop while this cell ran", ""
        status = await self._kernel.died()
        oom = self._group.kills() > self._killed_before
        memory = self._kernel.peak_bytes, self._group.limit()
        said, hint = failures.death(status, memory, oom)
        tail = self._kernel.log_tail()
        return "KernelDied", f"{said}\n{tail}" if tail else said, hint

    async def _is_user_error(self, ask: CellClient, ename: str) -> bool:
        await ask.run_silently(f"{INSIDE}.describe_error()", _ASK_SECONDS)
        raised = self._io.raised()
        return raised.ename == ename and raised.user_error

    def pushed(self) -> dict[str, object]:
        """What can be read of what was pushed; the failure matters more than the rest."""
        values: dict[str, object] = {}
        for name, stored in self._io.pushed().items():
            with suppress(UserError):
                values |= self._io.load({name: stored})
        return values
