"""The DAGs that were handed to the scheduler: new ones, newer code, paused, taken away.

What it changes is saved before it returns; planning what comes next is the scheduler's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlflowkit.errors import (
    BadPool,
    BadTimetable,
    DagNotPublished,
    PoolMissing,
    PublishedElsewhere,
)
from mlflowkit.ports import RunRequest
from mlflowkit.store import assets, codec, published
from mlflowkit.store.pools import check_pools
from mlflowkit.store.publish import publish

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess
    from mlflowkit.store.database import Transaction
    from mlflowkit.store.published import Published


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderDag:
    """A DAG of a folder, for the scheduler. Plain data."""

    request: RunRequest
    file: str
    #: If it is new: whether it waits until a person unpauses it.
    paused: bool


class PublishedDags:
    """What people do with the published DAGs of a home."""

    def __init__(self, engine: EngineProcess, changed: Callable[..., None]) -> None:
        """`changed(*dag_ids)` hears of what was published, changed, paused or deleted."""
        self._engine, self._database = engine, engine.database
        self._changed = changed

    def publish(self, request: RunRequest, *, paused: bool | None, replace: bool) -> bool:
        """Hand a DAG to the scheduler, or give it newer code. Whether anything changed.

        Raises:
            PublishedElsewhere: its id belongs to one of another file.
            PoolMissing, BadPool: a task of it could never start.
            HomeUnwritable: it cannot be saved.
        """
        with self._engine.saving() as tx:
            what = _publish(tx, request, self._engine.now(), paused=paused, replace=replace)
        if what != "same":
            self._changed(request.dag_id)
        return what != "same"

    def publish_all(
        self, dags: Sequence[FolderDag], folder: str
    ) -> list[tuple[str, str, str]]:
        """The same for DAGs of a folder, at once. For each its id, what came of it ("new",
        "changed", "same", "refused") and, if it was refused, why.

        Raises:
            HomeUnwritable: none of it can be saved.
        """
        told: list[tuple[str, str, str]] = []
        now = self._engine.now()
        with self._engine.saving() as tx:
            for one in dags:
                what, why = _of_folder(tx, one, folder, now)
                told.append((one.request.dag_id, what, why))
        touched = [dag_id for dag_id, what, _ in told if what in ("new", "changed")]
        if touched:
            self._changed(*touched)
        return told

    def retire(self, folder: str, keep: Collection[str]) -> list[str]:
        """Take the DAGs of a folder that are no longer there from the scheduler. Their runs
        stay. Which ones."""
        with self._engine.saving() as tx:
            gone = [d for d in published.in_folder(tx, folder) if d not in set(keep)]
            for dag_id in gone:
                _remove(tx, dag_id)
        if gone:
            self._changed(*gone)
        return gone

    def known(self, dag_id: str) -> Published:
        """A published DAG.

        Raises:
            DagNotPublished: there is none of this id.
        """
        with self._database.reading() as tx:
            found = published.get(tx, dag_id)
            if found is None:
                raise DagNotPublished(dag_id, [one.dag_id for one in published.lines(tx)])
        return found

    def pause(self, dag_id: str, paused: bool) -> None:
        """Start no runs of a DAG by its schedule, or start them again.

        Raises:
            DagNotPublished: there is none of this id.
        """
        self.known(dag_id)
        with self._engine.saving() as tx:
            published.set_paused(tx, dag_id, paused, self._engine.now())
        self._changed(dag_id)
        if not paused:
            self._engine.schedules.assets_updated([dag_id])

    def delete(self, dag_id: str) -> None:
        """Take a DAG from the scheduler. Its runs stay.

        Raises:
            DagNotPublished: there is none of this id.
        """
        self.known(dag_id)
        with self._engine.saving() as tx:
            _remove(tx, dag_id)
        self._changed(dag_id)


def _remove(tx: Transaction, dag_id: str) -> None:
    published.remove(tx, dag_id)
    assets.forget_waiting(tx, dag_id)


def _of_folder(
    tx: Transaction, one: FolderDag, folder: str, now: datetime
) -> tuple[str, str]:
    """What came of it; a DAG that is refused takes nothing from the others."""
    try:
        what = _publish(
            tx,
            one.request,
            now,
            paused=one.paused,
            replace=False,
            folder=folder,
            file=one.file,
        )
    except (PublishedElsewhere, BadTimetable, PoolMissing, BadPool) as exc:
        return "refused", str(exc)
    return what, ""


def _publish(
    tx: Transaction,
    request: RunRequest,
    now: datetime,
    *,
    paused: bool | None,
    replace: bool,
    folder: str = "",
    file: str = "",
) -> str:
    """ "new", "changed" or "same"."""
    check_pools(tx, codec.decode_spec(request.spec_json))
    is_new = published.get(tx, request.dag_id) is None
    changed = publish(
        tx,
        request,
        now,
        paused=paused,
        replace=replace,
        folder=folder,
        file=file,
    )
    return "new" if is_new else "changed" if changed else "same"
