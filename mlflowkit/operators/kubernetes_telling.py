"""How long to wait for a pod, and where its log lines go. It sends nothing."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

#: Lines of its log that an error shows.
SHOWN_LINES: Final = 20
_FIRST_LOOK_S: Final = 0.05


def growing(longest: float) -> Iterator[float]:
    """Seconds to wait: short at first, for most things happen soon."""
    wait = _FIRST_LOOK_S
    while True:
        yield min(wait, longest)
        wait *= 1.5


@dataclass(slots=True, kw_only=True)
class Pace:
    """How long to wait for what, in seconds."""

    schedule: float = 120.0
    startup: float = 120.0
    check: float = 1.0
    poll: float = 1.0
    #: How long a pod may be stuck before it is given up, within `startup`.
    stuck: float = 15.0


@dataclass(slots=True)
class Telling:
    """Where log lines go, and the last ones of them."""

    formatter: Callable[[str, str], str] | None = None
    prefixed: bool = False
    #: Put before every line, where several pods write into one log.
    pod: str = ""
    last: deque[str] = field(default_factory=lambda: deque[str](maxlen=SHOWN_LINES))

    def line(self, container: str, text: str, *, main: bool) -> None:
        """Write one line of a container to the task's log."""
        if main:
            self.last.append(text)
        if self.formatter is not None:
            text = self.formatter(container, text)
        elif self.prefixed:
            text = f"[{container}] {text}"
        sys.stdout.write(f"{self.pod}{text}\n")
        sys.stdout.flush()

    @property
    def tail(self) -> str:
        return "\n".join(self.last)
