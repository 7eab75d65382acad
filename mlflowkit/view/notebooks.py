"""A notebook as it runs, and the executed one: cells with their outputs, as plain data.

While it runs its journal is read; afterwards the executed notebook. A screen names the
cells that it has by their stamps, and is told those that are others.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mlflowkit.errors import NotebookInvalid

#: Characters of a cell's code, of one output and of all outputs of a cell; cells in all.
SOURCE_CHARACTERS: Final = 20_000
OUTPUT_CHARACTERS: Final = 200_000
CELL_CHARACTERS: Final = 600_000
MOST_CELLS: Final = 500
#: Notebooks that are remembered.
REMEMBERED: Final = 8
#: A picture may be larger than a text: it is no use cut.
PICTURE_CHARACTERS: Final = 1_500_000
ANSWER_CHARACTERS: Final = 3_000_000
#: A file that is larger is not read for a screen.
FILE_BYTES: Final = 64 * 1024 * 1024

_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
_TEXTS: Final = ("text/markdown", "text/latex", "application/json", "text/plain")


class Shown:
    """The cells of one attempt's notebook as a screen has them. Each look costs what is new."""

    def __init__(self, path: Path) -> None:
        from mlflowkit.nbrun.following import Following
        from mlflowkit.nbrun.journal import journal_path

        self._path, self._following = path, Following(journal_path(path))
        #: The cells, with stamps that say whether one changed.
        self._cells: list[tuple[dict[str, Any], str, int]] = []
        self._left_out = 0

    def changed(self, cursor: str, *, running: bool) -> dict[str, Any]:
        """The cells that are not as `cursor` has them, and the cursor of now.

        Args:
            cursor: What the last answer said; empty for all cells.
            running: The attempt goes on: its journal is followed.
        """
        if running and self._follow():
            return self._told(cursor, live=True, status="running")
        notebook, problem = _read(self._path)
        if notebook is None:
            return {
                "there": False,
                "problem": problem,
                "cells": [],
                "cursor": "",
                "count": 0,
            }
        self._take(notebook, None)
        return self._told(cursor, live=False, status=str(_own(notebook).get("status", "")))

    def _follow(self) -> bool:
        """Whether there is a journal that could be followed."""
        try:
            changed = self._following.look()
        except (OSError, ValueError):
            return False  # it has just ended
        notebook = self._following.notebook
        if notebook is None:
            return False
        self._take(notebook, changed if self._cells else None)
        return True

    def _take(self, notebook: Mapping[str, Any], changed: set[int] | None) -> None:
        cells = notebook.get("cells", [])
        self._left_out = max(len(cells) - MOST_CELLS, 0)
        if changed is None:
            self._cells = [_stamped(i, cell) for i, cell in enumerate(cells[:MOST_CELLS])]
            return
        for index in changed:
            if index < MOST_CELLS:
                self._cells[index] = _stamped(index, cells[index])

    def _told(self, cursor: str, *, live: bool, status: str) -> dict[str, Any]:
        known = cursor.split(",")
        stamps, changed, size = list[str](), list[dict[str, Any]](), 0
        for index, (cell, stamp, length) in enumerate(self._cells):
            same = index < len(known) and known[index] == stamp
            late = not same and size > ANSWER_CHARACTERS  # the next answer brings it
            stamps.append("later" if late else stamp)
            if not same and not late:
                changed.append(cell)
                size += length
        return {
            "there": True,
            "live": live,
            "status": status,
            "path": str(self._path),
            "name": "/".join(self._path.parts[-4:]),
            "count": len(self._cells),
            "left_out": self._left_out,
            "cells": changed,
            "cursor": ",".join(stamps),
            "more": "later" in stamps,
        }


class Notebooks:
    """The notebooks that screens look at: of the latest ones it is known what was told."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Path, int], Shown] = OrderedDict()

    def of(self, path: Path, attempt: int) -> Shown:
        """That of an attempt, by the path of its executed notebook."""
        found = self._known.pop((path, attempt), None) or Shown(path)
        self._known[path, attempt] = found
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def _stamped(index: int, cell: Mapping[str, Any]) -> tuple[dict[str, Any], str, int]:
    shown = _cell(index, cell)
    text = json.dumps(shown, sort_keys=True)
    return shown, hashlib.sha256(text.encode()).hexdigest()[:8], len(text)


def failed_cell(path: Path) -> dict[str, Any] | None:
    """The cell at which a notebook failed, if it did."""
    notebook, _ = _read(path)
    bad = ("failed", "timeout", "killed", "interrupted")
    for index, cell in enumerate((notebook or {}).get("cells", [])):
        if _own(cell).get("status") in bad:
            return _cell(index, cell)
    return None


def _read(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The executed notebook, of one that was cut off as far as it got; or why there is none."""
    from mlflowkit.nbrun.journal import journal_path, rebuild

    journal = journal_path(path)
    try:
        if journal.exists():
            if journal.stat().st_size > FILE_BYTES:
                return None, "its outputs are too large to be shown here"
            return rebuild(journal), ""
        if path.stat().st_size > FILE_BYTES:
            return None, f"it is too large to be shown here: open {path}"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (NotebookInvalid, FileNotFoundError):
        return None, "not executed yet"
    except (OSError, ValueError) as exc:
        return None, f"it cannot be read: {exc}"
    return (found, "") if isinstance(found, dict) else (None, "no notebook")


def _own(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What mlflowkit wrote into the metadata of a notebook or a cell."""
    found = (node.get("metadata") or {}).get("mlflowkit")
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    """A multi-line text of a notebook: one string, or a list of them."""
    return "".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _cell(index: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    status = str(_own(cell).get("status", ""))
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
