"""Runs cells in a kernel and hands on what comes back. Knows no files and no tasks.

What comes back is for the `Hearer`; here is how a cell is waited for: it ends in one of five ways (reply, deadline, dead kernel, stop, broken
listener), each has to be told apart, and none may cost a task for every message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.nbrun.cells import runs_a_file
from mlflowkit.nbrun.hearing import Hearer
from mlflowkit.nbrun.leaving import LEFT
from mlflowkit.nbrun.request import Ending, Request
from mlflowkit.nbrun.stop import Stop
from mlflowkit.nbrun.telling import Tell
from mlflowkit.nbrun.wire import Wire

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.journal import JournaledRecord
    from mlflowkit.nbrun.kernels import KernelHandle

#: After a reply, "idle" follows at once; if the channel stays silent, it got lost.
_IDLE_SECONDS: Final = 10.0
#: After "idle" a reply follows at once, too; if none comes, the kernel broke over it.
_REPLY_SECONDS: Final = 3.0
BROKEN: Final = "KernelBroken"
_NO_REPLY: Final = {
    "status": "error",
    "ename": BROKEN,
    "evalue": "the kernel gave up on this cell before it ran: a cell may have replaced what "
    "the kernel itself needs, such as sys.stdout",
}
#: How long an interrupted cell may take to stop.
_STOP_SECONDS: Final = 3.0
#: How often its loop is woken meanwhile.
_WAKE_SECONDS: Final = 0.2
#: What a dead kernel had still sent is taken in until nothing came for this long …
_QUIET_SECONDS: Final = 0.1
#: … or for this long at most.
_DRAIN_SECONDS: Final = 5.0
#: How often texts that were put together are written down.
_BEAT_SECONDS: Final = 0.1

__all__ = ["CellClient", "Ending", "Tell"]


class CellClient(Hearer):
    """Executes cells one after another and records what they put out.

    Args:
        record: Where outputs go.
        kernel: Has answered once.
        tell: Hears of everything while it happens.
        stop: Ends the cell that runs.
        values: Takes values that a kernel of any language hands on, by name.
    """

    def __init__(
        self,
        record: JournaledRecord,
        kernel: KernelHandle,
        tell: Tell,
        stop: Stop,
        values: Callable[[Mapping[str, object]], None],
    ) -> None:
        super().__init__(record, kernel, tell, values)
        #: It did not answer an interrupt: an orderly end would be waited for in vain.
        self.stuck = False
        self._cut_short = ""
        self._wire = Wire(kernel, self._replied, self._take)
        self._tasks = [
            self._watch(kernel.died(), "killed"),
            self._watch(stop.asked(), "interrupted"),
            self._watch(self._beat(), ""),
        ]
        self._wire.reading.add_done_callback(self._broke)

    def _watch(self, waiting: Any, how: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(waiting)

        def ended(done: asyncio.Task[Any]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._broke(done)
            else:
                self._cut_all(how)

        task.add_done_callback(ended)
        return task

    def _cut_all(self, how: str) -> None:
        if self._cut_short != "killed":
            self._cut_short = how
        for request in self._requests.values():
            request.settle(self._cut_short)

    def _broke(self, task: asyncio.Task[Any]) -> None:
        """What a listener or the disk raised is raised where the cell is waited for."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._error = error
        for request in self._requests.values():
            if not request.over.done():
                request.over.set_exception(error)

    _error: BaseException | None = None

    async def close(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wire.close()

    # ── requests ──

    async def run_cell(
        self, cell: NotebookNode, index: int, timeout: float | None
    ) -> Ending:
        """Execute one cell.

        Args:
            cell: A code cell.
            index: Its position.
            timeout: Seconds until it is interrupted.
        """
        cell["metadata"]["execution"] = {}  # nbclient keeps Jupyter's own times here
        ending = await self._ask(cell.source, timeout, cell=index)
        if ending.how == "killed":
            await self._drain()
        self.record.flush()
        shown = self._shown.pop(index, None)
        if ending.how == "ok" and shown and _was_not_caught(cell, shown):
            ending = Ending("error", {**ending.reply, **shown, "status": "error"})
        self.stuck = ending.how in ("timeout", "interrupted") and not ending.reply
        return ending

    async def run_silently(self, code: str, timeout: float | None = None) -> Ending:
        """Execute code that no cell shows and no count counts."""
        return await self._ask(code, timeout, cell=-1)

    async def _ask(self, code: str, timeout: float | None, cell: int) -> Ending:
        if self._error is not None:
            raise self._error
        content = {
            "code": code,
            "silent": cell < 0,
            "store_history": cell >= 0,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        request = Request()
        name = self._wire.send("execute_request", content)
        self._requests[name] = request
        if cell >= 0:
            self._cells[name] = cell
        if self._cut_short:
            request.settle(self._cut_short)
        try:
            return await self._ending(request, timeout)
        finally:
            self._requests.pop(name, None)

    async def _ending(self, request: Request, timeout: float | None) -> Ending:
        deadline = None
        if timeout is not None:
            loop = asyncio.get_running_loop()
            deadline = loop.call_later(timeout, request.settle, "timeout")
        try:
            how = await request.over
        finally:
            if deadline is not None:
                deadline.cancel()
        if how in ("timeout", "interrupted"):
            return Ending(how, await self._interrupted(request))
        return _from_reply(request.reply or {}) if how == "done" else Ending(how)

    async def _interrupted(self, request: Request) -> Mapping[str, Any]:
        """Interrupt the cell. Returns its reply, if it stops within its time."""
        request.over = asyncio.get_running_loop().create_future()
        request.interrupted = True
        request.heard()
        await self.kernel.interrupt()
        until = monotonic() + _STOP_SECONDS
        while not request.over.done() and monotonic() < until:
            # A cell that awaits hears the signal when something wakes its loop.
            self._wire.send("kernel_info_request", {})
            await asyncio.wait([request.over], timeout=_WAKE_SECONDS)
        if request.over.done() and request.over.exception() is None:
            return request.reply or {}
        return {}

    async def _drain(self) -> None:
        """Take in what a dead kernel had still sent."""
        until = monotonic() + _DRAIN_SECONDS
        self._wire.heard_at = monotonic()
        while monotonic() < min(self._wire.heard_at + _QUIET_SECONDS, until):
            await asyncio.sleep(_QUIET_SECONDS / 4)

    async def _beat(self) -> None:
        """What has to happen now and then: texts are written, signs of life are told."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self.record.flush(older_than=_BEAT_SECONDS)
            self.teller.pulse()
            for request in self._requests.values():
                self._see_what_is_lost(request)

    def _see_what_is_lost(self, request: Request) -> None:
        """A reply without "idle", or "idle" without a reply: the other one does not come."""
        silent = monotonic() - max(request.heard_at, self._wire.heard_at)
        if request.reply is not None and silent > _IDLE_SECONDS:
            request.settle("done")
        elif request.reply is None and request.idle and silent > _REPLY_SECONDS:
            request.reply = _NO_REPLY
            request.settle("done")

    def _replied(self, message: dict[str, Any]) -> None:
        request = self._requests.get(message["parent_header"].get("msg_id", ""))
        if request is not None and message["msg_type"] == "execute_reply":
            request.reply, request.heard_at = message["content"], monotonic()
            request.heard()


def _was_not_caught(cell: NotebookNode, shown: Mapping[str, Any]) -> bool:
    return shown.get("ename") == LEFT or runs_a_file(cell.source)


def _from_reply(reply: dict[str, Any]) -> Ending:
    return Ending("ok" if reply.get("status") == "ok" else "error", reply)
