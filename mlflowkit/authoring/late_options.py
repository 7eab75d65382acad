"""Options that people also set on a task that is there: `task.doc_md = "..."`, as in Airflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from mlflowkit.authoring.option_values import Callback, callbacks_of, seconds, whole
from mlflowkit.core.spec import RetryPolicy
from mlflowkit.errors import BadOption

#: What every task is asked: an operator cannot keep something else under these names.
_ASKED: Final = frozenset(
    {"arguments", "refs", "joined", "firsts", "lasts", "upstream", "rendered", "was_given"}
    | {"wait_for", "came_after", "note_label", "take_mapped", "with_group_values"}
)
#: And what every task has: a value of another type is an operator's own.
_HAS: Final[Mapping[str, type]] = {
    "axes": Mapping,
    "group_axes": Mapping,
    "retry": RetryPolicy,
}


class Doc:
    """`doc_md` and its like: they are all the one text for people, and the last one counts."""

    def __get__(self, task: LateOptions | None, kind: type) -> str:
        return task.doc if task is not None else ""

    def __set__(self, task: LateOptions, value: object) -> None:
        plain = isinstance(value, str)
        task.doc = str(value) if plain else json.dumps(value, indent=2, default=str)


class OnCallback:
    """`on_failure_callback` and its like."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._kind = name.removeprefix("on_").removesuffix("_callback")

    def __get__(self, task: LateOptions | None, kind: type) -> list[Callback]:
        return task.callbacks.get(self._kind, []) if task is not None else []

    def __set__(self, task: LateOptions, value: object) -> None:
        found = callbacks_of(_name_of(task), {self._name: value}, (self._kind,))
        rest = {kind: calls for kind, calls in task.callbacks.items() if kind != self._kind}
        vars(task)["_callbacks"] = {**rest, **found}


class LateOptions:
    """The options of a task that can be read and set by Airflow's names, checked as ever."""

    task_id: str
    retry: RetryPolicy
    doc: str
    _callbacks: dict[str, list[Callback]]

    doc_md = Doc()
    doc_rst = Doc()
    doc_yaml = Doc()
    doc_json = Doc()
    on_execute_callback = OnCallback()
    on_success_callback = OnCallback()
    on_failure_callback = OnCallback()
    on_retry_callback = OnCallback()
    on_skipped_callback = OnCallback()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ASKED or not isinstance(value, _HAS.get(name, object)):
            why = "is a name that every task has something under: name the attribute otherwise"
            raise BadOption(type(self).__name__, name, why)
        super().__setattr__(name, value)

    @property
    def callbacks(self) -> Mapping[str, list[Callback]]:
        """What is called, by kind: execute, success, failure, retry, skipped."""
        return self._callbacks

    @callbacks.setter
    def callbacks(self, value: Any) -> None:
        why = "is what every task calls its on_..._callback: name the attribute otherwise"
        raise BadOption(type(self).__name__, "callbacks", why)

    @property
    def retries(self) -> int:
        return self.retry.retries

    @retries.setter
    def retries(self, value: int) -> None:
        self.retry = replace(self.retry, retries=whole("retries", value, _name_of(self)))

    @property
    def retry_delay(self) -> timedelta:
        return self.retry.retry_delay

    @retry_delay.setter
    def retry_delay(self, value: timedelta | float) -> None:
        span = seconds("retry_delay", value, _name_of(self)) or timedelta()
        self.retry = replace(self.retry, retry_delay=span)


def _name_of(task: LateOptions) -> str:
    """What errors call it."""
    return f"task {task.task_id!r}"
