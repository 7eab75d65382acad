"""What a running task sees of the world: its context, its task instance, its XComs."""

from __future__ import annotations

import logging
import operator
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, overload

from mlflowkit.core.spec import RETURN_VALUE, DagSpec
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import BadXComKey, BadXComPull, UnknownXCom, UnknownXComTask
from mlflowkit.ports import LaunchOrder
from mlflowkit.worker.context_run import moment, seconds_between
from mlflowkit.worker.run_context import Context, Sources, make_context

#: Pull(task_id, key, map_index) gives a value; mapped tasks give a `MappedValues`.
Pull = Callable[[str, str, int | None], Any]
Push = Callable[[str, object], None]

PAGE = 1000
LONGEST_KEY = 250


_TASK_IDS = "a task id, or several: texts"


class MappedValues(Sequence[Any]):
    """The XComs of a mapped task, by map index, read page by page as they are asked for."""

    def __init__(
        self,
        length: int,
        page: Callable[[int, int], list[tuple[int, StoredValue]]],
        load: Callable[[StoredValue], Any],
    ) -> None:
        self._length, self._page, self._load = length, page, load
        #: From which index on, and the values: in one piece, for several threads may read.
        self._read: tuple[int, list[tuple[int, StoredValue]]] = (0, [])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(f"index {index} of {self._length} mapped values")
        start, items = self._read
        if not start <= at < start + len(items):
            start = at - at % PAGE
            items = self._page(start, PAGE)
            self._read = start, items
        return self._load(items[at - start][1])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._length))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, str | bytes):
            return list(self) == list(other)
        return NotImplemented

    def __hash__(self) -> int:
        raise TypeError(
            "the values of a mapped task cannot be hashed: use list(...) or tuple(...)"
        )

    def __repr__(self) -> str:
        return f"<{self._length} mapped values>"

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)


class TaskInstance:
    """`ti` in a context: who the task is, and its XComs."""

    #: Whether a pull of what was never pushed gives None, as in Airflow, and is no error.
    lenient: ClassVar[bool] = False
    #: Then: whether a pull without `task_ids` looks through all tasks above, the nearest
    #: first, as in Airflow 2; else it is one of the task itself, which has pushed nothing.
    looks_above: ClassVar[bool] = False

    def __init__(self, order: LaunchOrder, spec: DagSpec, pull: Pull, push: Push) -> None:
        self._order, self._spec, self._pull, self._push = order, spec, pull, push
        self.dag_id: str = spec.dag_id
        self.run_id, self.task_id, self.map_index, self.attempt_number = order.attempt
        #: 1 for the first try; attempts that were lost do not count.
        self.try_number = order.try_number
        #: How often it is tried again, as in Airflow: the last try has a number one above it.
        self.max_tries = order.max_tries - 1
        #: When its first attempt started, over reschedules and retries. Aware, UTC.
        self.first_started_at = order.first_started_at or datetime.now(UTC)
        #: "cell": a person had the run tried again, and wants notebooks to go on where they failed.
        self.resume = order.resume
        #: How often it gave its place back to look again later.
        self.poke_count = order.reschedules
        self.log = logging.getLogger(f"mlflowkit.task.{self.task_id}")
        #: In a callback: how the try that it is about ended, and from when to when it went.
        self.state = "running"
        self._times: Mapping[str, Any] = {}
        #: The context that it is part of.
        self.context: Context | None = None

    @property
    def state_dir(self) -> Path:
        """A folder of this task instance, kept over its attempts: for checkpoints."""
        folder = Path(self._order.state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def task(self) -> Any:
        """The operator."""
        return self._of_context("task")

    @property
    def dag_run(self) -> Any:
        return self._of_context("dag_run")

    def get_dagrun(self) -> Any:
        """The DAG run that it belongs to."""
        return self.dag_run

    @property
    def start_date(self) -> datetime | None:
        """When this attempt was started; in a callback, the one that it is about."""
        own = moment(self._times.get("started_at"))
        found: datetime | None = own or self._of_context("start_date")
        return found

    @property
    def end_date(self) -> datetime | None:
        """In a callback: when it ended."""
        return moment(self._times.get("ended_at"))

    @property
    def duration(self) -> float | None:
        """In a callback: the seconds that it took."""
        return seconds_between(self.start_date, self.end_date)

    def current_state(self) -> str:
        """Airflow's other name for `state`."""
        return self.state

    def has_ended(self, state: str, times: Mapping[str, Any]) -> None:
        """From now on it is one that a callback hears of."""
        self.state, self._times = state, times

    @property
    def logical_date(self) -> datetime | None:
        found: datetime | None = self._of_context("logical_date")
        return found

    execution_date = logical_date

    @property
    def key(self) -> str:
        found: str = self._of_context("task_instance_key_str")
        return found

    @property
    def operator(self) -> str:
        """The class of its operator, for people."""
        return self._spec.tasks[self._order.attempt.task_id].operator

    @property
    def log_url(self) -> str:
        """Where its log is: a command."""
        return f"mlflowkit runs logs {self.run_id} {self.task_id}"

    @property
    def hostname(self) -> str:
        return socket.gethostname()

    def _of_context(self, name: str) -> Any:
        return self.context[name] if self.context is not None else None

    @property
    def output_base(self) -> str:
        """Where an executed notebook goes, without suffix; empty if nowhere in particular."""
        return self._order.output_base

    @property
    def log_path(self) -> str:
        """The file with its log, `…/fit.2.log`; empty if there is none."""
        return self._order.log

    def xcom_push(self, key: str, value: object) -> None:
        """Give a value to other tasks. They see it once this attempt has succeeded.

        Raises:
            BadXComKey: `key` is no text of 1 to 250 characters.
        """
        self._push(key, value)

    def xcom_pull(
        self,
        task_ids: str | Sequence[str] | None = None,
        key: str | None = RETURN_VALUE,
        *,
        map_indexes: int | Sequence[int] | None = None,
        default: Any = None,
    ) -> Any:
        """A value of another task of this run.

        Args:
            task_ids: One task: its value (a mapped one: all of them, lazily). Several: a list
                of their values, those of a mapped task one after another. None: the tasks
                directly upstream.
            key: Under which it was pushed. None: what the task returned.
            map_indexes: Only this task instance of a mapped task; several: a list, task by
                task.
            default: For a task that was skipped or has not run.

        Raises:
            UnknownXComTask: the DAG has no such task.
            UnknownXCom: the task has succeeded and pushed nothing under `key`.
            BadXComKey: `key` is no text of 1 to 250 characters.
            BadXComPull: `task_ids` or `map_indexes` is of another type.
        """
        key = RETURN_VALUE if key is None else key
        check_key(self.task_id, key)
        several = isinstance(map_indexes, Sequence | Set) and not isinstance(
            map_indexes, str
        )
        asked: Any = map_indexes if several else [map_indexes]
        indexes = [self._index(index) for index in asked]
        if task_ids is None and self.lenient:
            found = [self._nearest(key, index, default) for index in indexes]
            return found if several else found[0]
        if task_ids is None:
            task_ids = self._spec.tasks[self.task_id].upstream
            task_ids = task_ids[0] if len(task_ids) == 1 else list(task_ids)
        if isinstance(task_ids, str) and not several:
            value = self._one(task_ids, key, indexes[0])
            return default if value is None else value
        return list(self._each(self._ids(task_ids), key, indexes, default))

    def _ids(self, task_ids: object) -> list[str]:
        if isinstance(task_ids, str):
            return [task_ids]
        if not isinstance(task_ids, Sequence | Set) or isinstance(task_ids, bytes):
            raise BadXComPull(self.task_id, "task_ids", task_ids, _TASK_IDS)
        for one in task_ids:
            if not isinstance(one, str):
                raise BadXComPull(self.task_id, "task_ids", one, _TASK_IDS)
        return [str(one) for one in task_ids]

    def _each(
        self, task_ids: list[str], key: str, indexes: list[int | None], default: Any
    ) -> Iterator[Any]:
        """Their values, task by task; of a mapped one each."""
        for task_id, index in product(task_ids, indexes):
            value = self._one(task_id, key, index)
            if isinstance(value, MappedValues):
                yield from value
            else:
                yield default if value is None else value

    def _index(self, given: object) -> int | None:
        if given is None:
            return None
        try:
            return operator.index(given)  # type: ignore[arg-type]  # what has none says so
        except TypeError as exc:
            wanted = "one map index (a whole number), or None for all"
            raise BadXComPull(self.task_id, "map_indexes", given, wanted) from exc

    def _one(self, task_id: str, key: str, map_index: int | None) -> Any:
        if task_id not in self._spec.tasks:
            if self.lenient:
                return None
            raise UnknownXComTask(self.task_id, task_id, self._spec.tasks)
        try:
            return self._pull(task_id, key, map_index)
        except UnknownXCom:
            if self.lenient:
                return None
            raise

    def _nearest(self, key: str, map_index: int | None, default: Any) -> Any:
        """The value under this key of the nearest task above that has one."""
        seen: dict[str, None] = {}
        waiting = list(self._spec.tasks[self.task_id].upstream) if self.looks_above else []
        for task_id in waiting:
            if task_id not in seen:
                seen[task_id] = None
                value = self._one(task_id, key, map_index)
                if value is not None:
                    return value
                waiting += self._spec.tasks[task_id].upstream
        return default

    def __repr__(self) -> str:
        return f"<TaskInstance {self._order.attempt}>"


def check_key(task_id: str, key: object) -> None:
    """Whether an XCom can have this key.

    Raises:
        BadXComKey: it cannot.
    """
    if not isinstance(key, str):
        raise BadXComKey(task_id, key, f"which is of the type {type(key).__name__}")
    if not key:
        raise BadXComKey(task_id, key, "which is empty")
    if len(key) > LONGEST_KEY:
        raise BadXComKey(task_id, key, f"which has {len(key):,} characters")
    if not key.isprintable():
        raise BadXComKey(task_id, key, "which has characters that cannot be shown")


def build_context(
    order: LaunchOrder,
    spec: DagSpec,
    params: Mapping[str, Any],
    facts: Mapping[str, Any],
    ti: TaskInstance,
) -> Context:
    """Airflow's names for what a task may know of its run, each computed when it is asked for.

    `task`, `conn`, `var` and `macros` come with the operator: see `prepare.complete`.
    """
    context = make_context(Sources(order, spec, params, facts), ti)
    ti.context = context
    return context
