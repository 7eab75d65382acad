"""The roots of the tree of errors, and the words that their sentences share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import TracebackType
from typing import ClassVar, Final

#: Characters of a name that a sentence shows.
LONGEST_SHOWN: Final = 200
#: The package's folder: this file is `errors/base.py` in it.
_OURS: Final = __file__[: -len("errors/base.py")]
_OF_A_SHELL: Final = re.compile(r"[/\\](IPython|ipykernel|nbclient|traitlets|asyncio)[/\\]")


def shown(name: str) -> str:
    """A name that somebody gave, cut to what a sentence can bear."""
    return name if len(name) <= LONGEST_SHOWN else name[: LONGEST_SHOWN - 1] + "…"


def suggest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or an empty string when nothing known looks like `name`."""
    if len(name) > LONGEST_SHOWN:
        return ""
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[str], *, limit: int = 8) -> str:
    """`a, b, c`, cut after `limit` names; `(none)` when there are none."""
    found = sorted(names)
    if not found:
        return "(none)"
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(found[:limit]) + more


def a(word: str) -> str:
    """`an int`, `a list`: the name of a type, or another word, as a sentence has it."""
    return f"an {word}" if word[:1].lower() in "aeio" else f"a {word}"


class MlflowkitError(Exception):
    """The root of the tree."""

    #: A stable name for programs; the sentence may change, this may not.
    code: ClassVar[str] = "error"

    def __init_subclass__(cls) -> None:
        """People know them all by one name, wherever they are written."""
        if cls.__module__.startswith("mlflowkit.errors."):
            cls.__module__ = "mlflowkit.errors"

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel from worker to person with their facts, whatever their arguments are."""
        return _travelled, (type(self), self.args, vars(self))


def _travelled(
    kind: type[MlflowkitError], args: tuple[object, ...], facts: dict[str, object]
) -> MlflowkitError:
    made = kind.__new__(kind, *args)
    vars(made).update(facts)
    return made


class UserError(MlflowkitError):
    """Something a person can mend. Shown without traceback; a task that raises it is not retried."""

    code = "user_error"

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the person's own lines on the way to here, and the sentence."""
        said = [f"{type(self).__name__}: {self}", *getattr(self, "__notes__", ())]
        return [*_own_lines(self.__traceback__), *said]


def _own_lines(trace: TracebackType | None) -> Iterator[str]:
    """The lines of a traceback that are neither ours nor of the shell that ran the cell."""
    from traceback import extract_tb

    for frame in extract_tb(trace):
        if not frame.filename.startswith(_OURS) and not _OF_A_SHELL.search(frame.filename):
            cell = "ipykernel_" in frame.filename or frame.filename.startswith("<")
            where = "line" if cell else f"{frame.filename}, line"
            yield f"{where} {frame.lineno}: {frame.line or ''}"
