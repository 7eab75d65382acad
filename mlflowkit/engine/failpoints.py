"""Places where the engine dies on purpose, so that tests can prove that nothing is lost.

`MLFLOWKIT_FAILPOINTS="turn.before_commit:3"` kills the process, with SIGKILL, the third
time it comes by. Without the variable a failpoint is one look into an empty dict.
"""

from __future__ import annotations

import os
import signal
from typing import Final

#: Every failpoint there is, in the order in which a task's life passes them.
NAMES: Final = (
    "turn.before_commit",
    "turn.after_commit",
    "carry_out.before",
    "carry_out.middle",
    "launch.after",
    "report.before",
)
_left: dict[str, int] = {}


def arm(text: str) -> None:
    """Read `name[:nth][,name…]`; an empty text disarms all.

    Raises:
        ValueError: a name that is none.
    """
    _left.clear()
    for part in filter(None, text.split(",")):
        name, _, nth = part.partition(":")
        if name not in NAMES:
            raise ValueError(f"there is no failpoint {name!r}: {', '.join(NAMES)}")
        _left[name] = int(nth or 1)


def failpoint(name: str) -> None:
    """Die here, if that was asked for."""
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
