"""Holding the kernel of a notebook that failed, from the side of its execution.

What cannot be held is said in the task's log, and changes nothing about the failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlflowkit.nbrun import held
from mlflowkit.nbrun.kernel_client import NoForkedKernel
from mlflowkit.nbrun.kernel_forked import ForkedKernel
from mlflowkit.settings import settings
from mlflowkit.worker import masking

if TYPE_CHECKING:
    from mlflowkit.errors import CellFailed
    from mlflowkit.nbrun.kernel_handle import KernelHandle
    from mlflowkit.ports import NotebookOrder

log = logging.getLogger("mlflowkit.task.notebook")
#: Cells that ended so leave a kernel that answers.
_ALIVE = ("error", "timeout")


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long a kernel is held, and what it is found by."""

    seconds: float = 0.0
    owner: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def hold(
    keep: Keep, kernel: KernelHandle, error: CellFailed, output: str
) -> Mapping[str, Any]:
    """Have the kernel server hold it, where that is wished and can be.

    Returns:
        What the executed notebook says of it: `id`, `until`; empty: it is not held.
    """
    if not may_hold(keep, kernel, error):
        if keep.seconds > 0 and kernel.why_cold and not kernel.dead:
            log.info("its kernel is not held: it is a cold one (%s)", kernel.why_cold)
        return {}
    assert isinstance(kernel, ForkedKernel)
    now = settings()
    limits = {"most": now.held_kernels, "share": now.held_kernels_memory}
    facts = {
        **keep.owner,
        "cell": error.cell,
        "error": masking.masker().text(f"{error.ename}: {error.evalue}")[:200],
        "notebook": output,
    }
    try:
        name, ended = await kernel.hold(keep.seconds, facts, limits)
    except NoForkedKernel as exc:
        log.info("its kernel is not held: %s", exc)
        return {}
    for one in ended:
        named = (one.get("task_id"), one.get("run_id"), now.held_kernels)
        log.info("the held kernel of %s of %s ended: %d are held, no more", *named)
    await asyncio.to_thread(forget_earlier, keep.owner)
    until = datetime.now(UTC) + timedelta(seconds=keep.seconds)
    told = until.isoformat(timespec="seconds")
    log.info(
        "its kernel is held until %s: mlflowkit notebook open %s %s",
        told,
        keep.owner.get("run_id", ""),
        keep.owner.get("task_id", ""),
    )
    return {"id": name, "until": told}


def may_hold(keep: Keep, kernel: KernelHandle, error: CellFailed) -> bool:
    """Whether a kernel that a failed notebook leaves is to be held, and answers still."""
    if keep.seconds <= 0 or kernel.dead or error.status not in _ALIVE:
        return False
    return isinstance(kernel, ForkedKernel)


def wanted(order: NotebookOrder) -> Keep:
    """What an order says of it."""
    kept = order.keep_failed_kernel
    return Keep(kept.total_seconds() if kept else 0.0, order.owner)


def forget_earlier(owner: Mapping[str, Any]) -> None:
    """End what is held of earlier attempts of this task instance, unless somebody uses it."""
    if owner.get("attempt", 1) < 2:
        return
    for one in of_owner(owner):
        if one.attempt < owner["attempt"] and not one.opened:
            one.release()


def of_owner(owner: Mapping[str, Any]) -> list[held.HeldKernel]:
    """What is held of the task instance that this is the owner of."""
    wanted = (owner["run_id"], owner["task_id"], owner["map_index"])
    return held.of_instance(owner["home"], *wanted)
