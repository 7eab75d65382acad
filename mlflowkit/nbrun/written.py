"""Notebooks as files, and what is made of them: written whole, or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.errors import ArtifactNotStored

if TYPE_CHECKING:
    from nbformat import NotebookNode

Clean = Callable[[Any], Any]


def write_notebook(
    notebook: NotebookNode, path: Path, clean: Clean = lambda part: part
) -> None:
    """Write a notebook, whole or not at all.

    The bytes are those of nbformat; of the text no more than one cell is in memory.

    Args:
        clean: Applied to each cell and to the metadata before they are written.

    Raises:
        ArtifactNotStored: it could not be written; what stood there before still does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            _write(notebook, file.write, clean)
        temporary.replace(path)
    except OSError as exc:
        raise ArtifactNotStored(str(path), exc.strerror or str(exc)) from exc
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all: a full disk leaves it as it was, and so does a file
    that is read-only. A link stays one, and a file keeps its mode.

    Raises:
        OSError: it cannot be written.
    """
    mode = path.stat().st_mode if path.exists() else 0
    if mode and not stat.S_ISREG(mode):  # a pipe, /dev/stdout
        path.write_bytes(data)
        return
    if mode and not mode & 0o222:
        raise PermissionError(errno.EACCES, "it is read-only")
    path = path.resolve()
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write(notebook: NotebookNode, put: Callable[[str], Any], clean: Clean) -> None:
    from nbformat import NotebookNode, from_dict
    from nbformat.v4.rwbase import split_lines, strip_transient

    # nodes made here, not by `new_notebook`: it validates, again for every cell
    metadata = from_dict(clean(notebook.metadata))  # type: ignore[no-untyped-call]  # untyped
    version = {"nbformat": notebook.nbformat, "nbformat_minor": notebook.nbformat_minor}
    frame = NotebookNode(metadata=metadata, cells=[], **version)  # type: ignore[no-untyped-call]  # untyped
    strip_transient(frame)  # type: ignore[no-untyped-call]  # untyped
    head, _, tail = _text(frame).partition('"cells": []')
    put(head + '"cells": [')
    for number, cell in enumerate(notebook.cells):
        copied = from_dict(clean(_copied(cell)))  # type: ignore[no-untyped-call]  # untyped
        only = NotebookNode(metadata={}, cells=[copied])  # type: ignore[no-untyped-call]  # untyped
        shown = strip_transient(split_lines(only)).cells[0]  # type: ignore[no-untyped-call]  # untyped
        put(",\n  " if number else "\n  ")
        put(_text(shown).replace("\n", "\n  "))
    put("\n ]" if notebook.cells else "]")
    put(tail + "\n")


def _copied(cell: NotebookNode) -> NotebookNode:
    """A cell whose outputs and metadata can be changed; the texts in it are shared."""
    from nbformat import from_dict

    copied: NotebookNode = from_dict(dict(cell))  # type: ignore[no-untyped-call]  # untyped
    return copied


def _text(part: Any) -> str:
    return json.dumps(part, ensure_ascii=False, indent=1, sort_keys=True)
