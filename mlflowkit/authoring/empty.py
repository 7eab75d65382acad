"""EmptyOperator: a task that does nothing, for other tasks to meet at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflowkit.authoring.operator import BaseOperator


class EmptyOperator(BaseOperator):
    """Does nothing, and succeeds: without a worker, unless somebody is to hear of it."""

    @property
    def inert(self) -> bool:
        """Whether no worker is needed. A subclass may do something; a mapped one has values."""
        works = type(self).execute is not EmptyOperator.execute
        heard = self.callbacks or self.outlets or self.has_hooks
        return not (works or heard or self.axes or self.group_axes)

    def execute(self, context: Mapping[str, Any]) -> None:
        return None
