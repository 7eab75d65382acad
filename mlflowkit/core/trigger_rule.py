"""When a task may start, by how the tasks it waits for have ended. Airflow's thirteen rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final


class TriggerRule(StrEnum):
    """What a task wants of the tasks directly above it."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_SKIPPED = "all_skipped"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ALWAYS = "always"


class Verdict(Enum):
    """What a rule says, given how far the tasks above have come."""

    WAIT = auto()
    RUN = auto()
    SKIP = auto()
    #: It cannot run, because what it needs has failed.
    FAIL = auto()


@dataclass(frozen=True, slots=True)
class Above:
    """How the task instances above have ended, one mapped task counting once for each."""

    success: int = 0
    skipped: int = 0
    #: Failed, or closed because of a failure further up.
    failed: int = 0
    #: Of `failed`, those whose own code failed.
    failed_itself: int = 0
    #: All tasks above have ended.
    done: bool = False
    #: Setup tasks directly above, those of them that succeeded, and that were skipped.
    setups: int = 0
    setups_success: int = 0
    setups_skipped: int = 0


def _met(above: Above, when_done: Verdict = Verdict.RUN) -> Verdict:
    return when_done if above.done else Verdict.WAIT


def _all_success(a: Above) -> Verdict:
    if a.failed:
        return Verdict.FAIL
    return Verdict.SKIP if a.skipped else _met(a)


def _all_failed(a: Above) -> Verdict:
    return Verdict.SKIP if a.success or a.skipped else _met(a)


def _all_skipped(a: Above) -> Verdict:
    return Verdict.SKIP if a.success or a.failed else _met(a)


def _one_success(a: Above) -> Verdict:
    if a.success:
        return Verdict.RUN
    return _met(a, Verdict.FAIL if a.failed else Verdict.SKIP)


def _one_failed(a: Above) -> Verdict:
    return Verdict.RUN if a.failed else _met(a, Verdict.SKIP)


def _one_done(a: Above) -> Verdict:
    return Verdict.RUN if a.success or a.failed_itself else _met(a, Verdict.SKIP)


def _none_failed(a: Above) -> Verdict:
    return Verdict.FAIL if a.failed else _met(a)


def _none_failed_min_one_success(a: Above) -> Verdict:
    if a.failed:
        return Verdict.FAIL
    return _met(a, Verdict.RUN if a.success else Verdict.SKIP)


def _none_skipped(a: Above) -> Verdict:
    return Verdict.SKIP if a.skipped else _met(a)


def _all_done_min_one_success(a: Above) -> Verdict:
    if a.skipped:
        return Verdict.SKIP
    return _met(a, Verdict.RUN if a.success else Verdict.FAIL)


def _all_done_setup_success(a: Above) -> Verdict:
    if not a.done or not a.setups or a.setups_success:
        return _met(a)
    return Verdict.SKIP if a.setups_skipped >= a.setups else Verdict.FAIL


def _always(_: Above) -> Verdict:
    return Verdict.RUN


_R = TriggerRule
_JUDGES: Final[Mapping[TriggerRule, Callable[[Above], Verdict]]] = {
    _R.ALL_SUCCESS: _all_success,
    _R.ALL_FAILED: _all_failed,
    _R.ALL_DONE: _met,
    _R.ALL_SKIPPED: _all_skipped,
    _R.ONE_SUCCESS: _one_success,
    _R.ONE_FAILED: _one_failed,
    _R.ONE_DONE: _one_done,
    _R.NONE_FAILED: _none_failed,
    _R.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
    _R.NONE_SKIPPED: _none_skipped,
    _R.ALL_DONE_MIN_ONE_SUCCESS: _all_done_min_one_success,
    _R.ALL_DONE_SETUP_SUCCESS: _all_done_setup_success,
    _R.ALWAYS: _always,
}


def judge(rule: TriggerRule, above: Above) -> Verdict:
    """May a task with this rule start?

    A verdict is given as soon as nothing that may still happen can change it. The
    outcomes are those that Airflow 3 documents under "Trigger Rules".
    """
    return _JUDGES[rule](above)
