"""IPython in this process, for what needs no kernel: cells go in, what they print comes out."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class Shell:
    """A fresh session, with the extension loaded."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.cell("%load_ext mlflowkit")

    def cell(self, code: str, cell_id: str = "") -> str:
        """Run a cell; what it printed. Raises what it raised."""
        metadata = {"cellId": cell_id} if cell_id else {}
        vars(self.shell)["parent_header"] = {"metadata": metadata}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            done = self.shell.run_cell(dedent(code), store_history=True)
        error = done.error_before_exec or done.error_in_exec
        if error is not None:
            raise error
        return printed.getvalue().strip()

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def value(self, expression: str) -> Any:
        return eval(expression, self.shell.user_ns)


@contextmanager
def fresh_shell() -> Iterator[Shell]:
    """One that leaves nothing behind in this process."""
    main, hook = sys.modules["__main__"], sys.displayhook
    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config)
    try:
        yield Shell(shell)
    finally:
        InteractiveShell.clear_instance()
        shell.builtin_trap.deactivate()
        sys.modules["__main__"], sys.displayhook = main, hook
