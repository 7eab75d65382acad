"""Executed notebooks in a form in which two of them can be compared, cell by cell.

Only what differs from one execution to the next is taken out (addresses, times, folders,
random ids), and what differs on purpose, each with its reason in `ON_PURPOSE`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from tests.nbrun.parity.engines import Executed

WIDGETS: Final = "application/vnd.jupyter.widget-state+json"
_VIEW: Final = "application/vnd.jupyter.widget-view+json"
_MODEL: Final = "IPY_MODEL_"
_MARKER: Final = "papermill-error-cell-tag"
_NUMBER: Final = r"\d+(?:\.\d+)?"
_UNIT: Final = r"\s?(?:ns|μs|µs|us|ms|min|s)\b"
_VOLATILE: Final = (
    (r"\bat (?:0x)?[0-9a-f]{6,}", "at ADDRESS"),
    (r"(ipykernel_)\d+", r"\1PID"),
    (r"(?m)^(CPU times:|Wall time:).*$", r"\1 …"),
    (rf"{_NUMBER}{_UNIT} ± {_NUMBER}{_UNIT} per loop", "… per loop"),
    (rf"(elapsed:|finished in)\s+{_NUMBER}\s?s", r"\1 …"),
    (r"pid=\d+", "pid=…"),
    (r"temporary-\w+", "temporary-…"),
)
_RANDOM_ID: Final = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])"
)


class View:
    """One executed notebook, readied for comparison. Random ids are numbered as they come."""

    def __init__(self, executed: Executed) -> None:
        self._folder = str(executed.folder)
        self._ids: dict[str, str] = {}
        cells = executed.notebook.cells
        self.cells = [
            self._cell(cell)
            for cell in cells
            if _MARKER not in cell.metadata.get("tags", [])
        ]
        self.widgets = self._models(executed.notebook)

    def _cell(self, cell: NotebookNode) -> dict[str, Any]:
        seen: dict[str, Any] = {
            "type": cell.cell_type,
            "source": cell.source,
            "status": cell.metadata.papermill.status,
            "exception": cell.metadata.papermill.exception,
        }
        if cell.cell_type == "code":
            seen["count"] = cell.execution_count
            seen["outputs"] = [self.plain(_once(out)) for out in joined(cell.outputs)]
        return seen

    def _models(self, notebook: NotebookNode) -> dict[str, Any]:
        """The widgets: those that cells show, in their order, and all of them."""
        kept = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
        every = [_whole_model(key, kept) for key in kept]
        shown = [
            _whole_model(out.data[_VIEW]["model_id"], kept)
            for cell in notebook.cells
            for out in cell.get("outputs", [])
            if _VIEW in out.get("data", {})
        ]
        return {"shown": self.plain(shown), "all": sorted(self.plain(every), key=str)}

    def plain(self, value: Any) -> Any:
        """Without what another execution would say in another way."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(key): self.plain(each) for key, each in value.items()}
        return [self.plain(each) for each in value] if isinstance(value, list) else value

    def _text(self, text: str) -> str:
        text = text.replace(self._folder, "FOLDER")
        text = text.replace(self._folder.replace(str(Path.home()), "~"), "FOLDER")
        for pattern, instead in _VOLATILE:
            text = re.sub(pattern, instead, text)
        return _RANDOM_ID.sub(lambda found: self._numbered(found[0]), text)

    def _numbered(self, random_id: str) -> str:
        return self._ids.setdefault(random_id, f"id-{len(self._ids)}")


def _once(output: dict[str, Any]) -> dict[str, Any]:
    """An error without frames that repeat: how deep a recursion gets differs by a frame."""
    if "traceback" not in output:
        return output
    frames = output["traceback"]
    kept = [f for before, f in zip(["", *frames], frames, strict=False) if f != before]
    return {**output, "traceback": kept}


def _whole_model(key: str, kept: dict[str, Any]) -> Any:
    """A widget with the widgets that it refers to in their places."""

    def whole(value: Any) -> Any:
        if isinstance(value, str) and value.removeprefix(_MODEL) in kept:
            return _whole_model(value.removeprefix(_MODEL), kept)
        if isinstance(value, dict):
            return {name: whole(each) for name, each in value.items()}
        return [whole(each) for each in value] if isinstance(value, list) else value

    model = kept.get(key, {"state": {"closed": True}})
    state = {name: whole(value) for name, value in model["state"].items()}
    if "outputs" in state:
        state["outputs"] = joined(state["outputs"])
    return {**model, "state": state}


def joined(outputs: list[Any]) -> list[Any]:
    """Streams that follow one another as one, redrawn lines as a terminal shows them."""
    found: list[Any] = []
    for out in outputs:
        last = found[-1] if found else {}
        if out["output_type"] == "stream" and last.get("name") == out["name"]:
            last["text"] += out["text"]
        else:
            found.append(dict(out))
    for out in found:
        if out["output_type"] == "stream":
            out["text"] = redrawn(out["text"])
    return found


def redrawn(text: str) -> str:
    """What is left of lines that were drawn again and again."""
    return "\n".join(_last_drawn(line) for line in text.split("\n"))


def _last_drawn(line: str) -> str:
    shown: list[str] = []
    for letter in line.removesuffix("\r").rpartition("\r")[2]:
        if letter == "\b":
            del shown[-1:]
        else:
            shown.append(letter)
    return "".join(shown)
