"""What comes from a kernel's iopub channel, and where it goes.

Displays, widgets and their state are nbclient's; outputs go to the record, signs of life to
who watches, progress and values to the engine. Sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionComplete

from mlflowkit.nbrun import shown
from mlflowkit.nbrun.inside import PROGRESS_MIME
from mlflowkit.nbrun.leaving import LEFT, VALUES_MIME
from mlflowkit.nbrun.request import Request
from mlflowkit.nbrun.telling import Tell, Teller

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.journal import JournaledRecord
    from mlflowkit.nbrun.kernels import KernelHandle


class Hearer(NotebookClient):
    """Takes messages in, one after another. See `CellClient` for the arguments."""

    def __init__(
        self,
        record: JournaledRecord,
        kernel: KernelHandle,
        tell: Tell,
        values: Callable[[Mapping[str, object]], None],
    ) -> None:
        super().__init__(record.notebook, km=kernel.manager)
        self.kc = kernel.client
        self.kernel, self.record = kernel, record
        self.teller = Teller(tell, kernel.pid)
        record.on_stream = self._streamed
        self._tell, self._values = tell, values
        #: See `Plan.heard`.
        self.heard: Callable[[str, str], None] | None = None
        #: Request → the cell it came from; late output of threads finds its cell.
        self._cells: dict[str, int] = {}
        self._requests: dict[str, Request] = {}
        #: The last error that a cell showed, and a reply may not speak of.
        self._shown: dict[int, dict[str, Any]] = {}

    def _take(self, message: dict[str, Any]) -> None:
        name = message["parent_header"].get("msg_id", "")
        kind, content = message["msg_type"], message["content"]
        if kind == "status":
            request = self._requests.get(name)
            if request is not None and content.get("execution_state") == "idle":
                request.idle, request.heard_at = True, monotonic()
                request.heard()
            return
        cell = self._cells.get(name, -1)
        if kind == "display_data" and self._for_us(cell, content.get("data")):
            return
        if cell < 0:
            return
        if kind == "stream" and not self.output_hook_stack[name]:
            self.record.stream(cell, str(content.get("name")), str(content.get("text")))
            return
        try:
            self.process_message(message, self.nb.cells[cell], cell)
        except CellExecutionComplete:  # a status, which does not come here
            return
        if kind == "comm_msg":
            self._bar_moved(cell, content)

    def _bar_moved(self, cell: int, content: Mapping[str, Any]) -> None:
        """A progress bar that is a widget (tqdm's in a notebook) is told as one of text is."""
        whole = self.widget_state.get(str(content.get("comm_id")), {})
        told = (content.get("data") or {}).get("state") or {}
        value, most = told.get("value"), whole.get("max")
        is_bar = str(whole.get("_model_name")).endswith("ProgressModel")
        if is_bar and isinstance(value, int | float) and isinstance(most, int | float):
            name = str(whole.get("description") or "")
            self.teller.output(cell, "widget", f"{name} {value:g} of {most:g}".strip())

    def _for_us(self, cell: int, data: object) -> bool:
        """Progress and values: displays that stand in no notebook."""
        if not isinstance(data, dict):
            return False
        facts, values = data.get(PROGRESS_MIME), data.get(VALUES_MIME)
        if isinstance(facts, dict):
            self.teller.progress(cell, facts)
            return True
        if isinstance(values, dict):
            self._values(values)
            return True
        return False

    def _streamed(self, cell: int, name: str, text: str) -> None:
        self.teller.output(cell, "stream", text, name=name)
        if self.heard is not None:
            self.heard(name, text)

    # ── what nbclient would put into the notebook itself ──

    def output(
        self,
        outs: list[NotebookNode],
        msg: dict[str, Any],
        display_id: str | None,
        cell_index: int,
    ) -> NotebookNode | None:
        """Record an output."""
        output = shown.output_of(msg)
        if output is None:
            return None  # a kind of message that notebooks do not hold
        if self.output_hook_stack[msg["parent_header"].get("msg_id", "")]:
            msg["content"].update(output)
            return super().output(outs, msg, display_id, cell_index)
        if msg["msg_type"] == "error":
            self._shown[cell_index] = msg["content"]
            if msg["content"].get("ename") == LEFT:
                return None  # no error: the notebook ends here, in peace
        kept = self.record.output(cell_index, output, display_id)
        if kept is not None:
            self.teller.output(cell_index, str(kept["output_type"]), _text_of(kept))
            if self.heard is not None and "data" in kept:
                self.heard("", _text_of(kept))
        return None

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
        data = shown.data_of(content.get("data"))
        metadata = shown.metadata_of(content.get("metadata"))
        kept = self.record.update(display_id, data, metadata)
        if msg["msg_type"] == "update_display_data":
            cell = self._cells.get(msg["parent_header"].get("msg_id", ""), -1)
            self.teller.output(cell, "update_display_data", _text_of({"data": kept}))


def _text_of(output: Mapping[str, Any]) -> str:
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return str(output.get("data", {}).get("text/plain", ""))
