"""Keeps what cells put out from the log of the kernel's process, once it has met a secret.

ipykernel copies all that is written to descriptors 1 and 2 (by subprocesses, by libraries
in C) to where they led before: the log, as it is. Crashes are still told there.
"""

from __future__ import annotations

import faulthandler
import os
import stat
import sys
from contextlib import suppress


def keep_clean() -> None:
    """From now on no copies. Twice is once; where ipykernel makes none, nothing happens."""
    for name in ("stdout", "stderr"):
        kept = getattr(getattr(sys, name), "_original_stdstream_copy", None)
        if isinstance(kept, int):
            with suppress(OSError):  # a cell has closed it: nothing is copied there
                _lead_nowhere(kept, crashes=name == "stderr")


def _lead_nowhere(kept: int, *, crashes: bool) -> None:
    if stat.S_ISCHR(os.fstat(kept).st_mode):
        return  # it does already
    if crashes and faulthandler.is_enabled():
        faulthandler.enable(os.dup(kept))
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, kept, inheritable=False)
    os.close(nowhere)
