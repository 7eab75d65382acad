"""When a sensor looks again: a fixed interval, or one that doubles, with a jitter of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

#: Doublings of the interval between two looks; beyond, it is longer than any timeout.
_MOST_DOUBLINGS: Final = 40


def growing_pause(
    who: Sequence[object],
    count: int,
    waited: float,
    *,
    interval: float,
    timeout: float,
    longest: float | None = None,
) -> float:
    """The wait after the `count`-th look (counted from 1), about twice the one before.

    Args:
        who: Names the task instance: the same one always has the same jitter.
        waited: Since the first look.
        longest: No wait is longer; None: the timeout alone counts.

    All times in seconds.
    """
    least = max(int(interval * 2.0 ** min(count - 2, _MOST_DOUBLINGS)), 1)
    pause = float(least + _jitter((*who, count)) % least)
    pause = min(pause, max(timeout - int(waited), 1.0))
    return pause if longest is None else min(pause, longest)


def _jitter(who: tuple[object, ...]) -> int:
    return int.from_bytes(hashlib.sha256(repr(who).encode()).digest()[:8], "big")
