"""What is told of an error: a line for people, and the traceback of their own frames."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import NoReturn

import mlflowkit
from mlflowkit.errors import InternalError, MlflowkitError, UserError
from mlflowkit.worker import masking
from mlflowkit.worker.processes import leave_fork

#: Characters of an error that are kept.
LONGEST_TEXT = 200_000
OUR_FOLDER = str(Path(mlflowkit.__file__).parent)


def sendable(text: str) -> str:
    """A text that any file and frame can take: no half characters, and not without end.

    Secrets are hidden before it is cut: the first half of one shows too much of it.
    """
    text = masking.masker().text(text).encode(errors="backslashreplace").decode()
    left_out = len(text) - LONGEST_TEXT
    if left_out <= 0:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[{left_out:,} characters left out]\n{text[-half:]}"


def one_line(exc: BaseException) -> str:
    """`ValueError: no such file`, shortened, for the task instance's reason."""
    try:
        lines = str(exc).strip().splitlines()
    except Exception:  # noqa: BLE001 - its text is made by user code
        lines = ["(its text cannot be shown)"]
    text = f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__
    text = masking.masker().text(text)  # whole ones: a cut one is not found any more
    return text if len(text) <= 300 else text[:297] + "..."


def story() -> str:
    """The current exception as a traceback of the person's own frames."""
    exc = sys.exception()
    assert exc is not None
    if isinstance(exc, UserError) or hasattr(exc, "story"):
        return str(getattr(exc, "story", "") or exc)
    told = traceback.TracebackException.from_exception(exc)
    if _says_it_all(exc, told):
        return "\n".join([str(exc), *getattr(exc, "__notes__", [])])
    todo, seen = [told], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        theirs = _theirs(one)
        if theirs:
            one.stack = traceback.StackSummary.from_list(theirs)
        todo += [
            linked for linked in (one.__cause__, one.__context__) if linked is not None
        ]
    return "".join(told.format())


def _theirs(told: traceback.TracebackException) -> list[traceback.FrameSummary]:
    return [f for f in told.stack if not f.filename.startswith(OUR_FOLDER)]


def _says_it_all(exc: BaseException, told: traceback.TracebackException) -> bool:
    """Whether it is an error of ours that no code of a person has a part in."""
    return (
        isinstance(exc, MlflowkitError)
        and not isinstance(exc, InternalError)
        and not _theirs(told)
        and exc.__cause__ is None
    )


def leave_fork_with(exc: BaseException) -> NoReturn:
    """End a fork of the task's process as a program ends with this error."""
    code = exc.code if isinstance(exc, SystemExit) else 1
    if not isinstance(exc, SystemExit):
        sys.stderr.write(story() + "\n")
    elif isinstance(code, str):
        sys.stderr.write(code + "\n")
    leave_fork(code & 0xFF if isinstance(code, int) else int(code is not None))
