"""SqlSensor: waits until a query gives something true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.errors import BadOption, SensorFailed


class SqlSensor(BaseSensorOperator):
    """Runs a query until the first cell of its first row is neither 0, '0', '' nor NULL.

    Args:
        conn_id: The connection of the database.
        sql: The query (templated; a path ending in .sql is read).
        parameters: Bound by the database, never pasted into the text (templated).
        success: Called with the cell instead; true ends the wait.
        failure: Called with the cell before `success`; true fails the task.
        selector: Takes the row, gives what the two are called with; its first cell if left.
        fail_on_empty: Fail, rather than wait, when there is no row.
        hook_params: More arguments of the hook (templated).
    """

    template_fields: ClassVar[Sequence[str]] = ("sql", "hook_params", "parameters")
    template_ext: ClassVar[Sequence[str]] = (".hql", ".sql")

    def __init__(
        self,
        task_id: str,
        *,
        conn_id: str,
        sql: str,
        parameters: Mapping[str, object] | Sequence[object] | None = None,
        success: Callable[[Any], object] | None = None,
        failure: Callable[[Any], object] | None = None,
        selector: Callable[[Any], object] = itemgetter(0),
        fail_on_empty: bool = False,
        hook_params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        for name, value in (("success", success), ("failure", failure)):
            if value is not None and not callable(value):
                why = f"must be a function of the cell, not {value!r}"
                raise BadOption(f"sensor {task_id!r}", name, why)
        self.conn_id = conn_id
        self.sql = sql
        self.parameters = parameters
        self.success, self.failure, self.selector = success, failure, selector
        self.fail_on_empty = fail_on_empty
        self.hook_params = dict(hook_params) if hook_params else None

    def poke(self, context: Mapping[str, Any]) -> bool:
        row = self._row()
        if row is None:
            if self.fail_on_empty:
                raise SensorFailed(f"sensor {self.task_id!r}: the query gave no row.")
            return False
        cell = self.selector(row)
        if self.failure is not None and self.failure(cell):
            raise SensorFailed(
                f"sensor {self.task_id!r}: its failure condition holds for {cell!r}."
            )
        if self.success is not None:
            return bool(self.success(cell))
        return bool(cell) and cell != "0"

    def _row(self) -> Any:
        from mlflowkit.hooks.sql import sql_hook

        hook = sql_hook(self.conn_id, **(self.hook_params or {}))
        return hook.get_first(self.sql, parameters=self.parameters)
