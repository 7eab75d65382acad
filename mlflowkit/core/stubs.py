"""Stub tasks of a simulated run: what one try of them does, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mlflowkit.errors import BadSimulation, suggest

#: What a task may end as by its own doing.
STATES: Final = ("success", "failed", "skipped")
#: Seconds that a task takes, and that one look of a sensor takes, where nobody says.
USUAL_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 1.0
#: Items of what is expanded over, where nobody says.
USUAL_LENGTH: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one try of a stub task does.

    Args:
        state: "success", "failed" or "skipped".
        seconds: How long it takes, or a timedelta; of a sensor, one look. None: as
            `durations` says.
        length: Items of what other tasks expand over; a mapping where several keys are.
        chosen: A branch: the ids of the tasks or groups directly below that go on.
        goes_on: A short circuit: False skips what is below.
        looks: A sensor: the look (counted from 1) that finds it; `math.inf`: none does.
        retryable: False: it fails for good, whatever retries are left.
        why: A line for people.

    Raises:
        BadSimulation: a value that cannot be.
    """

    state: str = "success"
    seconds: float | timedelta | None = None
    length: int | Mapping[str, int] | None = None
    chosen: str | Sequence[str] | None = None
    goes_on: bool = True
    looks: float | None = None
    retryable: bool = True
    why: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            hint = suggest(str(self.state), STATES)
            raise BadSimulation("state", f"{self.state!r} is none of {STATES}.{hint}")
        if self.seconds is not None:
            checked_seconds("seconds", self.seconds)
        lengths = (
            self.length.values() if isinstance(self.length, Mapping) else [self.length]
        )
        if any(one is not None and one < 0 for one in lengths):
            raise BadSimulation("length", f"must be 0 or more, not {self.length!r}")
        if self.looks is not None and self.looks < 1:
            raise BadSimulation("looks", f"counts from 1, not {self.looks!r}")

    def length_of(self, key: str) -> int:
        """Items of the XCom `key`."""
        if isinstance(self.length, Mapping):
            return self.length.get(key, USUAL_LENGTH)
        return USUAL_LENGTH if self.length is None else self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How a sensor waits. All times in seconds."""

    interval: float = 60.0
    timeout: float = 7 * 86400.0
    reschedule: bool = False
    soft_fail: bool = False
    exponential: bool = False
    longest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    """What is known of a task beside its spec."""

    waits: Waits | None = None
    branch: bool = False
    #: A short circuit skips "all" below, or what is "direct"ly below.
    short_circuit: str = ""
    latest_only: bool = False


def checked_seconds(where: str, value: object) -> float:
    """Seconds, given as a number or a timedelta.

    Raises:
        BadSimulation: it is neither, or less than nothing.
    """
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    else:
        raise BadSimulation(where, f"must be seconds or a timedelta, not {value!r}")
    if not 0 <= found < float("inf"):
        raise BadSimulation(where, f"must be a time of 0 or more, not {value!r}")
    return found
