"""Where `mlflowkit` starts. Errors are printed here, and nowhere else.

Exit status: 0 fine, 1 the run failed, 2 wrong use or bad input, 130 and 143 stopped by
Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import errno
import os
import sys

from mlflowkit import __version__
from mlflowkit.errors import MlflowkitError, UserError

FINE, RUN_FAILED, WRONG_USE = 0, 1, 2


def main() -> None:
    """Run the command line, and exit."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before anything is loaded
        print(f"mlflowkit {__version__}")
        return
    from mlflowkit.late_imports import put_off

    put_off()
    from mlflowkit.cli.commands import app

    try:
        app(prog_name="mlflowkit")
    except MlflowkitError as exc:
        sys.stdout.flush()
        told = [str(exc), *getattr(exc, "__notes__", ())]
        print("mlflowkit: " + "\n".join(told), file=sys.stderr)
        sys.exit(WRONG_USE if isinstance(exc, UserError) else RUN_FAILED)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = exc.filename or "what was to be written"
        print(
            f"mlflowkit: {where}: {os.strerror(exc.errno)}. Make room there.",
            file=sys.stderr,
        )
        sys.exit(WRONG_USE)
