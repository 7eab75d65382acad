"""What a cell is before it runs, and how its end reads. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlflowkit.nbrun import record
from mlflowkit.nbrun.leaving import LEFT

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.client import Ending

#: Characters of the line that names a cell.
_LINE = 200
#: Runs a file in the kernel. IPython shows what that raises, and replies that all is well.
_RUNS_A_FILE = re.compile(
    r"^[ \t]*(?:\w+[ \t]*=[ \t]*)?%(?:run|rerun)\b|run_line_magic\([\s'\"]*run['\"]",
    re.MULTILINE,
)


def is_run(cell: NotebookNode) -> bool:
    """Whether there is something to run, and nobody said to leave it out."""
    tags = cell.metadata.get("tags", [])
    has_code = cell.cell_type == "code" and bool(cell.source.strip())
    return has_code and not record.SKIP_TAGS & set(tags)


def may_raise(cell: NotebookNode, ending: Ending) -> bool:
    """Whether it ended by an exception that is meant to be."""
    return ending.how == "error" and "raises-exception" in cell.metadata.get("tags", [])


def runs_a_file(code: str) -> bool:
    """Whether an error that it shows is one that nobody caught: `%run` hides it."""
    return _RUNS_A_FILE.search(code) is not None


def exited(ending: Ending) -> bool:
    """Whether `mlflowkit.exit_notebook` ended it."""
    return ending.how == "error" and ending.reply.get("ename") == LEFT


def left_in_peace(ending: Ending) -> bool:
    """`exit_notebook()`, `sys.exit()`, `sys.exit(0)` and `exit()` end a notebook well."""
    if exited(ending):
        return True
    if ending.how == "error":
        evalue = str(ending.reply.get("evalue"))
        return ending.reply.get("ename") == "SystemExit" and evalue in ("", "0", "None")
    payload = ending.reply.get("payload") or []
    return ending.how == "ok" and any(each.get("source") == "ask_exit" for each in payload)


def source_line(code: str) -> str:
    """The line that people know a cell by: its first that is no comment, if there is one."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("#")] or lines
    return telling[0][:_LINE] if telling else ""
