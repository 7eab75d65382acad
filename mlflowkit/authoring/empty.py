"""EmptyOperator: a task that does nothing, for other tasks to meet at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflowkit.authoring.operator import BaseOperator


class EmptyOperator(BaseOperator):
    """Does nothing, and succeeds."""

    def execute(self, context: Mapping[str, Any]) -> None:
        return None
