"""Operators, sensors and hooks by kind: what stands for each. Where Airflow keeps them is elsewhere.

Targets as in `core_families`; `!name` is of mlflowkit.operators. Data alone.
"""

from __future__ import annotations

from typing import Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.core_families import Names
from mlflowkit.compat.airflow.missing import Missing


def ours(*names: str) -> dict[str, str]:
    """Names that mlflowkit.operators has, too."""
    return {name: f"!{name}" for name in names}


def all_missing(todo: str, *names: str) -> dict[str, Missing]:
    """Names that may be imported, and are an error when used."""
    return {name: Missing(name, todo) for name in names}


BASH: Final[Names] = ours("BashOperator")
PYTHON: Final[Names] = {
    "PythonOperator": "+operators:PythonOperator",
    **ours("BranchPythonOperator", "ShortCircuitOperator"),
    "task": "+tasks:task",
    "get_current_context": "=get_current_context",
    **all_missing(
        words.VIRTUALENV,
        *("PythonVirtualenvOperator", "ExternalPythonOperator"),
        *("BranchPythonVirtualenvOperator", "BranchExternalPythonOperator"),
    ),
}
EMPTY: Final[Names] = {
    "EmptyOperator": "!EmptyOperator",
    "DummyOperator": "!EmptyOperator",
}
BRANCH: Final[Names] = {
    **ours("BaseBranchOperator"),
    "BranchMixIn": Missing("BranchMixIn", "subclass BaseBranchOperator"),
}
LATEST: Final[Names] = ours("LatestOnlyOperator")
TRIGGER: Final[Names] = {
    "TriggerDagRunOperator": "+operators:TriggerDagRunOperator",
    "TriggerDagRunLink": "+stands:BaseOperatorLink",
}
WEEKDAY: Final[Names] = ours("BranchDayOfWeekOperator")
DATETIME: Final[Names] = ours("BranchDateTimeOperator")
SUBDAG: Final[Names] = all_missing(words.SUB_DAG, "SubDagOperator")
MAIL: Final[Names] = all_missing(words.MAIL, "EmailOperator")
EXTERNAL: Final[Names] = {
    "ExternalTaskSensor": "!ExternalTaskSensor",
    "ExternalTaskMarker": "+operators:ExternalTaskMarker",
    "ExternalTaskSensorLink": "+stands:BaseOperatorLink",
}
FILE: Final[Names] = ours("FileSensor")
DATE_SENSOR: Final[Names] = {
    **ours("DateTimeSensor"),
    "DateTimeSensorAsync": "!DateTimeSensor",
}
DELTA_SENSOR: Final[Names] = {
    **ours("TimeDeltaSensor"),
    "TimeDeltaSensorAsync": "!TimeDeltaSensor",
    "WaitSensor": "!TimeDeltaSensor",
}
TIME_SENSOR: Final[Names] = {**ours("TimeSensor"), "TimeSensorAsync": "!TimeSensor"}
BASE_SENSOR: Final[Names] = {
    **ours("BaseSensorOperator", "PokeReturnValue"),
    "poke_mode_only": "+stands:poke_mode_only",
}
BASE_HOOK: Final[Names] = {"BaseHook": "=BaseHook"}
FS_HOOK: Final[Names] = {"FSHook": "+hooks:FSHook"}
SUBPROCESS: Final[Names] = all_missing(
    "use subprocess, or BashOperator", "SubprocessHook", "SubprocessResult"
)
SQL_OPERATORS: Final[Names] = {
    **ours("SQLExecuteQueryOperator", "SQLCheckOperator", "SQLValueCheckOperator"),
    **ours("BranchSQLOperator"),
    "BaseSQLOperator": "mlflowkit.operators.sql:BaseSQLOperator",
    **all_missing(
        "write the check as SQL with SQLCheckOperator",
        *("SQLColumnCheckOperator", "SQLTableCheckOperator"),
        *("SQLIntervalCheckOperator", "SQLThresholdCheckOperator"),
        "SQLInsertRowsOperator",
    ),
}
SQL_HOOKS: Final[Names] = {
    "DbApiHook": "mlflowkit.hooks.sql:SqlHook",
    "fetch_all_handler": "mlflowkit.hooks.sql_handlers:fetch_all_handler",
    "fetch_one_handler": "mlflowkit.hooks.sql_handlers:fetch_one_handler",
    "return_single_query_results": (
        "mlflowkit.hooks.sql_handlers:return_single_query_results"
    ),
}
SQL_SENSOR: Final[Names] = ours("SqlSensor")
POSTGRES_HOOK: Final[Names] = {"PostgresHook": "mlflowkit.hooks.sql:PostgresHook"}
MYSQL_HOOK: Final[Names] = {"MySqlHook": "mlflowkit.hooks.sql:MySqlHook"}
SQLITE_HOOK: Final[Names] = {"SqliteHook": "mlflowkit.hooks.sql:SqliteHook"}
S3_HOOK: Final[Names] = {"S3Hook": "mlflowkit.hooks.s3:S3Hook"}
S3_OPERATORS: Final[Names] = {
    **ours("S3CopyObjectOperator", "S3CreateBucketOperator", "S3DeleteBucketOperator"),
    **ours("S3DeleteObjectsOperator", "S3ListOperator", "S3FileTransformOperator"),
    "S3CreateObjectOperator": "+operators:S3CreateObjectOperator",
    **all_missing(
        "use S3Hook in a @task",
        *("S3ListPrefixesOperator", "S3GetBucketTaggingOperator"),
        *("S3PutBucketTaggingOperator", "S3DeleteBucketTaggingOperator"),
    ),
}
S3_SENSORS: Final[Names] = {
    **ours("S3KeySensor"),
    **all_missing("compare S3Hook.list_keys in a @task.sensor", "S3KeysUnchangedSensor"),
}
S3_UPLOAD: Final[Names] = ours("LocalFilesystemToS3Operator", "S3FileTransferOperator")
POD: Final[Names] = {
    **ours("KubernetesPodOperator"),
    "OnFinishAction": "mlflowkit.operators.kubernetes:OnFinishAction",
}
JOB: Final[Names] = {
    **ours("KubernetesJobOperator"),
    **all_missing(
        "use KubernetesHook in a @task",
        *("KubernetesDeleteJobOperator", "KubernetesPatchJobOperator"),
    ),
}
SECRET: Final[Names] = {"Secret": "mlflowkit.operators.kubernetes:Secret"}
K8S_HOOK: Final[Names] = {"KubernetesHook": "mlflowkit.hooks.kubernetes:KubernetesHook"}
PAPERMILL: Final[Names] = {"PapermillOperator": "+papermill:PapermillOperator"}
HTTP: Final[Names] = all_missing(
    "call the service with httpx in a @task",
    *("SimpleHttpOperator", "HttpOperator", "HttpHook", "HttpAsyncHook"),
)
ARTICLE: Final[Names] = {**S3_OPERATORS, **S3_UPLOAD}
