"""The outputs of cells as they grow: streams that merge and redraw, displays that update.

Rule: every change comes in as plain data, so that the same changes read back from a
journal give the same notebook. Nothing here knows kernels, files or clocks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Characters of one output that are kept.
LIMIT: Final = 10 * 1024 * 1024

_REDRAWN: Final = re.compile(r"[^\n]*\r(?=[^\r\n])")
_ERASED: Final = re.compile(r"[^\n\x08]\x08")


@dataclass(slots=True)
class Stream:
    """One stdout or stderr output. `\\r` and backspaces redraw its last line, as a terminal does."""

    node: NotebookNode
    limit: int
    #: Finished text, and its length.
    done: list[str] = field(default_factory=list[str])
    size: int = 0
    #: The line that may still be redrawn.
    tail: str = ""
    cut: int = 0

    def room(self, text: str) -> str:
        """The part of `text` that still fits."""
        return text[: max(0, self.limit - self.size - len(self.tail))]

    def append(self, text: str, cut: int = 0) -> None:
        self.cut += cut
        fresh = self.tail + text
        if "\b" in fresh:
            fresh = _erase(fresh)
        if "\r" in fresh:
            fresh = _REDRAWN.sub("", fresh.replace("\r\n", "\n"))
        head, line_end, self.tail = fresh.rpartition("\n")
        self.done.append(head + line_end)
        self.size += len(head) + len(line_end)

    def settle(self) -> None:
        """Write the text into the notebook."""
        note = _cut_note(self.cut, self.limit) if self.cut else ""
        self.done = ["".join(self.done)]
        self.node["text"] = f"{self.done[0]}{self.tail}{note}"


def _erase(text: str) -> str:
    while True:
        shorter = _ERASED.sub("", text)
        if shorter == text:
            return text.replace("\b", "")
        text = shorter


def _cut_note(cut: int, limit: int) -> str:
    return f"\n[mlflowkit: {_mb(cut)} more were cut; an output may have {_mb(limit)}]\n"


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


class Outputs:
    """The outputs of all cells of one notebook."""

    def __init__(self, notebook: NotebookNode, limit: int = LIMIT) -> None:
        self._notebook, self.limit = notebook, limit
        self._streams: dict[int, list[Stream]] = {}
        self._displays: dict[str, list[NotebookNode]] = {}
        self._clear_next: set[int] = set()

    def stream(self, cell: int, name: str, text: str, cut: int = 0) -> tuple[str, int]:
        """Append to stdout or stderr. Returns what was kept, and how much was not."""
        self._clear_if_asked(cell)
        stream = self._open_stream(cell, name)
        kept = stream.room(text)
        cut += len(text) - len(kept)
        stream.append(kept, cut)
        return kept, cut

    def _open_stream(self, cell: int, name: str) -> Stream:
        from nbformat.v4 import new_output

        outputs = self._notebook.cells[cell].outputs
        streams = self._streams.setdefault(cell, [])
        if (
            outputs
            and streams
            and outputs[-1] is streams[-1].node
            and outputs[-1].name == name
        ):
            return streams[-1]
        outputs.append(new_output("stream", name=name, text=""))  # type: ignore[no-untyped-call]  # untyped
        streams.append(Stream(outputs[-1], self.limit))
        return streams[-1]

    def output(
        self, cell: int, output: dict[str, Any], display_id: str | None = None
    ) -> dict[str, Any]:
        """Append a display, a result or an error. Returns it as it was kept."""
        from nbformat import from_dict

        self._clear_if_asked(cell)
        kept = self._within_limit(output)
        node = from_dict(kept)  # type: ignore[no-untyped-call]  # untyped
        self._notebook.cells[cell].outputs.append(node)
        if display_id:
            self._displays.setdefault(display_id, []).append(node)
        return kept

    def update(
        self, display_id: str, data: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        """Draw a display again, wherever it stands."""
        from nbformat import from_dict

        kept = self._within_limit({"data": data, "metadata": metadata})
        for node in self._displays.get(display_id, ()):
            node["data"] = from_dict(kept["data"])  # type: ignore[no-untyped-call]  # untyped
            node["metadata"] = from_dict(kept["metadata"])  # type: ignore[no-untyped-call]  # untyped

    def clear(self, cell: int, wait: bool) -> None:
        """Clear a cell's outputs: now, or when the next one comes."""
        if wait:
            self._clear_next.add(cell)
            return
        self._clear_next.discard(cell)
        gone = self._notebook.cells[cell].outputs
        for nodes in self._displays.values():
            nodes[:] = [node for node in nodes if not any(node is each for each in gone)]
        self._notebook.cells[cell].outputs = []
        self._streams.pop(cell, None)

    def _clear_if_asked(self, cell: int) -> None:
        if cell in self._clear_next:
            self.clear(cell, wait=False)

    def settle(self, cell: int | None = None) -> None:
        """Write the texts of the streams into the notebook: of one cell, or of all."""
        for at in [cell] if cell is not None else list(self._streams):
            for stream in self._streams.get(at, ()):
                stream.settle()

    def text(self, cell: int, most: int = 4000) -> str:
        """The end of what a cell printed, for messages."""
        self.settle(cell)
        outputs = self._notebook.cells[cell].get("outputs", [])
        shown = "".join(out["text"] for out in outputs if out["output_type"] == "stream")
        return shown if len(shown) <= most else "…" + shown[-most:]

    def _within_limit(self, output: dict[str, Any]) -> dict[str, Any]:
        data = output.get("data")
        if not isinstance(data, dict):
            return output
        sizes = {mime: _size(value) for mime, value in data.items()}
        if max(sizes.values(), default=0) <= self.limit:
            return output
        kept = {mime: value for mime, value in data.items() if sizes[mime] <= self.limit}
        cut = ", ".join(f"{m} of {_mb(s)}" for m, s in sizes.items() if s > self.limit)
        note = f"[mlflowkit: {cut} was cut; an output may have {_mb(self.limit)}]"
        kept["text/plain"] = f"{kept.get('text/plain', '')}\n{note}".strip()
        return {**output, "data": kept}


def _size(value: object) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value, default=str))
