"""A notebook as a run left it: `run["fit"].notebook()`. Never written to."""

from __future__ import annotations

import json
from pathlib import Path


class ExecutedNotebook:
    """A notebook with its outputs, as a run left it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def status(self) -> str:
        """How its execution ended: "completed", "failed", "timeout", "killed", …"""
        found = json.loads(self.path.read_text(encoding="utf-8"))
        status: str = found["metadata"].get("mlflowkit", {}).get("status", "")
        return status

    def html(self, *, report: bool = False) -> str:
        """The notebook as a page of its own; as a report, without its code.

        Raises:
            MissingExtra: nbconvert is not installed.
        """
        from mlflowkit.nbrun.report import to_html

        return to_html(self.path, report=report)

    def __repr__(self) -> str:
        return f"<executed notebook {self.path}>"
