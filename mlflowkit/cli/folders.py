"""Keeping the scheduler in step with folders of pipeline files.

Each folder is looked at by times and sizes alone; when something has changed it is loaded,
in a process of its own. Never runs a person's code in this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from mlflowkit.authoring.folder import FolderReport, LoadedDag
from mlflowkit.authoring.folder_cache import ErrorEntry, FileEntry
from mlflowkit.cli.dags import error_text
from mlflowkit.engine.client import EngineClient
from mlflowkit.engine.published_dags import FolderDag
from mlflowkit.errors import FolderNotLoaded, MlflowkitError
from mlflowkit.publishing import folder_request

LOOK_SECONDS: Final = 5.0
#: An error is tried again so often, though no file has changed: something was installed.
ERRORS_AGAIN_SECONDS: Final = 60.0
#: DAGs that are sent at once.
_AT_ONCE: Final = 200
_NEVER: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})

Stamp = dict[str, tuple[int, int]]
Say = Callable[[str], None]


def load(folder: Path, home: Path, *, airflow: bool = False) -> FolderReport:
    """What a folder defines, loaded by another process.

    Raises:
        FolderNotLoaded: it cannot be loaded at all.
    """
    command = [sys.executable, "-P", "-m", "mlflowkit.load_folder", str(folder)]
    done = subprocess.run(
        [*command, "--home", str(home), *(["--airflow"] if airflow else [])],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise FolderNotLoaded(folder, done.stderr.decode(errors="replace").strip())
    last: dict[str, Any] = json.loads(lines[-1])
    files = tuple(msgspec.json.decode(line, type=FileEntry) for line in lines[:-1])
    return FolderReport(
        folder=last["folder"], files=files, unchanged=last["unchanged"], home=last["home"]
    )


def stamp_of(folder: Path, others: set[str]) -> Stamp:
    """Time and size of each file of the folder, and of others that its DAGs are made of."""
    found: Stamp = {}
    for path in [*_files(str(folder)), *others]:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found


def _files(folder: str) -> Iterator[str]:
    for here, below, names in os.walk(folder, followlinks=False):
        below[:] = [n for n in below if not n.startswith(".") and n not in _NEVER]
        yield from (os.path.join(here, name) for name in names)


@dataclass
class Folder:
    """A folder that the scheduler follows."""

    path: Path
    home: Path
    say: Say
    #: DAGs that are new run at once; else they wait until a person unpauses them.
    unpaused: bool = False
    #: Files that import Airflow are files for Airflow.
    airflow: bool = False
    _stamp: Stamp | None = None
    _others: set[str] = field(default_factory=set[str])
    _loaded_at: float = 0.0
    _errors: dict[str, str] = field(default_factory=dict[str, str])
    #: What was sent last, by DAG.
    _sent: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def look(self, client: EngineClient, now: float) -> bool:
        """Load it and tell the scheduler, if something has changed. Whether it was loaded.

        Args:
            now: Of the monotonic clock, in seconds.
        """
        stamp = stamp_of(self.path, self._others)
        again = bool(self._errors) and now - self._loaded_at >= ERRORS_AGAIN_SECONDS
        if stamp == self._stamp and not again:
            return False
        self._stamp, self._loaded_at = stamp, now
        try:
            report = load(self.path, self.home, airflow=self.airflow)
        except FolderNotLoaded as exc:
            self._tell_errors({str(self.path): str(exc)})
            return True
        self._others = {p for entry in report.files for p in entry.made_of}
        self._stamp = stamp_of(self.path, self._others) if self._others else stamp
        self.hand_over(report, client)
        return True

    def hand_over(self, report: FolderReport, client: EngineClient) -> None:
        """Publish what is new or changed, retire what is gone, and say both."""
        errors = {_key(e): error_text(e) for e in report.errors}
        orders = [self._order(one) for one in report.dags]
        told = self._publish(orders, report.folder, client)
        errors |= {dag_id: why for dag_id, what, why in told if what == "refused"}
        kept = _still_there(report, client.home)
        keep = [*(one.dag_id for one in report.dags), *kept]
        gone = client.call("retire", folder=report.folder, keep=keep)
        for dag_id in gone:
            self._sent.pop(dag_id, None)
        self._tell(told, gone, {o.request.dag_id for o in orders if o.paused})
        self._tell_errors(errors, kept)

    def _order(self, one: LoadedDag) -> FolderDag:
        paused = one.paused if one.paused is not None else not self.unpaused
        request = folder_request(one, self.home)
        return FolderDag(request=request, file=one.file, paused=paused)

    def _publish(
        self, orders: list[FolderDag], folder: str, client: EngineClient
    ) -> list[tuple[str, str, str]]:
        """Only those that differ from what was sent before."""
        bodies = {o.request.dag_id: msgspec.json.encode(o) for o in orders}
        news = [
            o
            for o in orders
            if self._sent.get(o.request.dag_id) != bodies[o.request.dag_id]
        ]
        told: list[tuple[str, str, str]] = []
        for first in range(0, len(news), _AT_ONCE):
            some = [msgspec.to_builtins(o) for o in news[first : first + _AT_ONCE]]
            answer = client.call("publish_all", dags=some, folder=folder)
            told += [(dag_id, what, why) for dag_id, what, why in answer]
        self._sent |= {d: bodies[d] for d, what, _ in told if what != "refused"}
        return told

    def _tell(
        self, told: list[tuple[str, str, str]], gone: list[str], paused: set[str]
    ) -> None:
        new = [dag_id for dag_id, what, _ in told if what == "new"]
        waiting = [dag_id for dag_id in new if dag_id in paused]
        running = [dag_id for dag_id in new if dag_id not in paused]
        changed = [dag_id for dag_id, what, _ in told if what == "changed"]
        if running:
            self.say(f"new: {_names(running)}")
        if waiting:
            first = waiting[0] if len(waiting) == 1 else "DAG"
            self.say(
                f"new, and paused: {_names(waiting)}; `mlflowkit dags unpause {first}` starts "
                "what its schedule asks for"
            )
        if changed:
            self.say(f"changed: {_names(changed)}")
        if gone:
            self.say(f"gone from {self.path}, no more runs: {_names(gone)}")

    def _tell_errors(self, errors: dict[str, str], kept: list[str] | None = None) -> None:
        news = [text for key, text in errors.items() if self._errors.get(key) != text]
        for text in news:
            self.say(f"error: {text}")
        if news and kept:
            self.say(f"goes on as it was before the error: {_names(kept)}")
        if self._errors and not errors:
            self.say(f"{self.path}: no more errors")
        self._errors = errors


def _key(error: ErrorEntry) -> str:
    return f"{error.file}\0{error.dag_id}"


def _names(dag_ids: list[str]) -> str:
    shown = ", ".join(sorted(dag_ids)[:20])
    return f"{shown}, … ({len(dag_ids)} DAGs)" if len(dag_ids) > 20 else shown


def _still_there(report: FolderReport, home: Path) -> list[str]:
    """DAGs whose file is there, but cannot be loaded at present: their last good code counts."""
    from mlflowkit.home_store import database
    from mlflowkit.store import published

    broken = {(e.file, e.dag_id) for e in report.errors}
    loaded = {one.dag_id for one in report.dags}
    with database(home).reading() as tx:
        lines = [line for line in published.lines(tx) if line.folder == report.folder]
    return [
        one.dag_id
        for one in lines
        if one.dag_id not in loaded
        and ((one.file, "") in broken or (one.file, one.dag_id) in broken)
    ]


class Watch(threading.Thread):
    """Looks at folders again and again, until it is stopped."""

    def __init__(self, folders: list[Folder], home: Path, say: Say) -> None:
        super().__init__(name="folders", daemon=True)
        self._folders, self._home, self._say = folders, home, say
        self._over = threading.Event()

    def run(self) -> None:
        import time

        client = EngineClient(self._home)
        while not self._over.is_set():
            for folder in self._folders:
                try:
                    folder.look(client, time.monotonic())
                except MlflowkitError as exc:
                    folder._stamp = None
                    if not self._over.is_set():
                        self._say(f"error: {exc}")
            self._over.wait(LOOK_SECONDS)
        client.close()

    def stop(self) -> None:
        self._over.set()
