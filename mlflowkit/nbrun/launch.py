"""Starts a kernel that dies with its worker: `launch.py PARENT_PID COMMAND…`.

Run as a file by a bare interpreter, then replaced by the command: no thread of the worker
is ever forked, and any kernel of any language is tied. Imports the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we were tied
        sys.exit(1)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvp(command[0], command)
    except OSError as exc:
        print(f"{command[0]}: {exc.strerror}", file=sys.stderr)  # noqa: T201 - its only way to tell
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
