"""Judges how a cell ended: makes the CellFailed that says what happened, and all that is known.

Reads the record, the kernel and the folder; changes none of them, but for one error output
where the kernel could not write its own.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlflowkit.errors import CellFailed, UserError
from mlflowkit.nbrun import failures
from mlflowkit.nbrun.client import Ending

if TYPE_CHECKING:
    from mlflowkit.nbrun.client import CellClient
    from mlflowkit.nbrun.iofolder import IOFolder
    from mlflowkit.nbrun.journal import JournaledRecord
    from mlflowkit.nbrun.kernels import KernelHandle
    from mlflowkit.nbrun.plan import Plan

#: Python that reaches our side of the kernel without leaving a name behind.
INSIDE: Final = "__import__('mlflowkit.nbrun.inside', fromlist=['start'])"
#: Asking a kernel what kind of exception it saw.
_ASK_SECONDS: Final = 5.0


class Judge:
    """For one execution."""

    def __init__(
        self, plan: Plan, kernel: KernelHandle, record: JournaledRecord, io: IOFolder
    ) -> None:
        self._plan, self._kernel, self._record, self._io = plan, kernel, record, io
        self._oom_before = failures.oom_kills()

    async def cell_failed(
        self, index: int, ending: Ending, ask: CellClient | None
    ) -> CellFailed:
        """The error of a cell that did not end well.

        Args:
            index: The cell.
            ending: How it ended; not "ok".
            ask: Asked what kind of exception it was; None where the kernel has no mlflowkit.
        """
        retryable, hint = True, ""
        if ending.how == "error":
            ename, evalue = (
                str(ending.reply.get("ename")),
                str(ending.reply.get("evalue")),
            )
            hint = failures.hint_for(ename)
            retryable = ask is None or not await self._is_user_error(ask, ename)
        else:
            ename, evalue, hint = await self._ended_otherwise(ending)
            told = {
                "ename": ename,
                "evalue": evalue,
                "traceback": [f"{ename}: {evalue}"],
            }
            self._record.output(index, {"output_type": "error", **told}, None)
        return CellFailed(
            self._plan.name,
            index,
            status=ending.how,
            source=self._plan.notebook.cells[index].source,
            ename=ename,
            evalue=evalue,
            traceback=failures.own_frames(ending.reply.get("traceback") or []),
            stream=self._record.outputs.text(index),
            output=str(self._plan.output),
            values=self._pushed(),
            retryable=retryable,
            hint=hint,
        )

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
            values=self._pushed(),
            hint=hint,
        )

    async def _ended_otherwise(self, ending: Ending) -> tuple[str, str, str]:
        if ending.how == "timeout":
            said = f"the cell took more than its {self._plan.cell_timeout:g} s"
            return "CellTimeout", said, "Give it more time with cell_timeout=."
        if ending.how == "interrupted":
            return "Interrupted", "the task was asked to stop while this cell ran", ""
        status = await self._kernel.died()
        oom = failures.oom_kills() > self._oom_before
        said, hint = failures.death(status, self._kernel.peak_bytes, oom)
        tail = self._kernel.log_tail()
        return "KernelDied", f"{said}\n{tail}" if tail else said, hint

    async def _is_user_error(self, ask: CellClient, ename: str) -> bool:
        await ask.run_silently(f"{INSIDE}.describe_error()", _ASK_SECONDS)
        raised = self._io.raised()
        return raised.ename == ename and raised.user_error

    def _pushed(self) -> dict[str, object]:
        """What can be read of what was pushed; the failure matters more than the rest."""
        values: dict[str, object] = {}
        for name, stored in self._io.pushed().items():
            with suppress(UserError):
                values |= self._io.load({name: stored})
        return values
