"""What a person asks of a run on a screen, handed to its engine. Nothing is decided here.

Texts come back as facts: nothing is printed, and nobody's standard output is touched. Other
cells print meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflowkit.core.spec import UNMAPPED
from mlflowkit.engine.client import ensure_engine
from mlflowkit.errors import BadViewRequest
from mlflowkit.handles.again import Wish, plan, run_again
from mlflowkit.handles.run import RunHandle

if TYPE_CHECKING:
    from mlflowkit.view.feed import RunFeed

#: Names in a line for people.
MOST_NAMED = 6


def act(feed: RunFeed, action: str, task_id: str | None, map_index: int) -> str:
    """Ask the engine. Returns a line for the person who asked; "heard" where it has none.

    Raises:
        BadViewRequest: there is no such action.
        EngineRefused, EngineGone, UserError: why it cannot be.
    """
    handle = RunHandle(feed.run_id, feed.home, feed.dag)
    wish = _wish(action, task_id, map_index)
    if wish is not None:
        changed = run_again(handle, wish)
        return f"it runs again, {code_line(feed, changed)}"
    match action:
        case "cancel":
            handle.cancel()
            return "cancel was asked for"
        case "resume":
            _call(feed, "resume", run_ids=[feed.run_id])
            return "it goes on"
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
            raise _unknown(action)


def foreseen(
    feed: RunFeed, action: str, task_id: str | None, map_index: int
) -> dict[str, Any]:
    """What an action would do: `line` for people, and `ask`, a question, where something
    would be lost (else empty). Nothing is changed.

    Raises:
        As `act`.
    """
    wish = _wish(action, task_id, map_index)
    if wish is None:
        raise _unknown(action)
    found = plan(RunHandle(feed.run_id, feed.home, feed.dag), wish)
    code = code_line(feed, found.changed)
    again = _listed(found.again) or "nothing"
    line = f"{again} ({code})"
    ask = f"Run {again} again, {code}? Results of {_listed(found.lost)} are replaced."
    return {"line": line, "ask": ask if found.lost else "", "changed": list(found.changed)}


def code_line(feed: RunFeed, changed: tuple[str, ...]) -> str:
    """Which code it goes on with."""
    if changed:
        return f"with changed code: {_listed(changed)}"
    return "with the same code" if feed.dag is not None else "with the code that it had"


def _wish(action: str, task_id: str | None, map_index: int) -> Wish | None:
    """What is to run again; None for an action that runs nothing again."""
    if action == "retry":
        return Wish()
    if task_id is None or action not in ("clear", "clear_only", "retry_cell"):
        return None
    where: dict[str, Any] = {"task_ids": (task_id,)}
    if map_index != UNMAPPED:
        where = {"parts": {task_id: (map_index,)}}
    resume = "cell" if action == "retry_cell" else ""
    return Wish(resume=resume, downstream=action != "clear_only", **where)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _unknown(action: str) -> BadViewRequest:
    return BadViewRequest("act", f"there is no action {action[:60]!r} here")


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
