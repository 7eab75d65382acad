"""`mlflowkit.clean(older_than="30d")`: old runs lose their files and values.

Of a run that ended long ago this removes logs, journals, executed notebooks, state folders
and XComs; then artifacts that nothing refers to any more. What the run was (its states,
times and errors) stays, and so does everything of a run that has not ended, of the latest
run of a DAG and of the latest that succeeded.

Each step may be done twice: after a crash the next cleaning goes on where this one ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.artifacts.serializers import references
from mlflowkit.errors import ArtifactMissing, BadOption, CannotClean, UserError
from mlflowkit.home_store import database
from mlflowkit.settings import home_path
from mlflowkit.store import cleaning
from mlflowkit.store.cleaning import MARK, OldRun, cleaned_at
from mlflowkit.store.database import Database

#: What is newer may still be wanted by whoever has just made it.
LEAST: Final = timedelta(hours=1)
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
#: The names of artifacts in files of a person's own: in state folders, for one.
_DIGEST: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LARGEST_READ: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed; with `dry_run`, what would be."""

    runs: tuple[str, ...]
    files: int
    artifacts: int
    #: Bytes of both.
    size: int
    dry_run: bool

    def __repr__(self) -> str:
        verb = "would remove" if self.dry_run else "removed"
        runs = f"{len(self.runs)} run" + ("" if len(self.runs) == 1 else "s")
        return (
            f"{verb} {self.files} files and the values of {runs}, and {self.artifacts} "
            f"artifacts: {self.size / 1e6:,.1f} MB"
        )


def clean(older_than: str | timedelta, *, dry_run: bool = False) -> Cleaned:
    """Remove what runs left that ended long ago. See the top of this module.

    Args:
        older_than: "30d", "12h", "2w", or a timedelta; at least an hour.
        dry_run: Only say what would be removed.

    Raises:
        BadOption: `older_than` is no length of time, or a shorter one.
        CannotClean: another cleaning is at work; or it cannot be told what is still needed.
    """
    folder, age = home_path(), age_of(older_than)
    before = datetime.now(UTC) - age
    if not (folder / "store.db").exists():
        return Cleaned((), 0, 0, 0, dry_run)
    with _alone(folder):
        return _Cleaning(folder, before, dry_run).do()


def age_of(text: str | timedelta) -> timedelta:
    """A length of time. Raises BadOption."""
    where, name = "clean()", "older_than"
    if isinstance(text, timedelta):
        age = text
    else:
        found = re.fullmatch(r"\s*(\d{1,6})\s*([hdw])\s*", str(text))
        if found is None:
            problem = f'must be like "30d", "12h" or "2w", not {text!r}'
            raise BadOption(where, name, problem)
        age = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if age < LEAST:
        raise BadOption(where, name, "must be an hour at least: newer files are in use")
    return age


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One cleaning at a time."""
    fd = os.open(folder / "clean.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise CannotClean("another cleaning of this home is at work.") from exc
    finally:
        os.close(fd)


class _Cleaning:
    """One cleaning of a home."""

    def __init__(self, folder: Path, before: datetime, dry_run: bool) -> None:
        self._folder, self._before, self._dry = folder, before, dry_run
        self._database: Database = database(folder)
        self._artifacts = FileArtifacts(folder / "artifacts")

    def do(self) -> Cleaned:
        with self._database.reading() as tx:
            found = cleaning.old_runs(tx, self._before)
            old = [run for run in found if self._holds_something(tx, run)]
        needed = self._needed(old)  # what cannot be read stops this before anything is gone
        done: list[str] = []
        files = size = 0
        for run in old:
            if self._dry or self._empty(run):
                counted = self._remove_files(run)
                files, size = files + counted[0], size + counted[1]
                done.append(run.run_id)
        if not self._dry:
            needed = self._needed([])
        artifacts, freed = self._remove_artifacts(needed)
        return Cleaned(tuple(done), files, artifacts, size + freed, self._dry)

    def _holds_something(self, tx: object, run: OldRun) -> bool:
        """Whether an earlier cleaning has not had it, or did not finish."""
        return not cleaned_at(self._run_folder(run)) or any(self._files(run))

    def _run_folder(self, run: OldRun) -> Path:
        return self._folder / "runs" / run.run_id

    def _files(self, run: OldRun) -> Iterator[Path]:
        for place in (self._run_folder(run), self._folder / "state" / run.run_id):
            for folder, _, names in os.walk(place):
                found = (Path(folder) / name for name in names)
                yield from (path for path in found if path.name != MARK)

    # ── runs ──

    def _empty(self, run: OldRun) -> bool:
        """First the mark, then the values, then the files: what is half done shows it."""
        folder = self._run_folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / MARK
        had = mark.exists()
        temporary = mark.with_name(f".{MARK}.{os.getpid()}")
        temporary.write_text(json.dumps({"at": datetime.now(UTC).isoformat()}))
        temporary.replace(mark)
        with self._database.writing() as tx:
            emptied = cleaning.empty(tx, run, self._before)
        if not emptied and not had:
            mark.unlink()
        return emptied

    def _remove_files(self, run: OldRun) -> tuple[int, int]:
        counts = [_size(path) for path in self._files(run)]
        if not self._dry:
            shutil.rmtree(self._folder / "state" / run.run_id, ignore_errors=True)
            for entry in list(self._run_folder(run).iterdir()):
                if entry.name == MARK:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
        return len(counts), sum(counts)

    # ── artifacts ──

    def _needed(self, without: Iterable[OldRun]) -> set[str]:
        """The artifacts that all other runs refer to, and those that files of theirs name.

        Raises:
            CannotClean: a value cannot be read, so nobody can say what it refers to.
        """
        keys = {run.run_key for run in without}
        found: set[str] = set()
        with self._database.reading() as tx:
            for stored in cleaning.values(tx, keys):
                try:
                    found.update(references(stored, self._artifacts))
                except ArtifactMissing:
                    continue  # what it referred to cannot be known, nor be read
                except UserError as exc:
                    why = f"a value of a run cannot be read ({exc})"
                    raise CannotClean(why) from exc
        gone = {run.run_id for run in without}
        return found | set(self._named_in_states(gone))

    def _named_in_states(self, gone: set[str]) -> Iterator[str]:
        top = self._folder / "state"
        for folder, _, names in os.walk(top):
            inside = Path(folder).relative_to(top).as_posix()
            if any(inside == run_id or inside.startswith(f"{run_id}/") for run_id in gone):
                continue
            for path in (Path(folder) / name for name in names):
                with suppress(OSError):
                    if path.stat().st_size <= _LARGEST_READ:
                        yield from (d.decode() for d in _DIGEST.findall(path.read_bytes()))

    def _remove_artifacts(self, needed: set[str]) -> tuple[int, int]:
        with self._database.reading() as tx:
            since = cleaning.working_since(tx)
        # A task that runs may have stored what no row names yet.
        oldest = min(self._before, since - LEAST) if since is not None else self._before
        count = size = 0
        for digest in self._artifacts:
            if digest in needed:
                continue
            path = self._artifacts.root / digest[:2] / digest[2:]
            freed = self._remove_if_older(path, oldest.timestamp())
            count, size = count + (freed is not None), size + (freed or 0)
        return count, size

    def _remove_if_older(self, path: Path, moment: float) -> int | None:
        """Its size, if it was put before that moment. Somebody may be putting it again now:
        it is taken aside first, and put back if it was touched meanwhile."""
        try:
            found = path.stat()
            if found.st_mtime >= moment:
                return None
            if self._dry:
                return found.st_size
            aside = path.with_name(f".{path.name}.{time.monotonic_ns()}")
            path.rename(aside)
            if aside.stat().st_mtime >= moment:
                aside.replace(path)
                return None
            aside.unlink()
        except OSError:
            return None  # it is gone already, or not ours to remove
        return found.st_size


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
