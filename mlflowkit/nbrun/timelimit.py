"""How long a notebook may go on. Knows the clock, and nothing of cells."""

from __future__ import annotations

from time import monotonic
from typing import Final

#: By how much the clock of who stops a notebook at the end of its time may be ahead: it runs
#: from the attempt's start. At most half of the time.
_EARLIER: Final = 5.0


class TimeLimit:
    """Of one execution; begins when it is made.

    Args:
        seconds: For the whole notebook; None is no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._begun = seconds, monotonic()

    def left(self) -> float | None:
        """Seconds that are left, at least 0; None where there is no limit."""
        if self._seconds is None:
            return None
        return max(0.0, self._begun + self._seconds - monotonic())

    def for_cell(self, cell_timeout: float | None) -> float | None:
        """The most that a cell may take now: its own time, and what is left of the whole."""
        known = [limit for limit in (cell_timeout, self.left()) if limit is not None]
        return min(known, default=None)

    def is_over(self) -> bool:
        return self.left() == 0.0

    def is_nearly_over(self) -> bool:
        """Whether somebody who stops the notebook now means its time."""
        if self._seconds is None:
            return False
        spent = monotonic() - self._begun
        return spent >= max(self._seconds / 2, self._seconds - _EARLIER)
