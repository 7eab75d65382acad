"""`%load_ext mlflowkit`: registers `%%task` and `%dag` with IPython."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mlflowkit.errors import UserError
from mlflowkit.jupyter.dag_magic import dag_magic
from mlflowkit.jupyter.task_magic import task_magic


def load(shell: Any) -> None:
    """Register the magics. Twice is once."""
    shell.register_magic_function(_told_plainly(task_magic), "line_cell", "task")
    shell.register_magic_function(_told_plainly(dag_magic), "line", "dag")


def _told_plainly(magic: Callable[..., Any]) -> Callable[..., Any]:
    """What a person can mend is shown as its sentence: behind a magic there is none of their
    code that a traceback could show."""

    @functools.wraps(magic)
    def call(line: str, cell: str | None = None) -> Any:
        try:
            return magic(line) if cell is None else magic(line, cell)
        except UserError as exc:
            said = [f"{type(exc).__name__}: {exc}", *getattr(exc, "__notes__", ())]
            vars(exc)["_render_traceback_"] = lambda: said  # IPython asks for it
            raise

    return call
