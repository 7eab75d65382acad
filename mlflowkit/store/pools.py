"""Pools in the store: how many slots each has. Each function does one thing inside a
transaction it is given. `default_pool` is always there, whether anybody has set it or not."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import delete, select

from mlflowkit.core.offers import UNLIMITED
from mlflowkit.core.spec import DagSpec
from mlflowkit.core.waits import pool_is_short
from mlflowkit.errors import BadPool, PoolMissing
from mlflowkit.store.database import Transaction
from mlflowkit.store.prepared import upsert
from mlflowkit.store.tables import pools

DEFAULT_POOL: Final = "default_pool"
DEFAULT_SLOTS: Final = 128
_DEFAULT_DESCRIPTION: Final = "Tasks that name no pool"


class PoolEntry(NamedTuple):
    """A pool."""

    name: str
    slots: int
    description: str


def put_pool(tx: Transaction, name: str, slots: int, description: str = "") -> None:
    """Make a pool, or change one.

    Raises:
        BadPool: it has no name, or fewer slots than none.
    """
    if not name.strip() or len(name) > 250:
        raise BadPool(name, "needs a name of 1 to 250 characters.")
    if slots < UNLIMITED:
        raise BadPool(
            name, f"cannot have {slots} slots: give 0 or more, or -1 for no limit."
        )
    tx.execute(upsert(pools), {"name": name, "slots": slots, "description": description})


def list_pools(tx: Transaction) -> list[PoolEntry]:
    """All of them, by name; `default_pool` among them."""
    query = select(pools.c.name, pools.c.slots, pools.c.description)
    found = {row.name: PoolEntry(*row) for row in tx.execute(query)}
    default = PoolEntry(DEFAULT_POOL, DEFAULT_SLOTS, _DEFAULT_DESCRIPTION)
    found.setdefault(DEFAULT_POOL, default)
    return [found[name] for name in sorted(found)]


def get_pools(tx: Transaction) -> dict[str, int]:
    """Slots by name; -1 is no limit."""
    return {pool.name: pool.slots for pool in list_pools(tx)}


def check_pools(tx: Transaction, spec: DagSpec) -> None:
    """That every task of a DAG can get its slots, before anything of it is saved.

    Raises:
        PoolMissing: there is no such pool.
        BadPool: it has fewer slots than the task needs.
    """
    slots = get_pools(tx)
    for task in spec.tasks.values():
        if task.pool not in slots:
            raise PoolMissing(task.pool, slots)
        if pool_is_short(task, slots):
            why = (
                f"has {slots[task.pool]} slots, and task {task.task_id!r} needs "
                f"{task.pool_slots}: give the pool more, or the task fewer (pool_slots=)."
            )
            raise BadPool(task.pool, why)


def delete_pool(tx: Transaction, name: str) -> bool:
    """Whether there was one to delete.

    Raises:
        BadPool: it is the one that is always there.
    """
    if name == DEFAULT_POOL:
        raise BadPool(name, "is always there and cannot be deleted; set its slots instead.")
    return tx.execute(delete(pools).where(pools.c.name == name)).rowcount == 1
