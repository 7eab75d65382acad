"""The values of other tasks, as an attempt reads them: those that came with its order, and those
that it asks the engine for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mlflowkit.core.spec import RETURN_VALUE, DagSpec
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import UnknownXCom
from mlflowkit.ports import LaunchOrder
from mlflowkit.worker.context import MappedValues
from mlflowkit.worker.sides import Link, Values


class Pulls:
    """What one attempt may read."""

    #: Whether what was never pushed is None, as in Airflow, and no error.
    lenient: ClassVar[bool] = False

    def __init__(
        self, order: LaunchOrder, spec: DagSpec, values: Values, link: Link
    ) -> None:
        self._order, self._spec, self._values, self._link = order, spec, values, link

    def pull(
        self,
        task_id: str,
        key: str,
        map_index: int | None,
        opened: dict[str, Any] | None = None,
    ) -> Any:
        """A value of a task; of a mapped one, without an index, all of them, read as they are
        used.

        Args:
            opened: One dict for values that are to share what they shared.

        Raises:
            UnknownXCom: the task has succeeded and pushed nothing under `key`.
        """
        if self._is_beside(task_id) and map_index is None:
            map_index = self._order.attempt.map_index
        task = self._spec.tasks[task_id]  # type: ignore[index]  # a plain str is one
        if task.expansion is not None and map_index is None:
            return self._mapped(task_id, key)
        stored = self._fetch(task_id, key, -1 if map_index is None else map_index)
        return self._values.load(stored, opened) if stored is not None else None

    def _is_beside(self, task_id: str) -> bool:
        """Whether instance i of that task is for instance i of this one."""
        tasks = self._spec.tasks
        mine = tasks[self._order.attempt.task_id].mapped_group
        return bool(mine) and tasks[task_id].mapped_group == mine  # type: ignore[index]

    def _fetch(self, task_id: str, key: str, map_index: int) -> StoredValue | None:
        ahead = f"{task_id}\0{key}"
        given = self._order.inputs.get(ahead) if map_index < 0 else None
        # What returned nothing gives None; any other key that is not there is a mistake,
        # unless the task was skipped: the engine knows.
        if given is not None or (ahead in self._order.inputs and key == RETURN_VALUE):
            return given
        found = self._link.ask("xcom", task_id=task_id, key=key, map_index=map_index)
        if found["value"] is None and found["succeeded"] and not self.lenient:
            raise UnknownXCom(self._order.attempt.task_id, task_id, key, found["keys"])
        return stored_value(found["value"])

    def _mapped(self, task_id: str, key: str) -> MappedValues:
        length = self._link.ask("xcom_count", task_id=task_id, key=key)

        def page(offset: int, limit: int) -> list[tuple[int, StoredValue]]:
            found = self._link.ask(
                "xcom_page", task_id=task_id, key=key, offset=offset, limit=limit
            )
            return [(index, StoredValue(**value)) for index, value in found]

        return MappedValues(length, page, self._values.load)

    def item(self, task_id: str, key: str, index: int) -> Any:
        """Item `index` of what a mapped task expands over."""
        task = self._spec.tasks[task_id]  # type: ignore[index]  # a plain str is one
        if task.expansion is not None:
            return self._mapped(task_id, key)[index]
        sliced = self._order.inputs.get(f"{task_id}\0{key}\0{index}")
        if sliced is not None:
            return self._values.load(sliced)
        stored = self._fetch(task_id, key, -1)
        if stored is None:
            raise UnknownXCom(self._order.attempt.task_id, task_id, key, [])
        return self._values.load_item(stored, index)

    def count(self, task_id: str, key: str) -> int:
        """How many items there are in what a mapped task expands over."""
        task = self._spec.tasks[task_id]  # type: ignore[index]  # a plain str is one
        if task.expansion is not None:
            return len(self._mapped(task_id, key))
        stored = self._fetch(task_id, key, -1)
        if stored is None:
            raise UnknownXCom(self._order.attempt.task_id, task_id, key, [])
        return (
            stored.length if stored.length is not None else len(self._values.load(stored))
        )


def stored_value(found: Mapping[str, Any] | None) -> StoredValue | None:
    """A value as the engine answered it."""
    if found is None:
        return None
    keys = found.get("keys")
    return StoredValue(**{**found, "keys": tuple(keys) if keys is not None else None})
