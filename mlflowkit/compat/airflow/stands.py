"""Small things of Airflow's that DAG files import: states, rules, helpers. Each as it is there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from mlflowkit.authoring.macros import macros
from mlflowkit.worker.run_context import Context

T = TypeVar("T")
__all__ = ["Context", "macros"]

#: Which Airflow's names these are, where a file asks: by the version whose meaning it has.
VERSION: Final = "3.0.0"
VERSION_2: Final = "2.11.0"
TRUE: Final = True
TEXT: Final = ""
ID_LEN: Final = 250
XCOM_RETURN_KEY: Final = "return_value"


class TriggerRule(StrEnum):
    """All names that trigger rules have or had."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"
    DUMMY = "dummy"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_FAILED_OR_SKIPPED = "none_failed_or_skipped"
    NONE_SKIPPED = "none_skipped"
    ONE_DONE = "one_done"
    ONE_FAILED = "one_failed"
    ONE_SUCCESS = "one_success"


class WeightRule(StrEnum):
    """How the weights of other tasks count."""

    ABSOLUTE = "absolute"
    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


class TaskInstanceState(StrEnum):
    """States of task instances."""

    REMOVED = "removed"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"


class DagRunState(StrEnum):
    """States of runs."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class State:
    """Both kinds of states by one name."""

    NONE = None
    REMOVED = TaskInstanceState.REMOVED
    SCHEDULED = TaskInstanceState.SCHEDULED
    QUEUED = TaskInstanceState.QUEUED
    RUNNING = TaskInstanceState.RUNNING
    SUCCESS = TaskInstanceState.SUCCESS
    FAILED = TaskInstanceState.FAILED
    UP_FOR_RETRY = TaskInstanceState.UP_FOR_RETRY
    UP_FOR_RESCHEDULE = TaskInstanceState.UP_FOR_RESCHEDULE
    UPSTREAM_FAILED = TaskInstanceState.UPSTREAM_FAILED
    SKIPPED = TaskInstanceState.SKIPPED
    finished = frozenset({SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED, REMOVED})
    failed_states = frozenset({FAILED, UPSTREAM_FAILED})
    success_states = frozenset({SUCCESS, SKIPPED})


class DagRunType(StrEnum):
    """Where runs come from."""

    BACKFILL_JOB = "backfill"
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    ASSET_TRIGGERED = "asset_triggered"
    DATASET_TRIGGERED = "dataset_triggered"


class DagRunTriggeredByType(StrEnum):
    """Who started a run."""

    CLI = "cli"
    OPERATOR = "operator"
    UI = "ui"
    TIMETABLE = "timetable"


class ArgNotSet:
    """The type of an argument that was left out."""


NOTSET: Final = ArgNotSet()


class TaskTimeout(BaseException):
    """What Airflow raises in a task that takes too long. Here the task is ended from outside."""


class BaseOperatorLink:
    """A link beside a task in Airflow's screens. Nothing here shows it."""

    name: str = ""


class LoggingMixin:
    """Gives `self.log`."""

    def __init__(self, context: object = None) -> None:
        del context

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger(f"mlflowkit.task.{type(self).__name__}")


def apply_defaults(function: T) -> T:
    """Nothing to do: every operator applies the defaults of its DAG."""
    return function


def poke_mode_only(cls: T) -> T:
    """Nothing to do: a sensor of such a class is simply not given another mode."""
    return cls


def get_parsing_context() -> SimpleNamespace:
    """A file is always loaded whole."""
    return SimpleNamespace(dag_id=None, task_id=None)


def redact(value: Any, name: str | None = None, max_depth: int | None = None) -> Any:
    """The value: secrets are masked where logs are written."""
    del name, max_depth
    return value


def import_string(dotted_path: str) -> Any:
    """What `module.name` names."""
    module, _, name = dotted_path.rpartition(".")
    return getattr(import_module(module), name)


def merge_dicts(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, dicts inside merged, too; the second one wins."""
    merged = dict(one)
    for key, value in other.items():
        mine = merged.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        merged[key] = merge_dicts(mine, value) if both else value  # type: ignore[arg-type]  # it is one
    return merged


def prune_dict(value: Any) -> Any:
    """Without what is None, at any depth."""
    if isinstance(value, Mapping):
        return {k: prune_dict(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [prune_dict(one) for one in value if one is not None]
    return value


def chunks(items: Sequence[T], chunk_size: int) -> Iterator[Sequence[T]]:
    """Pieces of that length; the last may be shorter."""
    if chunk_size <= 0:
        raise ValueError("Chunk size must be a positive integer")
    for start in range(0, len(items), chunk_size):
        yield items[start : start + chunk_size]


def exactly_one(*args: object) -> bool:
    """Whether one of them is true."""
    return sum(map(bool, args)) == 1


def at_most_one(*args: object) -> bool:
    """Whether none or one of them is true."""
    return sum(map(bool, args)) <= 1


def snake(name: str) -> str:
    """`CamelCase` as `camel_case`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def to_boolean(text: str | None) -> bool:
    """Whether it says yes."""
    return str(text or "").strip().lower() in ("true", "t", "yes", "y", "on", "1")
