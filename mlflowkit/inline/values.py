"""Values and XComs that stay in this process, as the objects that they are: `dag.test()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlflowkit.artifacts.serializers.blame import name_of
from mlflowkit.artifacts.serializers.items import plain_of
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import NotExpandable


class MemoryValues:
    """`worker.attempt.Values` that keeps the objects themselves."""

    def __init__(self) -> None:
        self._objects: list[object] = []

    def dump(self, value: object, *, expandable: bool, where: str) -> StoredValue:
        length = None
        if expandable:
            plain = plain_of(value)
            if plain is None:
                raise NotExpandable(where, name_of(value))
            value, length = plain, len(plain)
        self._objects.append(value)
        name = str(len(self._objects) - 1).encode()
        return StoredValue(codec="memory", inline=name, size=len(name), length=length)

    def together(
        self, stored: Mapping[str, StoredValue], values: Mapping[str, object]
    ) -> Mapping[str, object]:
        return {}  # they are the objects themselves

    def load(self, stored: StoredValue, opened: dict[str, Any] | None = None) -> Any:
        assert stored.inline is not None
        return self._objects[int(stored.inline)]

    def load_item(self, stored: StoredValue, index: int) -> Any:
        whole = self.load(stored)
        return list(whole.items())[index] if isinstance(whole, dict) else whole[index]


class MemoryXComs(dict[tuple[str, int, str], StoredValue]):
    """XComs by task id, map index and key."""

    def of_task(self, task_id: str, key: str) -> list[tuple[int, StoredValue]]:
        """Those of all instances of a task, by map index."""
        found = [(i, v) for (t, i, k), v in self.items() if (t, k) == (task_id, key)]
        return sorted(found, key=lambda one: one[0])

    def answer(
        self,
        what: str,
        arguments: Mapping[str, Any],
        *,
        succeeded: Callable[[str, int], bool],
    ) -> Any:
        """What an engine would answer a worker: a count, a page of values, or one value.

        Args:
            succeeded: Whether a task instance, by task id and map index, has.
        """
        task_id, key = arguments["task_id"], arguments["key"]
        if what == "xcom_count":
            return len(self.of_task(task_id, key))
        if what == "xcom_page":
            offset = arguments["offset"]
            page = self.of_task(task_id, key)[offset : offset + arguments["limit"]]
            return [(index, _fields(value)) for index, value in page]
        map_index = arguments["map_index"]
        value = self.get((task_id, map_index, key))
        return {
            "value": _fields(value) if value else None,
            "succeeded": succeeded(task_id, map_index) and key != "return_value",
            "keys": sorted({k for t, _, k in self if t == task_id}),
        }


def _fields(value: StoredValue) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
