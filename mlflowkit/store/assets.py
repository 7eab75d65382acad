"""Assets in the store: what updated them, and which DAGs still wait to be started by that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from mlflowkit.core.spec import AttemptId
from mlflowkit.store import codec
from mlflowkit.store.tables import asset_events, asset_queue, run_assets


class AssetEvent(NamedTuple):
    """An asset was updated."""

    event_id: int
    uri: str
    at: datetime
    extra: Any
    source_run_id: str | None
    source_task_id: str | None
    source_map_index: int | None

    def plain(self) -> dict[str, Any]:
        """For a task that asks."""
        return {
            **self._asdict(),
            "at": self.at.isoformat(),
            "timestamp": self.at.isoformat(),
        }


def add_event(
    tx: Connection,
    uri: str,
    extra_json: bytes,
    source: AttemptId | None,
    watchers: Iterable[str],
    now: datetime,
) -> int:
    """An asset was updated; the DAGs that wait for it will hear. Returns the event's id."""
    event_id: int = tx.execute(
        insert(asset_events)
        .values(
            uri=uri,
            at=now,
            extra=extra_json,
            source_run=source.run_id if source else None,
            source_task=source.task_id if source else None,
            source_map_index=source.map_index if source else None,
        )
        .returning(asset_events.c.id)
    ).scalar_one()
    rows = [{"dag_id": dag_id, "event_id": event_id} for dag_id in watchers]
    if rows:
        tx.execute(insert(asset_queue), rows)
    return event_id


def waiting_events(tx: Connection, dag_id: str) -> list[AssetEvent]:
    """Events that a DAG has had no run for yet, oldest first."""
    found = tx.execute(
        _events()
        .join(asset_queue, asset_queue.c.event_id == asset_events.c.id)
        .where(asset_queue.c.dag_id == dag_id)
        .order_by(asset_events.c.id)
    )
    return [_event(r) for r in found]


def waiting_dags(tx: Connection) -> list[str]:
    """DAGs with events that they have had no run for yet."""
    return list(tx.execute(select(asset_queue.c.dag_id).distinct()).scalars())


def started_by(
    tx: Connection, dag_id: str, run_key: int, events: Sequence[AssetEvent]
) -> None:
    """These events have started a run: they wait no more."""
    ids = [event.event_id for event in events]
    tx.execute(insert(run_assets), [{"run_key": run_key, "event_id": i} for i in ids])
    tx.execute(
        delete(asset_queue).where(
            asset_queue.c.dag_id == dag_id, asset_queue.c.event_id.in_(ids)
        )
    )


def forget_waiting(tx: Connection, dag_id: str) -> None:
    """A DAG waits for nothing any more."""
    tx.execute(delete(asset_queue).where(asset_queue.c.dag_id == dag_id))


def forget_others(tx: Connection, dag_id: str, uris: Sequence[str]) -> None:
    """A DAG waits for these assets alone from now on."""
    others = select(asset_events.c.id).where(asset_events.c.uri.not_in(list(uris)))
    mine = asset_queue.c.dag_id == dag_id
    tx.execute(delete(asset_queue).where(mine, asset_queue.c.event_id.in_(others)))


def events_of_run(tx: Connection, run_key: int) -> list[AssetEvent]:
    """The events that a run was started by, oldest first."""
    found = tx.execute(
        _events()
        .join(run_assets, run_assets.c.event_id == asset_events.c.id)
        .where(run_assets.c.run_key == run_key)
        .order_by(asset_events.c.id)
    )
    return [_event(r) for r in found]


def events_of(tx: Connection, uris: Sequence[str], limit: int = 1000) -> list[AssetEvent]:
    """The latest events of some assets, oldest first."""
    found = tx.execute(
        _events()
        .where(asset_events.c.uri.in_(list(uris)))
        .order_by(asset_events.c.id.desc())
        .limit(limit)
    )
    return [_event(r) for r in found][::-1]


def _events() -> Any:
    return select(asset_events)


def _event(row: Any) -> AssetEvent:
    return AssetEvent(
        row.id,
        row.uri,
        row.at,
        codec.decode(row.extra),
        row.source_run,
        row.source_task,
        row.source_map_index,
    )
