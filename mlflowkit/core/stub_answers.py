"""What `outcomes=` and `durations=` of a simulation say, by task, run, instance and try."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from mlflowkit.core.stubs import STATES, Outcome, checked_seconds
from mlflowkit.errors import BadSimulation, suggest

if TYPE_CHECKING:
    from mlflowkit.core.spec import AttemptId, DagSpec

_INSTANCE: Final = re.compile(r"(.*)\[(\d+)\]")


class RunFacts(Protocol):
    """What a function that is asked for an outcome may read of the run."""

    @property
    def run_id(self) -> str: ...
    @property
    def logical_date(self) -> datetime: ...
    @property
    def data_interval_start(self) -> datetime: ...
    @property
    def data_interval_end(self) -> datetime: ...


#: (run, task id, map index, try number) gives an outcome, or seconds.
Asked = Callable[[Any, str, int, int], Any]
SUCCESS: Final = Outcome()


@dataclass(frozen=True, slots=True)
class _Rule:
    """An entry of `outcomes`: for which instances and runs of a task it counts."""

    name: str
    map_index: int | None
    when: date | datetime | None
    value: object

    def fits(self, run: RunFacts, map_index: int, zone: tzinfo) -> bool:
        if self.map_index is not None and self.map_index != map_index:
            return False
        if isinstance(self.when, datetime):
            return self.when == run.logical_date
        return self.when is None or self.when == run.logical_date.astimezone(zone).date()

    @property
    def generality(self) -> int:
        return 2 * (self.when is None) + (self.map_index is None)


class Outcomes:
    """What `outcomes=` says, ready to be asked.

    Args:
        zone: Dates without a time are days in this zone.

    Raises:
        BadSimulation: it names a task that the DAG does not have, or a value that is none.
    """

    def __init__(self, spec: DagSpec, given: object, zone: tzinfo) -> None:
        self._zone = zone
        self._function = cast("Asked", given) if callable(given) else None
        self._rules: dict[str, list[_Rule]] = {}
        if self._function is None:
            for key, value in _items("outcomes", given):
                rule = _rule(spec, key, value, zone)
                _check_value(f"outcomes[{key!r}]", value)
                self._rules.setdefault(rule.name, []).append(rule)
        for rules in self._rules.values():
            rules.sort(key=lambda rule: rule.generality)

    def of(self, run: RunFacts, attempt: AttemptId, try_number: int) -> Outcome:
        """What this try does; success where nobody says."""
        task_id, index = attempt.task_id, attempt.map_index
        value: object = None
        if self._function is not None:
            value = self._function(run, task_id, index, try_number)
        else:
            for rule in self._rules.get(task_id, ()):
                if rule.fits(run, index, self._zone):
                    value = rule.value
                    break
        if callable(value):
            value = cast("Asked", value)(run, task_id, index, try_number)
        if isinstance(value, list | tuple):
            tries = cast("Sequence[object]", value)
            value = tries[min(try_number, len(tries)) - 1]
        if value is None:
            return SUCCESS
        where = f"the outcome of task {task_id!r}"
        return value if isinstance(value, Outcome) else _outcome(where, value)


class Durations:
    """What `durations=` says, ready to be asked.

    Raises:
        BadSimulation: it names a task that the DAG does not have, or is no time.
    """

    def __init__(self, spec: DagSpec, given: object, seed: int) -> None:
        self._seed = seed
        self._tasks: Mapping[str, object] = {}
        self._usual: object = None
        if isinstance(given, Mapping):
            self._tasks = dict(cast("Mapping[str, object]", given))
            for name, value in self._tasks.items():
                _known(spec, "durations", name)
                _check_duration(f"durations[{name!r}]", value)
        elif given is not None:
            _check_duration("durations", given)
            self._usual = given

    def of(self, run: RunFacts, attempt: AttemptId, try_number: int, usual: float) -> float:
        """How long it takes, in seconds; `usual` where nobody says."""
        value = self._tasks.get(attempt.task_id, self._usual)
        task_id, index = attempt.task_id, attempt.map_index
        where = f"the duration of task {task_id!r}"
        if callable(value):
            value = cast("Asked", value)(run, task_id, index, try_number)
        if value is None:
            return usual
        if isinstance(value, tuple):
            low, high = (checked_seconds(where, one) for one in cast("Any", value))
            who = (self._seed, run.run_id, task_id, index, try_number)
            return round(low + (high - low) * _chance(who), 3)
        return checked_seconds(where, value)


def moment_or_day(where: str, value: object, zone: tzinfo) -> date | datetime:
    """A moment, or a whole day where no time is said; text is read as ISO.

    Raises:
        BadSimulation: it is neither.
    """
    found = value
    if isinstance(value, str):
        try:
            found = (date if len(value) <= 10 else datetime).fromisoformat(value)
        except ValueError:
            found = None
    if isinstance(found, datetime):
        return found if found.tzinfo else found.replace(tzinfo=zone)
    if isinstance(found, date):
        return found
    raise BadSimulation(where, f"{value!r} is no date: write '2026-03-01' or a datetime")


def _items(where: str, given: object) -> Iterable[tuple[object, object]]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise BadSimulation(where, "must be a mapping by task id, or a function")
    return cast("Mapping[object, object]", given).items()


def _rule(spec: DagSpec, key: object, value: object, zone: tzinfo) -> _Rule:
    name, when = key, None
    if isinstance(key, tuple) and len(cast("tuple[object, ...]", key)) == 2:
        name, day = cast("tuple[object, object]", key)
        when = moment_or_day(f"outcomes[{key!r}]", day, zone)
    found = _INSTANCE.fullmatch(name) if isinstance(name, str) else None
    if found is not None:
        _known(spec, "outcomes", found[1])
        return _Rule(found[1], int(found[2]), when, value)
    _known(spec, "outcomes", name)
    return _Rule(str(name), None, when, value)


def _known(spec: DagSpec, where: str, name: object) -> None:
    if name not in spec.tasks:
        hint = suggest(str(name), spec.tasks)
        raise BadSimulation(where, f"DAG {spec.dag_id!r} has no task {name!r}.{hint}")


def _check_value(where: str, value: object) -> None:
    if isinstance(value, list | tuple):
        if not value:
            raise BadSimulation(where, "is an empty list: give an outcome for each try")
        for one in cast("Sequence[object]", value):
            _check_value(where, one)
    elif not callable(value) and not isinstance(value, Outcome):
        _outcome(where, value)


def _check_duration(where: str, value: object) -> None:
    if isinstance(value, tuple):
        span = [checked_seconds(where, one) for one in cast("tuple[object, ...]", value)]
        if len(span) != 2 or span[0] > span[1]:
            raise BadSimulation(where, f"must be (shortest, longest), not {value!r}")
    elif not callable(value):
        checked_seconds(where, value)


def _outcome(where: str, value: object) -> Outcome:
    if isinstance(value, str) and value in STATES:
        return _PLAIN[value]
    known = ", ".join(map(repr, STATES))
    hint = suggest(str(value), STATES)
    raise BadSimulation(where, f"{value!r} is none of {known}, nor an Outcome.{hint}")


def _chance(who: tuple[object, ...]) -> float:
    """A number in [0, 1) that follows from `who` alone."""
    return int.from_bytes(hashlib.sha256(repr(who).encode()).digest()[:6], "big") / 2**48


_PLAIN: Final = {state: Outcome(state=state) for state in STATES}
