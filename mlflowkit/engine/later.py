"""Work that the store would not take: a full disk ends no engine, and loses nothing.

What fails so is done again after a moment, until it is saved. It must never be tried
inside a transaction of somebody else's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from sqlalchemy.exc import OperationalError

from mlflowkit.errors import HomeUnwritable

log = logging.getLogger("mlflowkit.engine")
TRY_AGAIN_SECONDS: Final = 1.0


class Later:
    """What one engine has still to save. Used from its thread alone."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._at = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def do(self, key: Hashable, work: Callable[[], None]) -> None:
        """Do it now; if it cannot be saved, again in a moment.

        Args:
            key: What it is. Later work of the same key takes the place of what waits.
            work: All or nothing: one transaction, and what follows from it.
        """
        self._waiting.pop(key, None)
        try:
            work()
        except (OperationalError, HomeUnwritable) as exc:
            log.error(
                "the store cannot be written: %s. Trying again in %s s.",
                exc,
                TRY_AGAIN_SECONDS,
                extra={"action": "not_saved", "what": str(key)},
            )
            self._waiting[key] = work
            self._at = time.monotonic() + TRY_AGAIN_SECONDS

    def forget(self, key: Hashable) -> None:
        """It is not true any more."""
        self._waiting.pop(key, None)

    def again(self) -> None:
        """Try what waits, if it is time."""
        if not self._waiting or time.monotonic() < self._at:
            return
        for key, work in list(self._waiting.items()):
            if self._waiting.get(key) is work:
                self.do(key, work)

    def seconds_left(self) -> Sequence[float]:
        """Until something is tried again; nothing if nothing waits."""
        return [self._at - time.monotonic()] if self._waiting else ()
