"""The executed notebook of each attempt: `logs/fit.2.ipynb` beside `logs/fit.2.log`.

`fit.ipynb` in the run's folder is the one of the latest attempt: the same file by another
name, which the next attempt replaces. What a killed worker left in its journal is put
together and kept before the next attempt begins.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from mlflowkit.errors import ArtifactNotStored, NotebookInvalid
from mlflowkit.nbrun.journal import journal_path, rebuild, write_notebook


def kept_path(log: Path) -> Path:
    """Where the executed notebook of the attempt with this log is kept."""
    return log.with_name(log.name.removesuffix(".log") + ".ipynb")


def keep(output: Path, log: Path) -> None:
    """Keep what an attempt left at `output`, if it left anything; the notebook counts more
    than its second name, so what goes wrong here is no error."""
    if not output.exists():
        return
    place = kept_path(log)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            os.link(output, temporary)
        except OSError:  # no hard links here
            shutil.copyfile(output, temporary)
        temporary.replace(place)


def keep_cut_off(output: Path, log: Path) -> None:
    """Keep what an earlier attempt left that was killed: its journal, put together.

    Args:
        output: Where executed notebooks of this task instance go.
        log: The log of the attempt that is about to begin.
    """
    journal = journal_path(output)
    earlier = _attempt_before(log) if journal.exists() else None
    if earlier is None or kept_path(earlier).exists():
        return
    with suppress(NotebookInvalid, ArtifactNotStored, OSError, ValueError):
        write_notebook(rebuild(journal), kept_path(earlier))
        journal.unlink()


def _attempt_before(log: Path) -> Path | None:
    """The log of the latest earlier attempt of the same task instance."""
    named = re.fullmatch(r"(?P<name>.+)\.(?P<number>\d+)\.log", log.name)
    if named is None:
        return None
    for number in range(int(named["number"]) - 1, 0, -1):
        earlier = log.with_name(f"{named['name']}.{number}.log")
        if earlier.exists() or earlier.with_suffix(".jsonl").exists():
            return earlier
    return None
