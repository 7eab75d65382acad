"""The outputs of cells as they grow: streams that merge and redraw, displays that update.

Rule: every change comes in as plain data, so that the same changes read back from a
journal give the same notebook. Nothing here knows kernels, files or clocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflowkit.nbrun.limits import (
    LIMIT,
    Limits,
    cut_outputs,
    size_of,
    within,
)
from mlflowkit.nbrun.streams import Stream

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["LIMIT", "Outputs"]


@dataclass(slots=True)
class _Dropped:
    """Outputs of a cell that were not kept, and the output that says so."""

    #: Stands where the first of them would.
    note: NotebookNode
    count: int = 0
    size: int = 0
    why: str = ""

    def settle(self) -> None:
        self.note["text"] = cut_outputs(self.count, self.size, self.why)


def _as_text(output: NotebookNode) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    text = output.get("data", {}).get("text/plain", "")
    return f"{text}\n" if text else ""


class Outputs:
    """The outputs of all cells of one notebook."""

    def __init__(self, notebook: NotebookNode, limit: int = LIMIT) -> None:
        self._notebook, self.limit, self._limits = notebook, limit, Limits(limit)
        self._streams: dict[int, list[Stream]] = {}
        self._displays: dict[str, list[NotebookNode]] = {}
        self._clear_next: set[int] = set()
        self._sizes: defaultdict[int, int] = defaultdict(int)
        self._size = 0
        self._dropped: dict[int, _Dropped] = {}

    # ── streams ──

    def stream(self, cell: int, name: str, text: str, cut: int = 0) -> tuple[str, int]:
        """Append to stdout or stderr. Returns what was kept, and how much was not."""
        self._clear_if_asked(cell)
        stream = self._open_stream(cell, name)
        if stream is None:
            self._drop(cell, max(len(text), cut))
            return "", len(text) + cut
        before = stream.length
        kept = text[: max(0, self._room(cell, before))]
        cut += len(text) - len(kept)
        stream.append(kept, cut)
        self._count(cell, stream.length - before)
        if cut and not stream.why:
            reached = self._limits.reached
            why = reached(stream.length, self._sizes[cell], self._size)
            stream.why = why or reached(self.limit, 0, 0)
        return kept, cut

    def _room(self, cell: int, length: int) -> int:
        return min(self._limits.output - length, self._space(cell))

    def _count(self, cell: int, size: int) -> None:
        self._sizes[cell] += size
        self._size += size

    def _open_stream(self, cell: int, name: str) -> Stream | None:
        """The stream that goes on; a new one, if there is room for it; or None."""
        from nbformat.v4 import new_output

        outputs = self._notebook.cells[cell].outputs
        streams = self._streams.setdefault(cell, [])
        latest = streams[-1] if streams else None
        if latest and outputs and outputs[-1] is latest.node and latest.node.name == name:
            return latest
        node = new_output("stream", name=name, text="")  # type: ignore[no-untyped-call]  # untyped
        if self._space(cell) <= size_of(node):
            return None
        self._count(cell, size_of(node))
        outputs.append(node)
        streams.append(Stream(outputs[-1]))
        return streams[-1]

    # ── displays, results, errors ──

    def output(
        self, cell: int, output: dict[str, Any], display_id: str | None = None
    ) -> dict[str, Any] | None:
        """Append a display, a result or an error. Returns it as it was kept, if it was."""
        from nbformat import from_dict

        self._clear_if_asked(cell)
        kept = within(output, self.limit)
        size = size_of(kept)
        if output["output_type"] != "error" and size > self._space(cell):
            self._drop(cell, size)
            return None
        self._count(cell, size)
        node = from_dict(kept)  # type: ignore[no-untyped-call]  # untyped
        self._notebook.cells[cell].outputs.append(node)
        if display_id:
            self._displays.setdefault(display_id, []).append(node)
        return kept

    def _space(self, cell: int) -> int:
        limits = self._limits
        return min(limits.cell - self._sizes[cell], limits.notebook - self._size)

    def _drop(self, cell: int, size: int) -> None:
        gone = self._dropped.get(cell) or self._begin_dropping(cell)
        gone.count += 1
        gone.size += size
        if not gone.why:
            full = (
                self._limits.cell - self._sizes[cell] < self._limits.notebook - self._size
            )
            limits = self._limits
            gone.why = limits.reached(0, limits.cell if full else 0, limits.notebook)

    def _begin_dropping(self, cell: int) -> _Dropped:
        from nbformat.v4 import new_output

        note = new_output("stream", name="stderr", text="")  # type: ignore[no-untyped-call]  # untyped
        self._notebook.cells[cell].outputs.append(note)
        gone = self._dropped[cell] = _Dropped(note)
        return gone

    def dropped(self, cell: int) -> tuple[int, int]:
        """How many outputs of a cell were not kept, and how large they were."""
        gone = self._dropped.get(cell)
        return (gone.count, gone.size) if gone else (0, 0)

    def set_dropped(self, cell: int, count: int, size: int) -> None:
        """As `dropped` told it."""
        self._drop(cell, 0)
        self._dropped[cell].count, self._dropped[cell].size = count, size

    def update(
        self, display_id: str, data: dict[str, Any], metadata: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw a display again, wherever it stands. Returns its data as they were kept."""
        from nbformat import from_dict

        kept = within({"data": data, "metadata": metadata}, self.limit)
        for node in self._displays.get(display_id, ()):
            node["data"] = from_dict(kept["data"])  # type: ignore[no-untyped-call]  # untyped
            node["metadata"] = from_dict(kept["metadata"])  # type: ignore[no-untyped-call]  # untyped
        found: dict[str, Any] = kept["data"]
        return found

    def shows(self, display_id: str) -> bool:
        """Whether a display of this name stands anywhere."""
        return bool(self._displays.get(display_id))

    # ── clearing ──

    def clear(self, cell: int, wait: bool) -> None:
        """Clear a cell's outputs: now, or when the next one comes."""
        if wait:
            self._clear_next.add(cell)
            return
        self._clear_next.discard(cell)
        gone = {id(node) for node in self._notebook.cells[cell].outputs}
        for name, nodes in list(self._displays.items()):
            nodes[:] = [node for node in nodes if id(node) not in gone]
            if not nodes:
                del self._displays[name]
        self._notebook.cells[cell].outputs = []
        self._streams.pop(cell, None)
        self._dropped.pop(cell, None)
        self._count(cell, -self._sizes[cell])

    def _clear_if_asked(self, cell: int) -> None:
        if cell in self._clear_next:
            self.clear(cell, wait=False)

    # ── taken up again ──

    def state(self) -> dict[str, Any]:
        """What is known beside the notebook, as plain data: see `go_on`."""
        at = {
            id(node): (cell, place)
            for cell in self._sizes
            for place, node in enumerate(self._notebook.cells[cell].outputs)
        }
        streams = [s for each in self._streams.values() for s in each]
        dropped = self._dropped.items()
        return {
            "streams": [[*at[id(s.node)], s.text(), s.cut, s.why] for s in streams],
            "displays": {n: [at[id(d)] for d in ds] for n, ds in self._displays.items()},
            "clear_next": sorted(self._clear_next),
            "sizes": dict(self._sizes),
            "dropped": [[c, g.count, g.size, g.why, *at[id(g.note)]] for c, g in dropped],
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take up the outputs of a notebook that was settled when `state` was made."""
        cells = self._notebook.cells
        for cell, place, text, cut, why in state["streams"]:
            stream = Stream(cells[cell].outputs[place], cut=cut, why=why)
            stream.append(text)
            self._streams.setdefault(cell, []).append(stream)
        for name, places in state["displays"].items():
            self._displays[name] = [cells[cell].outputs[at] for cell, at in places]
        self._clear_next = set(state["clear_next"])
        for cell, size in state["sizes"].items():
            self._count(int(cell), size)
        for cell, count, size, why, _, place in state["dropped"]:
            note = cells[cell].outputs[place]
            self._dropped[cell] = _Dropped(note, count, size, why)

    # ── into the notebook ──

    def settle(self, cell: int | None = None) -> None:
        """Write the texts of the streams into the notebook: of one cell, or of all."""
        for at in [cell] if cell is not None else [*{*self._streams, *self._dropped}]:
            for stream in self._streams.get(at, ()):
                stream.settle()
            if at in self._dropped:
                self._dropped[at].settle()

    def text(self, cell: int, most: int = 4000) -> str:
        """The end of what a cell printed and showed as text, for messages."""
        self.settle(cell)
        outputs = self._notebook.cells[cell].get("outputs", [])
        shown = "".join(map(_as_text, outputs))
        return shown if len(shown) <= most else "…" + shown[-most:]
