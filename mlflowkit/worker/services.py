"""Long-lived processes that a task asks for: the engine starts them, so they outlive the attempt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlflowkit.worker.sides import Link


class AskedServices:
    """`ports.Services` of an attempt."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def start(
        self, name: str, argv: list[str], *, env: Mapping[str, str], log: Path
    ) -> int:
        pid: int = self._link.ask(
            "service_start", name=name, argv=argv, env=dict(env), log=str(log)
        )
        return pid

    def stop(self, name: str) -> None:
        self._link.ask("service_stop", name=name)
