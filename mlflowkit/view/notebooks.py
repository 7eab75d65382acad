"""A notebook as it runs, and the executed one: cells with their outputs, as plain data.

While it runs its journal is read; afterwards the executed notebook. A screen names the
cells that it has by their stamps, and is told those that are others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mlflowkit.errors import NotebookInvalid

#: Characters of a cell's code, of one output and of all outputs of a cell; cells in all.
SOURCE_CHARACTERS: Final = 20_000
OUTPUT_CHARACTERS: Final = 200_000
CELL_CHARACTERS: Final = 600_000
MOST_CELLS: Final = 500
#: A picture may be larger than a text: it is no use cut.
PICTURE_CHARACTERS: Final = 1_500_000
ANSWER_CHARACTERS: Final = 3_000_000
#: A file that is larger is not read for a screen.
FILE_BYTES: Final = 64 * 1024 * 1024

_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
_TEXTS: Final = ("text/markdown", "text/latex", "application/json", "text/plain")


def changed_cells(path: Path, cursor: str, *, running: bool) -> dict[str, Any]:
    """The cells that are not as `cursor` has them, and the cursor of now.

    Args:
        path: The executed notebook, where it is or will be.
        cursor: What the last answer said; empty for all cells.
        running: Its attempt goes on.
    """
    notebook, live, problem = _read(path)
    if notebook is None:
        return {"there": False, "problem": problem, "cells": [], "cursor": "", "count": 0}
    cells = [
        _cell(index, cell, live=live and running)
        for index, cell in enumerate(notebook.get("cells", [])[:MOST_CELLS])
    ]
    known = cursor.split(",")
    stamps, changed, size = list[str](), list[dict[str, Any]](), 0
    for index, cell in enumerate(cells):
        text = json.dumps(cell, sort_keys=True)
        stamp = hashlib.sha256(text.encode()).hexdigest()[:8]
        if index < len(known) and known[index] == stamp:
            stamps.append(stamp)
        elif size > ANSWER_CHARACTERS:
            stamps.append("later")  # the next answer brings it
        else:
            stamps.append(stamp)
            changed.append(cell)
            size += len(text)
    return {
        "there": True,
        "live": live and running,
        "status": _own(notebook).get("status", ""),
        "path": str(path),
        "name": "/".join(path.parts[-4:]),
        "count": len(cells),
        "left_out": max(len(notebook.get("cells", [])) - MOST_CELLS, 0),
        "cells": changed,
        "cursor": ",".join(stamps),
        "more": "later" in stamps,
    }


def failed_cell(path: Path) -> dict[str, Any] | None:
    """The cell at which a notebook failed, if it did."""
    notebook, _, _ = _read(path)
    bad = ("failed", "timeout", "killed", "interrupted")
    for index, cell in enumerate((notebook or {}).get("cells", [])):
        if _own(cell).get("status") in bad:
            return _cell(index, cell, live=False)
    return None


def _read(path: Path) -> tuple[dict[str, Any] | None, bool, str]:
    """The notebook, whether it is still being written, and why there is none."""
    from mlflowkit.nbrun.journal import journal_path, rebuild

    journal = journal_path(path)
    try:
        if journal.exists():
            if journal.stat().st_size > FILE_BYTES:
                return None, True, "its outputs are too large to be followed here"
            return rebuild(journal), True, ""
        if path.stat().st_size > FILE_BYTES:
            return None, False, f"it is too large to be shown here: open {path}"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (NotebookInvalid, FileNotFoundError):
        return None, False, "not executed yet"
    except (OSError, ValueError) as exc:
        return None, False, f"it cannot be read: {exc}"
    return (found, False, "") if isinstance(found, dict) else (None, False, "no notebook")


def _own(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What mlflowkit wrote into the metadata of a notebook or a cell."""
    found = (node.get("metadata") or {}).get("mlflowkit")
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    """A multi-line text of a notebook: one string, or a list of them."""
    return "".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _cell(index: int, cell: Mapping[str, Any], *, live: bool) -> dict[str, Any]:
    status = str(_own(cell).get("status", ""))
    if live and status == "interrupted":
        status = "running"  # the journal is read as after a crash; this one goes on
    tags = (cell.get("metadata") or {}).get("tags") or []
    found = {
        "index": index,
        "type": str(cell.get("cell_type", "code")),
        "source": _cut(_text(cell.get("source")), SOURCE_CHARACTERS),
        "status": status,
        "seconds": _own(cell).get("seconds") if status != "running" else None,
        "count": cell.get("execution_count"),
        "injected": "injected-parameters" in tags,
    }
    found["outputs"] = list(_outputs(cell.get("outputs") or []))
    return found


def _outputs(outputs: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    room = CELL_CHARACTERS + PICTURE_CHARACTERS
    for output in outputs[:200]:
        shown = _output(output)
        size = sum(len(v) for v in shown.values() if isinstance(v, str))
        if size > room:
            yield {"kind": "note", "text": "more output is in the executed notebook"}
            return
        room -= size
        yield shown


def _output(output: Mapping[str, Any]) -> dict[str, Any]:
    match output.get("output_type"):
        case "stream":
            text = _cut(_text(output.get("text")), OUTPUT_CHARACTERS)
            return {
                "kind": "stream",
                "name": str(output.get("name", "stdout")),
                "text": text,
            }
        case "error":
            trace = "\n".join(map(str, output.get("traceback") or []))
            said = f"{output.get('ename', '')}: {output.get('evalue', '')}"
            return {"kind": "error", "text": _cut(trace or said, OUTPUT_CHARACTERS)}
        case _:
            return _rich(output.get("data") or {})


def _rich(data: Mapping[str, Any]) -> dict[str, Any]:
    """The richest form that fits: HTML for a frame of its own, a picture, a text."""
    html = _text(data.get("text/html"))
    if html and len(html) <= OUTPUT_CHARACTERS * 3:
        return {
            "kind": "html",
            "html": html,
            "text": _cut(_text(data.get("text/plain")), 2000),
        }
    for mime in _PICTURES:
        if mime in data and len(_text(data[mime])) <= PICTURE_CHARACTERS:
            alt = _cut(_text(data.get("text/plain")), 200)
            return {"kind": "image", "mime": mime, "data": _text(data[mime]), "text": alt}
    for mime in _TEXTS:
        if mime in data:
            value = data[mime]
            text = (
                _text(value)
                if isinstance(value, str | list)
                else json.dumps(value, indent=1)
            )
            return {"kind": "text", "text": _cut(text, OUTPUT_CHARACTERS)}
    names = ", ".join(map(str, data)) or "nothing"
    return {"kind": "note", "text": f"an output that is not shown here: {names[:200]}"}


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit:,} more characters"
