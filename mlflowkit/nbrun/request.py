"""One request to a kernel, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request to the kernel ended."""

    #: "ok", "error", "timeout", "killed" or "interrupted".
    how: str
    reply: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Request:
    """One request, until its reply and its last output are there."""

    def __init__(self) -> None:
        #: "done", or what cut it short: "killed", "interrupted", "timeout".
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.reply: dict[str, Any] | None = None
        self.idle = self.interrupted = False
        self.heard_at = 0.0

    def settle(self, how: str) -> None:
        told = how == "interrupted" and self.interrupted
        if not self.over.done() and not told:
            self.over.set_result(how)

    def heard(self) -> None:
        if self.reply is not None and self.idle:
            self.settle("done")
