"""Schedules by assets, as plain data: which updates start a run, alone or beside a clock.

An asset is named by its URI here. What an asset is to people is `authoring.assets`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, assert_never, runtime_checkable

from mlflowkit.core.timetable.base import (
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    Timetable,
)
from mlflowkit.core.timetable.simple import NullTimetable
from mlflowkit.errors import BadTimetable


@dataclass(frozen=True, slots=True)
class AssetUri:
    """The asset of that URI was updated."""

    uri: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Each of them holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of them holds at least."""

    parts: tuple[Condition, ...]


Condition = AssetUri | AllOf | AnyOf


@runtime_checkable
class HasCondition(Protocol):
    """An asset, or several joined by `&` and `|`."""

    def condition(self) -> Condition: ...


Assets = Condition | HasCondition | Sequence["Condition | HasCondition"]


def condition_met(condition: Condition, updated_uris: Collection[str]) -> bool:
    """Whether a run is due when these assets were updated since the last one."""
    match condition:
        case AssetUri(uri=uri):
            return uri in updated_uris
        case AllOf(parts=parts):
            return all(condition_met(part, updated_uris) for part in parts)
        case AnyOf(parts=parts):
            return any(condition_met(part, updated_uris) for part in parts)
        case _:
            assert_never(condition)


def uris_of(condition: Condition) -> Iterator[str]:
    """The assets that it speaks of, in order; one may come twice."""
    if isinstance(condition, AssetUri):
        yield condition.uri
        return
    for part in condition.parts:
        yield from uris_of(part)


def condition_of(assets: Assets) -> Condition:
    """The condition of an asset, of several joined ones, or of a list: all of them.

    Raises:
        BadTimetable: it is none of these, or there is no asset in it.
    """
    if isinstance(assets, AssetUri | AllOf | AnyOf):
        return assets
    if isinstance(assets, HasCondition):
        return assets.condition()
    if isinstance(assets, str) or not isinstance(assets, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadTimetable(assets, "is no asset: write Asset('s3://…'), or a list of them")
    if not assets:
        raise BadTimetable([], "is an empty list of assets: no update would start a run")
    return AllOf(tuple(condition_of(part) for part in assets))


def condition_text(condition: Condition) -> str:
    """For people: `s3://a | (s3://b & s3://c)`."""
    if isinstance(condition, AssetUri):
        return condition.uri
    parts = [
        f"({condition_text(part)})" if _is_joined(part) else condition_text(part)
        for part in condition.parts
    ]
    return (" & " if isinstance(condition, AllOf) else " | ").join(parts)


def _is_joined(condition: Condition) -> bool:
    return not isinstance(condition, AssetUri) and len(condition.parts) > 1


def condition_data(condition: Condition) -> dict[str, Any]:
    """The condition as plain data."""
    match condition:
        case AssetUri(uri=uri):
            return {"uri": uri}
        case AllOf(parts=parts):
            return {"all": [condition_data(part) for part in parts]}
        case AnyOf(parts=parts):
            return {"any": [condition_data(part) for part in parts]}
        case _:
            assert_never(condition)


def condition_from(data: Mapping[str, Any]) -> Condition:
    """The condition that `condition_data` wrote."""
    if "uri" in data:
        return AssetUri(data["uri"])
    if "all" in data:
        return AllOf(tuple(condition_from(part) for part in data["all"]))
    return AnyOf(tuple(condition_from(part) for part in data["any"]))


class AssetTriggeredTimetable(NullTimetable):
    """A run when assets were updated; the clock starts none.

    Args:
        assets: An asset, several joined by `&` and `|`, or a list, of which all must be.

    Raises:
        BadTimetable: there is no asset in it.
    """

    can_be_scheduled = True
    description = "Triggered by assets"

    def __init__(self, assets: Assets) -> None:
        self.condition = condition_of(assets)

    @property
    def summary(self) -> str:
        return "Asset"

    def serialize(self) -> dict[str, Any]:
        return {"assets": condition_data(self.condition)}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> AssetTriggeredTimetable:
        return cls(condition_from(data["assets"]))


class AssetOrTimeSchedule(AssetTriggeredTimetable):
    """A run when assets were updated, and also when a timetable says so.

    Args:
        timetable: The one that goes by the clock.
        assets: As in AssetTriggeredTimetable.
    """

    def __init__(self, *, timetable: Timetable, assets: Assets) -> None:
        super().__init__(assets)
        if not isinstance(timetable, Timetable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadTimetable(timetable, "is no timetable: see mlflowkit.timetables")
        self.timetable = timetable
        self.description = f"Triggered by assets or {timetable.description}"
        self.periodic = timetable.periodic
        self.active_runs_limit = timetable.active_runs_limit

    @property
    def summary(self) -> str:
        return f"Asset or {self.timetable.summary}"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        return self.timetable.next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval,
            restriction=restriction,
        )

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return self.timetable.infer_manual_data_interval(run_after=run_after)
