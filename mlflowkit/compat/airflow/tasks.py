"""`@task` as DAG files for Airflow know it: kinds that are not here are named with their line."""

from __future__ import annotations

from typing import Final, NoReturn

from mlflowkit.authoring.task import TaskDecorator
from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.missing import missing


class AirflowTask(TaskDecorator):
    """`@task`, `@task.branch`, …"""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise missing(f"@task.{name}", words.TASK_KINDS.get(name, words.UNKNOWN))


task: Final = AirflowTask("python")
