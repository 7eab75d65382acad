"""Which files of a folder may define DAGs: a walk over names and texts that runs nothing.

A file counts if its text has the words `mlflowkit` (or `airflow`) and `dag`; a notebook if
one of its cells makes a DAG. `.mlflowkitignore`, with the patterns of `.gitignore`, takes
files out, in the folder that it lies in and below.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflowkit.authoring.cells import defines_dags
from mlflowkit.errors import BadIgnoreFile, PipelineMissing

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    # An ignore file: the folder that it lies in, and what it says.
    Ignoring = tuple[tuple[str, GitIgnoreSpec], ...]

IGNORE_FILE: Final = ".mlflowkitignore"
AIRFLOW_IGNORE_FILE: Final = ".airflowignore"
#: Folders in which nobody keeps pipelines; hidden ones are left out, too.
_NEVER: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may define DAGs, as it was when it was read."""

    path: str
    #: None when the file cannot be read; `why` says why then.
    content: bytes | None
    why: str = ""


def candidates(folder: Path, *, airflow: bool = False) -> list[Candidate]:
    """The files below `folder` that may define DAGs, ordered by their paths.

    Args:
        airflow: `.airflowignore` counts, too (Airflow 3's meaning: the same patterns).

    Raises:
        PipelineMissing: there is no such folder.
        BadIgnoreFile: an ignore file has a line that is no pattern.
    """
    if not folder.is_dir():
        raise PipelineMissing(str(folder), "is no folder that exists")
    names = (IGNORE_FILE, AIRFLOW_IGNORE_FILE) if airflow else (IGNORE_FILE,)
    paths = sorted(_walk(os.path.realpath(folder), (), names, set()))
    return [found for path in paths if (found := _candidate(path)) is not None]


def _walk(
    folder: str, ignoring: Ignoring, ignore_names: tuple[str, ...], seen: set[str]
) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:
        return  # a link that leads back up
    seen.add(real)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    here = {entry.name for entry in entries}
    if "store.db" in here:
        return  # a home: the copies of code in it are no pipeline files
    added = ((folder, _patterns(f"{folder}/{n}")) for n in ignore_names if n in here)
    ignoring = (*ignoring, *added)
    for entry in entries:
        is_folder = entry.is_dir()
        if is_folder and (entry.name.startswith(".") or entry.name in _NEVER):
            continue
        if not is_folder and not entry.name.endswith((".py", ".ipynb")):
            continue
        if ignoring and _ignored(entry.path, is_folder, ignoring):
            continue
        if is_folder:
            yield from _walk(entry.path, ignoring, ignore_names, seen)
        else:
            yield entry.path


def _patterns(path: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(Path(path).read_text().splitlines())
    except (OSError, ValueError) as exc:
        raise BadIgnoreFile(path, str(exc)) from exc


def _ignored(path: str, is_folder: bool, ignoring: Ignoring) -> bool:
    """The deepest ignore file that says anything about a path has the last word."""
    for folder, patterns in reversed(ignoring):
        below = os.path.relpath(path, folder) + ("/" if is_folder else "")
        said = patterns.check_file(below).include
        if said is not None:
            return bool(said)
    return False


def _candidate(path: str) -> Candidate | None:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as exc:
        return Candidate(path, None, exc.strerror or str(exc))
    if not mentions_dags(content):
        return None
    if path.endswith(".ipynb") and not defines_dags(Path(path)):
        return None
    return Candidate(path, content)


def mentions_dags(content: bytes) -> bool:
    """Does the text have the words that a file with DAGs has?"""
    return (b"mlflowkit" in content or b"airflow" in content) and b"dag" in content.lower()
