"""BaseSensorOperator: a task that waits until something is so, then succeeds.

In mode "poke" it keeps its worker and sleeps between two looks; in mode "reschedule" it
looks once, gives its place back and is started again at its next time. It reads no clock
of its own: time comes from `authoring.waiting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mlflowkit.authoring import waiting
from mlflowkit.authoring.operator import BaseOperator, seconds
from mlflowkit.core.looks import growing_pause
from mlflowkit.errors import (
    BadOption,
    SensorTimeout,
    TaskFailedForGood,
    TaskRescheduled,
    TaskSkipped,
)

#: How long a sensor waits in all where nothing else is said.
DEFAULT_TIMEOUT: Final = timedelta(days=7)
MODES: Final = ("poke", "reschedule")
#: Attributes that are about how it waits, not about what for.
_WAITING: Final = frozenset(
    {"poke_interval", "timeout", "soft_fail", "mode", "exponential_backoff"}
    | {"max_wait", "silent_fail", "never_fail"}
)


class PokeReturnValue:
    """What a look may give instead of True or False: also the sensor's XCom."""

    def __init__(self, is_done: bool, xcom_value: Any = None) -> None:
        self.is_done = is_done
        self.xcom_value = xcom_value

    def __bool__(self) -> bool:
        return bool(self.is_done)

    def __repr__(self) -> str:
        return f"PokeReturnValue({self.is_done!r}, {self.xcom_value!r})"


class BaseSensorOperator(BaseOperator):
    """Waits for something. Subclasses look for it in `poke(context)`.

    Args:
        poke_interval: Between two looks: seconds or a timedelta.
        timeout: In all, from the first look on, times between two looks included: seconds
            or a timedelta; 7 days if None. In mode "reschedule" retries do not start it
            anew. Ends as failed, without retries.
        soft_fail: Skipped, rather than failed, when it times out or `poke` raises
            TaskFailedForGood.
        mode: "poke" keeps the worker; "reschedule" gives it back between two looks.
        exponential_backoff: Each wait is about twice the one before, with a jitter that is
            the same whenever the same task instance is run.
        max_wait: Longest wait between two looks: seconds or a timedelta.
        silent_fail: An error in `poke` is logged, and it looks again later.
        never_fail: An error in `poke` skips the task. Not together with soft_fail.
        deferrable: Another name for mode="reschedule": a place that nobody holds.

    Raises:
        BadOption: a value that cannot be.
    """

    def __init__(
        self,
        task_id: str,
        *,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float | None = None,
        soft_fail: bool = False,
        mode: str = "poke",
        exponential_backoff: bool = False,
        max_wait: timedelta | float | None = None,
        silent_fail: bool = False,
        never_fail: bool = False,
        deferrable: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"sensor {task_id!r}"
        interval = _span("poke_interval", poke_interval, where)
        longest = _span("timeout", DEFAULT_TIMEOUT if timeout is None else timeout, where)
        #: Both in seconds.
        self.poke_interval = interval.total_seconds()
        self.timeout = longest.total_seconds()
        self.max_wait = None if max_wait is None else _span("max_wait", max_wait, where)
        if mode not in MODES:
            raise BadOption(where, "mode", f"must be 'poke' or 'reschedule', not {mode!r}")
        if soft_fail and never_fail:
            raise BadOption(where, "never_fail", "cannot be used together with soft_fail")
        self.mode = "reschedule" if deferrable else mode
        self.soft_fail, self.never_fail = bool(soft_fail), bool(never_fail)
        self.silent_fail = bool(silent_fail)
        self.exponential_backoff = bool(exponential_backoff)

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        """Look once: is it there? Called again until it is."""
        raise NotImplementedError(f"{type(self).__name__} has no poke(context)")

    @property
    def reschedule(self) -> bool:
        """Does it give its place back between two looks?"""
        return self.mode == "reschedule"

    def arguments(self) -> dict[str, object]:
        return {k: v for k, v in super().arguments().items() if k not in _WAITING}

    def execute(self, context: Mapping[str, Any]) -> object:
        """Look until it is there.

        Returns:
            The `xcom_value` of a PokeReturnValue; else None.

        Raises:
            SensorTimeout: it did not come in time.
            TaskSkipped: the same with soft_fail, or `never_fail` and an error in `poke`.
            TaskRescheduled: not yet there, in mode "reschedule".
        """
        ti = context.get("ti") if self.reschedule else None
        waited = _duration(ti)
        count = int(getattr(ti, "poke_count", 0)) + 1
        while True:
            found = self._look(context)
            if found:
                self.log.info("found what it waits for")
                return found.xcom_value if isinstance(found, PokeReturnValue) else None
            if waited() > self.timeout:
                self._time_is_over(waited())
            pause = self._next_wait(context, count, waited())
            if self.reschedule:
                raise TaskRescheduled(waiting.now() + timedelta(seconds=pause))
            waiting.wait(pause)
            count += 1

    def _look(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        try:
            return self.poke(context)
        except (TaskSkipped, TaskRescheduled):
            raise
        except (SensorTimeout, TaskFailedForGood) as exc:
            if self.soft_fail or self.never_fail:
                raise self._skipped(exc) from exc
            raise
        except Exception as exc:
            if self.silent_fail:
                self.log.exception("it could not look; it will look again later")
                return False
            if self.never_fail:
                raise self._skipped(exc) from exc
            raise

    def _skipped(self, exc: Exception) -> TaskSkipped:
        option = "soft_fail" if self.soft_fail else "never_fail"
        return TaskSkipped(f"skipped by {option}: {type(exc).__name__}: {exc}")

    def _time_is_over(self, waited: float) -> None:
        over = SensorTimeout(self.task_id, waited, self.timeout)
        if self.soft_fail:
            raise self._skipped(over) from over
        raise over

    def _next_wait(self, context: Mapping[str, Any], count: int, waited: float) -> float:
        """Seconds until the next look, after the `count`-th one (counted from 1)."""
        if not self.exponential_backoff:
            return self.poke_interval
        longest = self.max_wait.total_seconds() if self.max_wait is not None else None
        who = (context.get("run_id", ""), self.task_id, context.get("map_index", -1))
        pause = growing_pause(
            who,
            count,
            waited,
            interval=self.poke_interval,
            timeout=self.timeout,
            longest=longest,
        )
        self.log.info("next look in %.0f s", pause)
        return pause


def _duration(ti: object) -> Callable[[], float]:
    """Seconds since the first look: of this attempt, or of all since `ti` first started."""
    first: datetime | None = getattr(ti, "first_started_at", None)
    if first is not None:
        return lambda: (waiting.now() - first).total_seconds()
    start = waiting.elapsed()
    return lambda: waiting.elapsed() - start


def _span(name: str, value: object, where: str) -> timedelta:
    try:
        found = seconds(name, value, where)
    except (OverflowError, ValueError) as exc:
        raise BadOption(
            where, name, f"must be a timedelta or seconds, not {value!r}"
        ) from exc
    if found is None:
        raise BadOption(where, name, "must be a timedelta or seconds, not None")
    return found
