"""A call that blocks, made beside the event loop. Knows nothing of what is called."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def beside(call: Callable[[], T], unwanted: Callable[[T], None]) -> T:
    """As `asyncio.to_thread`, whose pool takes as long to close as a kernel to come.

    Args:
        call: Runs in a thread of its own, which nothing waits for at the end.
        unwanted: Gets what it returned when nobody waits for it any more.

    Raises:
        Whatever `call` does.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T) -> None:
        if answer.done():
            unwanted(result)
        else:
            answer.set_result(result)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def work() -> None:
        try:
            result = call()
        except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
            with suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(fail, exc)
            return
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:
            unwanted(result)

    threading.Thread(target=work, daemon=True, name="mlflowkit-beside").start()
    return await answer
