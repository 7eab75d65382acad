"""What cells put out where no kernel is: caught as the messages that a kernel would send.

Runs in a prefix process and its forks. After the fork, whoever kept one of these streams
writes to the cell that runs.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Final

from jupyter_client.session import Session

#: Characters that are recorded; more is nothing to hand on to every instance.
LIMIT: Final = 8_000_000


class Recording:
    """Messages of cells: `(kind, content)`, in order.

    Attributes:
        unsafe: What was met that a fork could not have; the first counts.
    """

    def __init__(self) -> None:
        self.unsafe: list[str] = []
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.out, self.err = Stream(self, "stdout"), Stream(self, "stderr")
        self.size = 0

    def note(self, kind: str, content: dict[str, Any], size: int) -> None:
        self.size += size
        if self.size > LIMIT:
            self.unsafe.append("it puts out too much")
        else:
            self.messages.append((kind, content))

    def take(self) -> list[tuple[str, dict[str, Any]]]:
        """What the cell that has ended put out."""
        self.out.flush()
        self.err.flush()
        taken, self.messages = self.messages, []
        return taken


class Stream(io.TextIOBase):
    """stdout or stderr of the prefix: a kernel holds text back until something else comes."""

    def __init__(self, recording: Recording, name: str) -> None:
        self._recording, self._name, self._held = recording, name, ""
        self.later = False

    def write(self, text: str, /) -> int:
        if self.later:
            return int(getattr(sys, self._name).write(text))
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        if len(self._held) <= LIMIT:
            self._held += text
        return len(text)

    def flush(self) -> None:
        if self.later:
            getattr(sys, self._name).flush()
            return
        text, self._held = self._held, ""
        if text:
            content = {"name": self._name, "text": text}
            self._recording.note("stream", content, len(text))

    def fileno(self) -> int:
        return 1 if self._name == "stdout" else 2

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # as other streams
        return "UTF-8"


class RecordingSession(Session):
    """Stands in for the kernel's session: what would be sent is recorded."""

    recording: Recording

    def send(  # the rest matters to sockets alone
        self, stream: Any, msg_or_type: Any, content: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Record a message."""
        if isinstance(msg_or_type, str):
            msg_or_type = self.msg(msg_or_type, content=content)
        kind, content = msg_or_type["msg_type"], msg_or_type["content"]
        if kind == "update_display_data" or content.get("transient", {}).get("display_id"):
            self.recording.unsafe.append("it made a display that may change later")
        self.recording.note(kind, content, len(str(content)))
        return msg_or_type
