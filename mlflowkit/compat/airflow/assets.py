"""Assets and Airflow 2's datasets."""

from __future__ import annotations

from typing import Any, Final

from mlflowkit.authoring.assets import Asset
from mlflowkit.timetables import AssetOrTimeSchedule

__all__ = ["Asset", "Dataset", "DatasetOrTimeSchedule"]

#: What Airflow 2 calls an asset: its first argument is the URI.
Dataset: Final = Asset


def DatasetOrTimeSchedule(*, timetable: Any, datasets: Any) -> AssetOrTimeSchedule:
    """`AssetOrTimeSchedule` with Airflow 2's names."""
    return AssetOrTimeSchedule(timetable=timetable, assets=datasets)
