"""Operators that reckon in their DAG's time zone. Workers have no DAG: the zone travels along."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from mlflowkit.authoring.machine_zone import machine_zone
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.schedule import schedule_zone


class InDagZone(BaseOperator):
    """Knows the zone of its DAG: its timezone, that of its start_date, or the machine's."""

    _kept_zone: tzinfo | None = None

    @property
    def zone(self) -> tzinfo:
        """As the schedule of the DAG has it."""
        if self.dag is None:
            return self._kept_zone or machine_zone()
        return schedule_zone(self.dag.timezone, self.dag.start_date) or machine_zone()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_kept_zone": self.zone}
