"""Text that a cell prints, as a terminal would show it. Knows no notebook beside its one output."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mlflowkit.nbrun.limits import cut_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

_REDRAWN: Final = re.compile(r"[^\n]*\r(?=[^\r\n])")
#: All states of a line but its last, which begins where the line does.
_OLD_STATES: Final = re.compile(r"[^\n\r]*(?:\r[^\n\r]+)*\r(?=[^\r\n])")
_ERASED: Final = re.compile(r"[^\n\x08]\x08")


@dataclass(slots=True)
class Stream:
    """One stdout or stderr output. `\\r` and backspaces redraw its last line, as a terminal does."""

    node: NotebookNode
    #: Finished text, and its length.
    done: list[str] = field(default_factory=list[str])
    size: int = 0
    #: The line that may still be redrawn.
    tail: str = ""
    cut: int = 0
    #: Which limit cut it.
    why: str = ""

    @property
    def length(self) -> int:
        return self.size + len(self.tail)

    def append(self, text: str, cut: int = 0) -> None:
        self.cut += cut
        fresh = self.tail + text
        if "\b" in fresh:
            fresh = _erase(fresh)
        if "\r" in fresh:
            fresh = _REDRAWN.sub("", fresh.replace("\r\n", "\n"))
        head, line_end, self.tail = fresh.rpartition("\n")
        if line_end:
            self.done.append(head + line_end)
            self.size += len(head) + 1

    def text(self) -> str:
        """What is kept of it."""
        self.done = ["".join(self.done)]
        return self.done[0] + self.tail

    def settle(self) -> None:
        """Write the text into the notebook, and what was cut."""
        self.node["text"] = self.text() + (cut_text(self.cut, self.why) if self.cut else "")


def redrawn(text: str) -> str:
    """A piece of a stream without the states of a progress bar that nobody can see."""
    if "\r" not in text or "\b" in text:
        return text
    return _OLD_STATES.sub("\r", text.replace("\r\n", "\n"))


def _erase(text: str) -> str:
    while True:
        shorter = _ERASED.sub("", text)
        if shorter == text:
            return text.replace("\b", "")
        text = shorter
