"""The journal of one execution: append-only JSON lines beside the executed notebook.

`OUTPUT.journal.jsonl` exists while the notebook runs, and after a crash. Its first line
holds the prepared notebook, every other line one change; `rebuild` applies them again. A
line that was cut off by the crash is left out. Once the executed notebook is written, the
journal is removed: it holds nothing that the notebook lacks.

Text of a stream is put together for a moment, so that a flood costs few lines. Where most
of a journal is about what was drawn over since, it is replaced by one that begins with the
notebook as it is: its size stays in proportion to what is shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.masking import TextStreamMasker
from mlflowkit.errors import ArtifactNotStored
from mlflowkit.nbrun.rebuilt import VERSION, rebuild, state_of
from mlflowkit.nbrun.record import RESTORED, Record
from mlflowkit.nbrun.streams import redrawn
from mlflowkit.nbrun.written import write_notebook
from mlflowkit.worker import masking

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["JournaledRecord", "journal_path", "now", "rebuild", "write_notebook"]

#: A journal below this size is left as it is.
COMPACT_BYTES: Final = 64 * 1024 * 1024
#: How much larger than its last beginning it may grow.
_GROWTH: Final = 4
#: Characters that are put together at most before they are written down.
_TOGETHER: Final = 64 * 1024
#: A stream that was silent for this long is written down at once.
_SECONDS: Final = 0.1


def journal_path(output: Path) -> Path:
    """Where the journal of an executed notebook lies."""
    return output.with_name(output.name + ".journal.jsonl")


class _Late:
    """Text of one stream that is not written down yet."""

    def __init__(self, cell: int, name: str) -> None:
        self.of = (cell, name)
        self.texts: list[str] = []
        self.size, self.since = 0, monotonic()


class JournaledRecord(Record):
    """A record whose changes are written down as they are applied.

    Every method that changes something raises ArtifactNotStored when the disk is full; after
    that nothing more is written down, and nothing more raises.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        output: Path,
        limit: int,
        compact_bytes: int = COMPACT_BYTES,
    ) -> None:
        super().__init__(notebook, limit)
        self._streams: dict[tuple[int, str], TextStreamMasker] = {}
        self._late: _Late | None = None
        self._written_at = 0.0
        #: Told of each text that was kept: cell, name of the stream, text.
        self.on_stream: Callable[[int, str, str], None] = _nobody
        self.path = journal_path(output)
        self._smallest = self._compact_at = compact_bytes
        self._size = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _open(self.path)
        except OSError as exc:
            raise ArtifactNotStored(str(self.path), exc.strerror or str(exc)) from exc

    # ── lines ──

    def _note(self, op: str, **facts: Any) -> None:
        if self._file < 0:
            return
        line = json.dumps({"op": op, **facts}, default=str).encode() + b"\n"
        self._size += len(line)
        try:
            _write(self._file, line)
        except OSError as exc:
            self.close()
            raise ArtifactNotStored(str(self.path), exc.strerror or str(exc)) from exc

    def _compact(self) -> None:
        """Begin the journal anew, with the notebook as it is."""
        if self._size < self._compact_at or self._file < 0:
            return
        self.outputs.settle()
        line = json.dumps(
            {"op": "begin", "version": VERSION, **state_of(self, masking.masker().value)},
            default=str,
        )
        data = line.encode() + b"\n"
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            file = _open(fresh)
            _write(file, data)
            fresh.replace(self.path)
        except OSError as exc:
            fresh.unlink(missing_ok=True)
            raise ArtifactNotStored(str(self.path), exc.strerror or str(exc)) from exc
        os.close(self._file)
        self._file, self._size = file, len(data)
        self._compact_at = max(self._smallest, _GROWTH * self._size)

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

    def cell_restored(
        self,
        cell: int,
        outputs: Sequence[dict[str, Any]],
        count: int | None,
        status: str = RESTORED,
    ) -> None:
        facts = {"outputs": list(outputs), "count": count, "status": status}
        self._note("restored", cell=cell, **facts)
        super().cell_restored(cell, outputs, count, status)

    def cell_started(self, cell: int, at: datetime, *, replayed: bool = False) -> None:
        more = {"replayed": True} if replayed else {}
        self._note("started", cell=cell, at=at.isoformat(), **more)
        super().cell_started(cell, at, replayed=replayed)

    def cell_ended(
        self, cell: int, status: str, at: datetime, seconds: float, count: int | None
    ) -> None:
        self._end_streams(cell)
        self._note_dropped(cell)
        facts = {
            "status": status,
            "at": at.isoformat(),
            "seconds": seconds,
            "count": count,
        }
        self._note("ended", cell=cell, **facts)
        super().cell_ended(cell, status, at, seconds, count)

    # ── outputs ──

    def stream(self, cell: int, name: str, text: str) -> None:
        """Append to a stream: now, or a moment later with what comes meanwhile."""
        if self._late is not None and self._late.of != (cell, name):
            self.flush()
        late = self._late = self._late or _Late(cell, name)
        late.texts.append(text)
        late.size += len(text)
        if late.size >= _TOGETHER or monotonic() - self._written_at >= _SECONDS:
            self.flush()

    def flush(self, older_than: float = 0.0) -> None:
        """Write down text of a stream that has waited for so many seconds."""
        late = self._late
        if late is None or monotonic() - late.since < older_than:
            return
        self._late, self._written_at = None, monotonic()
        masked = self._streams.get(late.of)
        if masked is None:
            masked = self._streams[late.of] = TextStreamMasker(masking.masker())
        self._append(*late.of, masked.feed("".join(late.texts)))

    def _append(self, cell: int, name: str, text: str) -> None:
        kept, cut = self.outputs.stream(cell, name, redrawn(text))
        self._note("stream", cell=cell, name=name, text=kept, cut=cut)
        self._compact()
        if kept:
            self.on_stream(cell, name, kept)

    def _end_streams(self, *cells: int) -> None:
        """What the streams of these cells keep back, in case a secret begins there."""
        self.flush()
        for (cell, name), masked in list(self._streams.items()):
            if cell in cells and (rest := masked.flush()):
                self._append(cell, name, rest)

    def output(
        self, cell: int, output: dict[str, Any], display_id: str | None
    ) -> dict[str, Any] | None:
        """Append a display, a result or an error. Returns it as it was kept, if it was."""
        self.flush()
        if masking.masker():
            output = masking.masker().value(output)
        kept = self.outputs.output(cell, output, display_id)
        if kept is not None:
            self._note("output", cell=cell, output=kept, display_id=display_id)
            self._compact()
        elif self.outputs.dropped(cell)[0] == 1:
            self._note_dropped(cell)
        return kept

    def _note_dropped(self, cell: int) -> None:
        """Outputs that were not kept: the first one, and at the end of the cell how many."""
        count, size = self.outputs.dropped(cell)
        if count:
            self._note("dropped", cell=cell, count=count, size=size)

    def update(
        self, display_id: str, data: dict[str, Any], metadata: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw a display again. Returns its data as they were kept."""
        self.flush()
        data, metadata = (masking.masker().value(each) for each in (data, metadata))
        kept = self.outputs.update(display_id, data, metadata)
        if self.outputs.shows(display_id):
            self._note("update", display_id=display_id, data=kept, metadata=metadata)
            self._compact()
        return kept

    def clear(self, cell: int, wait: bool) -> None:
        """Clear a cell's outputs."""
        self.flush()
        self._note("clear", cell=cell, wait=wait)
        self.outputs.clear(cell, wait)

    # ── the end ──

    def finish(self, status: str, at: datetime, **facts: Any) -> None:
        self._end_streams(*(cell for cell, _ in self._streams))
        super().finish(status, at, **facts)

    def write(self, output: Path) -> None:
        """Write the executed notebook, whole or not at all; the journal is then removed.

        A secret is hidden in it wherever it stands: in a parameter, in a cell's code, too.

        Raises:
            ArtifactNotStored: it could not be written. The journal stays: `rebuild` it.
        """
        if masking.masker():
            write_notebook(self.notebook, output, masking.masker().value)
        else:
            write_notebook(self.notebook, output)
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file. Twice is once."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _nobody(cell: int, name: str, text: str) -> None:
    """Who listens before anybody does."""


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
