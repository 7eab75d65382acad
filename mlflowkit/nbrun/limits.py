"""How much output is kept, and what is said where some is not. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Characters of one output that are kept.
LIMIT: Final = 10 * 1024 * 1024
#: How many outputs of that size a cell may have, and a notebook.
_OUTPUTS_OF_CELL: Final = 5
_OUTPUTS_OF_NOTEBOOK: Final = 20
#: However small an output may be, a cell may have this much.
_AT_LEAST: Final = 1_000_000
#: What an output costs beside its characters: a million empty ones are not nothing.
_OVERHEAD: Final = 2000
#: Characters of the text of an exception.
_ERROR_TEXT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Most characters of an output, of all outputs of a cell, and of a notebook."""

    output: int = LIMIT

    @property
    def cell(self) -> int:
        return max(self.output * _OUTPUTS_OF_CELL, _AT_LEAST)

    @property
    def notebook(self) -> int:
        return max(self.output * _OUTPUTS_OF_NOTEBOOK, 2 * _AT_LEAST)

    def reached(self, output: int, cell: int, notebook: int) -> str:
        """Which limit these sizes have reached: "an output may have 10.0 MB"; or ""."""
        if output >= self.output:
            return f"an output may have {megabytes(self.output)}"
        if cell >= self.cell:
            return f"the outputs of a cell may have {megabytes(self.cell)}"
        if notebook >= self.notebook:
            return f"the outputs of a notebook may have {megabytes(self.notebook)}"
        return ""


def megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


def cut_text(cut: int, why: str) -> str:
    """Stands at the end of a stream of which `cut` characters are not kept."""
    return f"\n[mlflowkit: {megabytes(cut)} more were cut; {why}]\n"


def cut_outputs(count: int, size: int, why: str) -> str:
    """Stands after the outputs of a cell of which some were not kept."""
    what = "1 more output" if count == 1 else f"{count:,} more outputs"
    return f"[mlflowkit: {what} ({megabytes(size)}) cut; {why}]\n"


def size_of(output: Mapping[str, Any]) -> int:
    """What an output counts."""
    if output.get("output_type") == "error":
        return _OVERHEAD + sum(map(len, output.get("traceback", ())))
    data = output.get("data")
    sizes = map(_size, data.values()) if isinstance(data, Mapping) else ()
    return _OVERHEAD + len(output.get("text", "")) + sum(sizes)


def within(output: dict[str, Any], limit: int) -> dict[str, Any]:
    """An output whose parts all fit; what was cut is said in it."""
    if output.get("output_type") == "error":
        return _error_within(output, limit)
    data = output.get("data")
    if not isinstance(data, dict):
        return output
    sizes = {mime: _size(value) for mime, value in data.items()}
    if max(sizes.values(), default=0) <= limit:
        return output
    kept = {mime: value for mime, value in data.items() if sizes[mime] <= limit}
    cut = ", ".join(f"{m} of {megabytes(s)}" for m, s in sizes.items() if s > limit)
    note = f"[mlflowkit: {cut} was cut; an output may have {megabytes(limit)}]"
    kept["text/plain"] = f"{kept.get('text/plain', '')}\n{note}".strip()
    return {**output, "data": kept}


def _error_within(output: dict[str, Any], limit: int) -> dict[str, Any]:
    text, traceback = str(output.get("evalue", "")), list(output.get("traceback", ()))
    size = sum(map(len, traceback))
    most = min(limit, _ERROR_TEXT)
    if len(text) <= most and size <= limit:
        return output
    if len(text) > most:
        text = f"{text[:most]}… [mlflowkit: {len(text) - most:,} characters were cut]"
    kept, room = list[str](), limit
    for part in reversed(traceback):
        kept.insert(0, part[:room])
        room -= len(kept[0])
        if room <= 0:
            kept.insert(0, f"[mlflowkit: a traceback of {megabytes(size)} was cut]")
            break
    return {**output, "evalue": text, "traceback": kept}


def _size(value: object) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value, default=str))
