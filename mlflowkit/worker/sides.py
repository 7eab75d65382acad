"""What an attempt asks of its two sides: the code that it runs, and the engine that it serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlflowkit.core.spec import DagSpec
from mlflowkit.core.values import StoredValue
from mlflowkit.worker.run_context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What is put in the place of what stands for it in a task's arguments."""

    #: (task id, key) gives an XCom.
    resolve: Callable[[str, str], object]
    #: The run's parameters.
    params: Mapping[str, Any]
    #: For each argument that is mapped over: which of its items is this instance's.
    axes: Mapping[str, int]
    #: (task id, key, index) gives one item of an XCom, (task id, key) how many there are.
    item: Callable[[str, str, int], object]
    count: Callable[[str, str], int]
    #: Gets what belongs to the task: `task`, `conn`, `var`, `macros`.
    context: Context


class Executable(Protocol):
    """A task whose arguments are all there."""

    def execute(self, context: dict[str, Any]) -> object: ...


class Code(Protocol):
    """An open bundle."""

    @property
    def spec(self) -> DagSpec: ...
    def prepare(self, task_id: str, inputs: Inputs) -> Executable:
        """The task, with XComs, parameters and its mapped arguments put in place, and its
        templates rendered."""
        ...

    def callbacks(self, task_id: str, kind: str) -> Sequence[Callable[[Any], object]]:
        """What is to be called when a task, or the run (no task id), has ended so."""
        ...

    def complete(self, task_id: str, context: Context) -> None:
        """Put into a context what belongs to the task."""
        ...

    def next_info(self, given: Mapping[str, Any]) -> bytes:
        """What the DAG's own timetable says comes next, as JSON."""
        ...


class Values(Protocol):
    """Typed values in and out of their stored form."""

    def dump(self, value: object, *, expandable: bool, where: str) -> StoredValue: ...
    def load(self, stored: StoredValue, opened: dict[str, Any] | None = None) -> Any:
        """`opened`: one dict for values that are to share what they shared."""
        ...

    def together(
        self, stored: Mapping[str, StoredValue], values: Mapping[str, object]
    ) -> Mapping[str, object]:
        """For values that share objects, what is to be dumped in their place."""
        ...

    def load_item(self, stored: StoredValue, index: int) -> Any: ...


class Link(Protocol):
    """The way to the engine, while an attempt runs."""

    def ask(self, what: str, **arguments: Any) -> Any: ...
    def note(self, line: bytes) -> None: ...
