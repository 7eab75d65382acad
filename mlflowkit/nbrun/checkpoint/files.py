"""Files that the code of cells names: what came from them is old when they have changed.

Looks at the texts in code (`read_csv("rows.csv")`, a parameter that is a path), and at the
size and time of what they name; opens nothing. What is put together at run time, and what
lies in a folder that is named, is not seen.
"""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

_LONGEST: Final = 1000
#: More than a person names.
_MOST: Final = 2000
_MOST_CELLS: Final = 10_000


def files_named(sources: Iterable[str], folder: str) -> dict[str, str]:
    """The files that cells name, with what tells whether they have changed; but for those
    that this process has open, whose cells run again for that.

    Args:
        sources: Their code, magics transformed.
        folder: Where relative paths begin.
    """
    texts = dict.fromkeys(text for source in sources for text in _texts(source))
    paths = (os.path.join(folder, text) for text in list(texts)[:_MOST])
    opened = _opened()
    found = ((path, state_of(path)) for path in paths)
    return {p: state for p, state in found if state and os.path.realpath(p) not in opened}


def _opened() -> set[str]:
    found = set[str]()
    for each in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            found.add(str(each.readlink()))
    return found


def know(sources: Iterable[str]) -> None:
    """Read the code of cells, once for all forks of this process."""
    for source in sources:
        _texts(source)


def state_of(path: str) -> str:
    """Size and time of a file; empty: there is none."""
    with suppress(OSError, ValueError):
        facts = Path(path).stat()
        if stat.S_ISREG(facts.st_mode):
            return f"{facts.st_size} {facts.st_mtime_ns}"
    return ""


def changed_file(then: Mapping[str, str]) -> str:
    """One that is not as it was; empty: all are."""
    return next((path for path, was in then.items() if state_of(path) != was), "")


@lru_cache(maxsize=_MOST_CELLS)
def _texts(source: str) -> tuple[str, ...]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return tuple(t for t in found if isinstance(t, str) and _may_be_path(t))


def _may_be_path(text: str) -> bool:
    return 0 < len(text) < _LONGEST and "\n" not in text and "\0" not in text
