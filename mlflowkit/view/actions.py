"""What a person asks of a run on a screen, handed to its engine. Nothing is decided here."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from mlflowkit.core.spec import UNMAPPED
from mlflowkit.engine.client import ensure_engine
from mlflowkit.errors import BadViewRequest
from mlflowkit.run_handle import RunHandle

if TYPE_CHECKING:
    from mlflowkit.view.feed import RunFeed


def act(feed: RunFeed, action: str, task_id: str | None, map_index: int) -> str:
    """Ask the engine. Returns a line for the person who asked; "heard" where it has none.

    Raises:
        BadViewRequest: there is no such action.
        EngineRefused, EngineGone, UserError: why it cannot be.
    """
    handle = RunHandle(feed.run_id, feed.home, feed.dag)
    match action:
        case "cancel":
            handle.cancel()
            return "cancel was asked for"
        case "resume":
            _call(feed, "resume", run_ids=[feed.run_id])
            return "it goes on"
        case "retry":
            return _retry(handle, None)
        case "clear" if task_id is not None:
            return _retry(handle, [task_id])
        case "clear_only" if task_id is not None:
            return _retry(handle, [task_id], downstream=False)
        case "retry_cell" if task_id is not None:
            return _retry(handle, [task_id], resume="cell")
        case "stop" | "retry_now" | "give_up" if task_id is not None:
            taken = _call(
                feed,
                "instance",
                run_id=feed.run_id,
                task_id=task_id,
                map_index=map_index,
                what=action,
            )
            return _SAID[action] if taken else "too late: nobody works on this run now"
        case "mark_success" | "mark_failed" if task_id is not None:
            task = handle[task_id]
            state = action.removeprefix("mark_")
            (task if map_index == UNMAPPED else task[map_index]).mark(state)
            return f"it was marked {state}"
        case _:
            raise BadViewRequest("act", f"there is no action {action[:60]!r} here")


_SAID = {
    "stop": "its attempt is being stopped",
    "retry_now": "its next try starts as soon as there is a place",
    "give_up": "it is not tried again",
}


def _call(feed: RunFeed, do: str, **arguments: Any) -> Any:
    client = ensure_engine(feed.home)
    try:
        return client.call(do, **arguments)
    finally:
        client.close()


def _retry(handle: RunHandle, task_ids: list[str] | None, **how: Any) -> str:
    """Retry, and say which code changed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        handle.retry(task_ids, **how)
    return said.getvalue().strip() or "it runs again, with the same code"
