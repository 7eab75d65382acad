"""The journal of one execution: append-only JSON lines beside the executed notebook.

`OUTPUT.journal.jsonl` exists while the notebook runs, and after a crash. Its first line
holds the prepared notebook, every other line one change; `rebuild` applies them again. A
line that was cut off by the crash is left out. Once the executed notebook is written, the
journal is removed: it holds nothing that the notebook lacks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.masking import TextStreamMasker
from mlflowkit.errors import ArtifactNotStored, NotebookInvalid
from mlflowkit.nbrun import record
from mlflowkit.nbrun.record import Record
from mlflowkit.worker import masking

if TYPE_CHECKING:
    from nbformat import NotebookNode

VERSION: Final = 1


def journal_path(output: Path) -> Path:
    """Where the journal of an executed notebook lies."""
    return output.with_name(output.name + ".journal.jsonl")


class JournaledRecord(Record):
    """A record whose changes are written down as they are applied.

    Every method that changes something raises ArtifactNotStored when the disk is full.
    """

    def __init__(self, notebook: NotebookNode, output: Path, limit: int) -> None:
        super().__init__(notebook, limit)
        self._streams: dict[tuple[int, str], TextStreamMasker] = {}
        self.path = journal_path(output)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, flags, 0o600)
        except OSError as exc:
            raise ArtifactNotStored(str(self.path), exc.strerror or str(exc)) from exc

    def _note(self, op: str, **facts: Any) -> None:
        line = json.dumps({"op": op, **facts}, default=str).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as exc:
            raise ArtifactNotStored(str(self.path), exc.strerror or str(exc)) from exc

    def begin(self, at: datetime) -> None:
        super().begin(at)
        self._note(
            "begin",
            version=VERSION,
            at=at.isoformat(),
            limit=self.outputs.limit,
            nb=masking.masker().value(self.notebook),
        )

    def cell_passed(self, cell: int) -> None:
        self._note("passed", cell=cell)
        super().cell_passed(cell)

    def cell_started(self, cell: int, at: datetime) -> None:
        self._note("started", cell=cell, at=at.isoformat())
        super().cell_started(cell, at)

    def cell_ended(
        self, cell: int, status: str, at: datetime, seconds: float, count: int | None
    ) -> None:
        self._flush(cell)
        facts = {
            "status": status,
            "at": at.isoformat(),
            "seconds": seconds,
            "count": count,
        }
        self._note("ended", cell=cell, **facts)
        super().cell_ended(cell, status, at, seconds, count)

    def stream(self, cell: int, name: str, text: str) -> str:
        """Append to a stream. Returns the part that was kept, without secrets."""
        masked = self._streams.get((cell, name))
        if masked is None:
            masked = self._streams[cell, name] = TextStreamMasker(masking.masker())
        return self._append(cell, name, masked.feed(text))

    def _append(self, cell: int, name: str, text: str) -> str:
        kept, cut = self.outputs.stream(cell, name, text)
        self._note("stream", cell=cell, name=name, text=kept, cut=cut)
        return kept

    def _flush(self, *cells: int) -> None:
        """What the streams of these cells keep back, in case a secret begins there."""
        for (cell, name), masked in list(self._streams.items()):
            if cell in cells and (rest := masked.flush()):
                self._append(cell, name, rest)

    def finish(self, status: str, at: datetime, **facts: Any) -> None:
        self._flush(*(cell for cell, _ in self._streams))
        super().finish(status, at, **facts)

    def output(self, cell: int, output: dict[str, Any], display_id: str | None) -> None:
        """Append a display, a result or an error."""
        if masking.masker():
            output = masking.masker().value(output)
        kept = self.outputs.output(cell, output, display_id)
        self._note("output", cell=cell, output=kept, display_id=display_id)

    def update(
        self, display_id: str, data: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        """Draw a display again."""
        data, metadata = (masking.masker().value(each) for each in (data, metadata))
        self._note("update", display_id=display_id, data=data, metadata=metadata)
        self.outputs.update(display_id, data, metadata)

    def clear(self, cell: int, wait: bool) -> None:
        """Clear a cell's outputs."""
        self._note("clear", cell=cell, wait=wait)
        self.outputs.clear(cell, wait)

    def write(self, output: Path) -> None:
        """Write the executed notebook, whole or not at all; the journal is then removed.

        A secret is hidden in it wherever it stands: in a parameter, in a cell's code, too.
        """
        from nbformat import from_dict

        shown = self.notebook
        if masking.masker():
            shown = from_dict(masking.masker().value(shown))  # type: ignore[no-untyped-call]  # untyped
        write_notebook(shown, output)
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file. Twice is once."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]  # untyped
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rebuild(journal: Path) -> NotebookNode:
    """The executed notebook of an execution that was cut off.

    The cell that was running is marked "interrupted"; cells after it stay "not run".

    Raises:
        NotebookInvalid: the journal has not even a whole first line.
    """
    from nbformat import from_dict

    changes = _read(journal)
    first = next(changes, None)
    if first is None or first.get("op") != "begin":
        problem = "the execution ended before anything was written down"
        raise NotebookInvalid(journal, problem, "Run the notebook again.")
    notebook = from_dict(first["nb"])  # type: ignore[no-untyped-call]  # untyped
    rebuilt = Record(notebook, first["limit"])
    latest = datetime.fromisoformat(first["at"])
    rebuilt.begin(latest)
    for change in changes:
        _apply(rebuilt, change)
        latest = datetime.fromisoformat(change["at"]) if "at" in change else latest
    for cell in rebuilt.running():
        started = rebuilt.started_at(cell) or latest
        seconds = (latest - started).total_seconds()
        rebuilt.cell_ended(cell, record.INTERRUPTED, latest, seconds, None)
    rebuilt.finish(record.INTERRUPTED, latest, rebuilt=True)
    result: NotebookNode = rebuilt.notebook
    return result


def _read(journal: Path) -> Iterator[dict[str, Any]]:
    with journal.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return  # the crash cut it off
            yield json.loads(line)


def _apply(rebuilt: Record, change: dict[str, Any]) -> None:
    outputs, cell = rebuilt.outputs, change.get("cell", -1)
    match change["op"]:
        case "passed":
            rebuilt.cell_passed(cell)
        case "started":
            rebuilt.cell_started(cell, datetime.fromisoformat(change["at"]))
        case "ended":
            at = datetime.fromisoformat(change["at"])
            rebuilt.cell_ended(
                cell, change["status"], at, change["seconds"], change["count"]
            )
        case "stream":
            outputs.stream(cell, change["name"], change["text"], change["cut"])
        case "output":
            outputs.output(cell, change["output"], change["display_id"])
        case "update":
            outputs.update(change["display_id"], change["data"], change["metadata"])
        case "clear":
            outputs.clear(cell, change["wait"])


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
