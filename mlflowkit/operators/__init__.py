"""Operators: those of the language, and those that touch outside systems.

Each is loaded on first use, so that a pipeline loads only what it names.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: Where each operator lives.
_HOMES = {
    "BaseBranchOperator": "mlflowkit.authoring.branch",
    "BaseOperator": "mlflowkit.authoring.operator",
    "BaseSensorOperator": "mlflowkit.authoring.sensor",
    "BashOperator": "mlflowkit.operators.bash",
    "BashSensor": "mlflowkit.operators.sensor_bash",
    "BranchDateTimeOperator": "mlflowkit.operators.branch_time",
    "BranchDayOfWeekOperator": "mlflowkit.operators.branch_time",
    "BranchPythonOperator": "mlflowkit.authoring.branch",
    "BranchSQLOperator": "mlflowkit.operators.sql_branch",
    "DateTimeSensor": "mlflowkit.operators.sensor_time",
    "DayOfWeekSensor": "mlflowkit.operators.sensor_time",
    "EmptyOperator": "mlflowkit.authoring.empty",
    "ExternalTaskSensor": "mlflowkit.operators.sensor_external",
    "FileSensor": "mlflowkit.operators.sensor_file",
    "HttpSensor": "mlflowkit.operators.sensor_http",
    "KubernetesJobOperator": "mlflowkit.operators.kubernetes",
    "KubernetesPodOperator": "mlflowkit.operators.kubernetes",
    "LatestOnlyOperator": "mlflowkit.operators.latest_only",
    "LocalFilesystemToS3Operator": "mlflowkit.operators.s3_upload",
    "MySqlOperator": "mlflowkit.operators.sql",
    "NotebookOperator": "mlflowkit.authoring.notebook",
    "PokeReturnValue": "mlflowkit.authoring.sensor",
    "PostgresOperator": "mlflowkit.operators.sql",
    "PythonOperator": "mlflowkit.authoring.python",
    "PythonSensor": "mlflowkit.authoring.python_sensor",
    "S3CopyObjectOperator": "mlflowkit.operators.s3",
    "S3CreateBucketOperator": "mlflowkit.operators.s3",
    "S3DeleteBucketOperator": "mlflowkit.operators.s3",
    "S3DeleteObjectsOperator": "mlflowkit.operators.s3",
    "S3FileTransferOperator": "mlflowkit.operators.s3_upload",
    "S3FileTransformOperator": "mlflowkit.operators.s3_transform",
    "S3KeySensor": "mlflowkit.operators.sensor_s3",
    "S3ListOperator": "mlflowkit.operators.s3",
    "SQLCheckOperator": "mlflowkit.operators.sql_checks",
    "SQLExecuteQueryOperator": "mlflowkit.operators.sql",
    "SQLValueCheckOperator": "mlflowkit.operators.sql_checks",
    "ShortCircuitOperator": "mlflowkit.authoring.branch",
    "SqlSensor": "mlflowkit.operators.sensor_sql",
    "SqliteOperator": "mlflowkit.operators.sql",
    "TimeDeltaSensor": "mlflowkit.operators.sensor_time",
    "TimeSensor": "mlflowkit.operators.sensor_time",
    "TriggerDagRunOperator": "mlflowkit.operators.trigger_dag",
    "WeekDay": "mlflowkit.operators.sensor_time",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # the table is the list


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from mlflowkit.errors import suggest

        hint = suggest(name, _HOMES) if not name.startswith("_") else ""
        raise AttributeError(
            f"module 'mlflowkit.operators' has no attribute {name!r}.{hint}"
        )
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
