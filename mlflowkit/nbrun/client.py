"""Runs cells in a kernel and hands on what comes back. Knows no files and no tasks.

An `nbclient.NotebookClient`: displays, widgets and their state are nbclient's. Its loop
over a cell is our own, because a cell here ends in one of five ways (reply, deadline,
dead kernel, stop, broken listener) and each has to be told apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionComplete

from mlflowkit.nbrun.inside import PROGRESS_MIME
from mlflowkit.nbrun.stop import Stop

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.journal import JournaledRecord
    from mlflowkit.nbrun.kernels import KernelHandle

#: After a reply, "idle" follows at once; if the channel stays silent, it got lost.
_IDLE_SECONDS: Final = 10.0
#: How long an interrupted cell may take to stop.
_STOP_SECONDS: Final = 3.0
#: Text of an event about an output.
_EVENT_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request to the kernel ended."""

    #: "ok", "error", "timeout", "killed" or "interrupted".
    how: str
    reply: Mapping[str, Any] = field(default_factory=dict[str, Any])


#: kind, cell, facts
Tell = Callable[[str, int, dict[str, Any]], None]


class CellClient(NotebookClient):
    """Executes cells one after another and records what they put out."""

    def __init__(
        self, record: JournaledRecord, kernel: KernelHandle, tell: Tell, stop: Stop
    ) -> None:
        super().__init__(record.notebook, km=kernel.manager)
        self.kc = kernel.client
        self.kernel, self.record = kernel, record
        self._tell, self._stop = tell, stop
        #: It did not answer an interrupt: an orderly end would be waited for in vain.
        self.stuck = False
        #: Request → the cell it came from; late output of threads finds its cell.
        self._cells: dict[str, int] = {}
        self._idle: dict[str, asyncio.Event] = {}
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._heard = asyncio.Event()
        self._pumps = [
            asyncio.create_task(self._pump_iopub()),
            asyncio.create_task(self._pump_shell()),
        ]
        self._died = asyncio.create_task(kernel.died())
        self._stopped = asyncio.create_task(stop.asked())

    async def close(self) -> None:
        """Stop listening."""
        tasks = [*self._pumps, self._died, self._stopped]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
        request = self._send(cell.source, silent=False)
        self._cells[request] = index
        ending = await self._ending(request, timeout)
        if ending.how == "killed":
            await self._drain()
        self.stuck = ending.how in ("timeout", "interrupted") and not ending.reply
        return ending

    async def run_silently(self, code: str, timeout: float | None = None) -> Ending:
        """Execute code that no cell shows and no count counts."""
        return await self._ending(self._send(code, silent=True), timeout)

    def _send(self, code: str, *, silent: bool) -> str:
        assert self.kc is not None
        request: str = self.kc.execute(
            code,
            silent=silent,
            store_history=not silent,
            allow_stdin=False,
            stop_on_error=False,
        )
        self._idle[request] = asyncio.Event()
        self._replies[request] = asyncio.get_running_loop().create_future()
        return request

    async def _ending(self, request: str, timeout: float | None) -> Ending:
        done = asyncio.create_task(self._done(request))
        watched = {done, self._died, self._stopped, *self._pumps}
        try:
            await asyncio.wait(
                watched, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if done.done():
                return _from_reply(done.result())
            if self._died.done():
                return Ending("killed")
            for pump in self._pumps:
                if pump.done():
                    pump.result()  # raises what broke it
            how = "interrupted" if self._stopped.done() else "timeout"
            return Ending(how, await self._interrupted(done))
        finally:
            done.cancel()
            self._idle.pop(request, None)
            self._replies.pop(request, None)

    async def _interrupted(self, done: asyncio.Task[dict[str, Any]]) -> Mapping[str, Any]:
        await self.kernel.interrupt()
        both = {done, self._died}
        await asyncio.wait(both, timeout=_STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return done.result() if done.done() and not done.cancelled() else {}

    async def _done(self, request: str) -> dict[str, Any]:
        """Wait for the reply and for the last output that belongs to it."""
        idle = self._idle[request]
        reply = await self._replies[request]
        while not idle.is_set():
            self._heard.clear()
            waiting = [
                asyncio.create_task(idle.wait()),
                asyncio.create_task(self._heard.wait()),
            ]
            ready, _ = await asyncio.wait(
                waiting, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in waiting:
                task.cancel()
            if not ready:
                break
        return reply

    async def _drain(self) -> None:
        """Take in what a dead kernel had still sent."""
        quiet = False
        while not quiet:
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), 0.1)
            except TimeoutError:
                quiet = True

    # ── messages ──

    async def _pump_shell(self) -> None:
        assert self.kc is not None
        while True:
            message = await _next(self.kc.shell_channel)
            waiting = self._replies.get(message["parent_header"].get("msg_id", ""))
            if waiting is not None and not waiting.done():
                waiting.set_result(message["content"])

    async def _pump_iopub(self) -> None:
        assert self.kc is not None
        while True:
            self._take(await _next(self.kc.iopub_channel))
            self._heard.set()

    def _take(self, message: dict[str, Any]) -> None:
        request = message["parent_header"].get("msg_id", "")
        cell = self._cells.get(request, -1)
        data = message["content"].get("data")
        if message["msg_type"] == "display_data" and isinstance(data, dict):
            facts = data.get(PROGRESS_MIME)
            if isinstance(facts, dict):
                self._tell("progress", cell, facts)
                return
        try:
            if cell >= 0:
                self.process_message(message, self.nb.cells[cell], cell)
            elif message["content"].get("execution_state") == "idle":
                raise CellExecutionComplete
        except CellExecutionComplete:
            if request in self._idle:
                self._idle[request].set()

    # ── what nbclient would put into the notebook itself ──

    def output(
        self,
        outs: list[NotebookNode],
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
    ) -> NotebookNode | None:
        """Record an output."""
        from nbformat.v4 import output_from_msg

        if self.output_hook_stack[msg["parent_header"].get("msg_id", "")]:
            return super().output(outs, msg, display_id, cell_index)
        content = msg["content"]
        if msg["msg_type"] == "stream":
            kept = self.record.stream(cell_index, content["name"], content["text"])
            self._tell_output(cell_index, "stream", kept, name=content["name"])
            return None
        try:
            output = output_from_msg(msg)  # type: ignore[no-untyped-call]  # untyped
        except ValueError:
            return None  # a kind of message that notebooks do not hold
        self.record.output(cell_index, output, display_id)
        self._tell_output(cell_index, output.output_type, _text_of(output))
        return None

    def _tell_output(self, cell: int, output_type: str, text: str, **facts: str) -> None:
        if text or output_type != "stream":
            shown = text if len(text) <= _EVENT_TEXT else "…" + text[-_EVENT_TEXT:]
            self._tell(
                "cell_output",
                cell,
                {"output_type": output_type, "text": shown, **facts},
            )

    def clear_output(
        self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int
    ) -> None:
        """Record that a cell's outputs are cleared."""
        if self.output_hook_stack[msg["parent_header"].get("msg_id", "")]:
            super().clear_output(outs, msg, cell_index)
            return
        self.record.clear(cell_index, bool(msg["content"].get("wait")))

    def _update_display_id(self, display_id: str, msg: dict[str, Any]) -> None:
        content = msg["content"]
        self.record.update(display_id, content["data"], content.get("metadata") or {})
        if msg["msg_type"] == "update_display_data":
            cell = self._cells.get(msg["parent_header"].get("msg_id", ""), -1)
            self._tell_output(cell, "update_display_data", _text_of(content))


async def _next(channel: Any) -> dict[str, Any]:
    message: dict[str, Any] = await channel.get_msg(timeout=None)
    return message


def _from_reply(reply: dict[str, Any]) -> Ending:
    return Ending("ok" if reply.get("status") == "ok" else "error", reply)


def _text_of(output: Mapping[str, Any]) -> str:
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return str(output.get("data", {}).get("text/plain", ""))
