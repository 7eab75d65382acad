"""Operators, sensors and hooks, in all the places that Airflow 1, 2 and 3 keep them. Data alone.

Targets as in `names_core`; `!name` is of mlflowkit.operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.missing import Missing
from mlflowkit.compat.airflow.names_core import Names

_STANDARD: Final = "airflow.providers.standard"
_AWS: Final = "airflow.providers.amazon.aws"
_K8S: Final = "airflow.providers.cncf.kubernetes"


def _ours(*names: str) -> dict[str, str]:
    return {name: f"!{name}" for name in names}


def _all_missing(todo: str, *names: str) -> dict[str, Missing]:
    return {name: Missing(name, todo) for name in names}


_BASH: Final[Names] = _ours("BashOperator")
_PYTHON: Final[Names] = {
    "PythonOperator": "+operators:PythonOperator",
    **_ours("BranchPythonOperator", "ShortCircuitOperator"),
    "task": "+tasks:task",
    "get_current_context": "=get_current_context",
    **_all_missing(
        words.VIRTUALENV,
        *("PythonVirtualenvOperator", "ExternalPythonOperator"),
        *("BranchPythonVirtualenvOperator", "BranchExternalPythonOperator"),
    ),
}
_EMPTY: Final[Names] = {"EmptyOperator": "!EmptyOperator", "DummyOperator": "!EmptyOperator"}
_BRANCH: Final[Names] = {
    **_ours("BaseBranchOperator"),
    "BranchMixIn": Missing("BranchMixIn", "subclass BaseBranchOperator"),
}
_LATEST: Final[Names] = _ours("LatestOnlyOperator")
_TRIGGER: Final[Names] = {
    "TriggerDagRunOperator": "+operators:TriggerDagRunOperator",
    "TriggerDagRunLink": "+stands:BaseOperatorLink",
}
_WEEKDAY: Final[Names] = _ours("BranchDayOfWeekOperator")
_DATETIME: Final[Names] = _ours("BranchDateTimeOperator")
_SUBDAG: Final[Names] = _all_missing(words.SUB_DAG, "SubDagOperator")
_MAIL: Final[Names] = _all_missing(words.MAIL, "EmailOperator")
_EXTERNAL: Final[Names] = {
    "ExternalTaskSensor": "!ExternalTaskSensor",
    "ExternalTaskMarker": "+operators:ExternalTaskMarker",
    "ExternalTaskSensorLink": "+stands:BaseOperatorLink",
}
_FILE: Final[Names] = _ours("FileSensor")
_DATE_SENSOR: Final[Names] = {
    **_ours("DateTimeSensor"),
    "DateTimeSensorAsync": "!DateTimeSensor",
}
_DELTA_SENSOR: Final[Names] = {
    **_ours("TimeDeltaSensor"),
    "TimeDeltaSensorAsync": "!TimeDeltaSensor",
    "WaitSensor": "!TimeDeltaSensor",
}
_TIME_SENSOR: Final[Names] = {**_ours("TimeSensor"), "TimeSensorAsync": "!TimeSensor"}
_BASE_SENSOR: Final[Names] = {
    **_ours("BaseSensorOperator", "PokeReturnValue"),
    "poke_mode_only": "+stands:poke_mode_only",
}
_BASE_HOOK: Final[Names] = {"BaseHook": "=BaseHook"}
_FS_HOOK: Final[Names] = {"FSHook": "+hooks:FSHook"}
_SUBPROCESS: Final[Names] = _all_missing(
    "use subprocess, or BashOperator", "SubprocessHook", "SubprocessResult"
)
_SQL_OPERATORS: Final[Names] = {
    **_ours("SQLExecuteQueryOperator", "SQLCheckOperator", "SQLValueCheckOperator"),
    **_ours("BranchSQLOperator"),
    "BaseSQLOperator": "mlflowkit.operators.sql:BaseSQLOperator",
    **_all_missing(
        "write the check as SQL with SQLCheckOperator",
        *("SQLColumnCheckOperator", "SQLTableCheckOperator"),
        *("SQLIntervalCheckOperator", "SQLThresholdCheckOperator"),
        "SQLInsertRowsOperator",
    ),
}
_SQL_HOOKS: Final[Names] = {
    "DbApiHook": "mlflowkit.hooks.sql:SqlHook",
    "fetch_all_handler": "mlflowkit.hooks.sql_handlers:fetch_all_handler",
    "fetch_one_handler": "mlflowkit.hooks.sql_handlers:fetch_one_handler",
    "return_single_query_results": (
        "mlflowkit.hooks.sql_handlers:return_single_query_results"
    ),
}
_SQL_SENSOR: Final[Names] = _ours("SqlSensor")
_POSTGRES_HOOK: Final[Names] = {"PostgresHook": "mlflowkit.hooks.sql:PostgresHook"}
_MYSQL_HOOK: Final[Names] = {"MySqlHook": "mlflowkit.hooks.sql:MySqlHook"}
_SQLITE_HOOK: Final[Names] = {"SqliteHook": "mlflowkit.hooks.sql:SqliteHook"}
_S3_HOOK: Final[Names] = {"S3Hook": "mlflowkit.hooks.s3:S3Hook"}
_S3_OPERATORS: Final[Names] = {
    **_ours("S3CopyObjectOperator", "S3CreateBucketOperator", "S3DeleteBucketOperator"),
    **_ours("S3DeleteObjectsOperator", "S3ListOperator", "S3FileTransformOperator"),
    "S3CreateObjectOperator": "+operators:S3CreateObjectOperator",
    **_all_missing(
        "use S3Hook in a @task",
        *("S3ListPrefixesOperator", "S3GetBucketTaggingOperator"),
        *("S3PutBucketTaggingOperator", "S3DeleteBucketTaggingOperator"),
    ),
}
_S3_SENSORS: Final[Names] = {
    **_ours("S3KeySensor"),
    **_all_missing("compare S3Hook.list_keys in a @task.sensor", "S3KeysUnchangedSensor"),
}
_S3_UPLOAD: Final[Names] = _ours("LocalFilesystemToS3Operator", "S3FileTransferOperator")
_POD: Final[Names] = {
    **_ours("KubernetesPodOperator"),
    "OnFinishAction": "mlflowkit.operators.kubernetes:OnFinishAction",
}
_JOB: Final[Names] = {
    **_ours("KubernetesJobOperator"),
    **_all_missing(
        "use KubernetesHook in a @task",
        *("KubernetesDeleteJobOperator", "KubernetesPatchJobOperator"),
    ),
}
_SECRET: Final[Names] = {"Secret": "mlflowkit.operators.kubernetes:Secret"}
_K8S_HOOK: Final[Names] = {"KubernetesHook": "mlflowkit.hooks.kubernetes:KubernetesHook"}
_PAPERMILL: Final[Names] = {"PapermillOperator": "+papermill:PapermillOperator"}
_HTTP: Final[Names] = _all_missing(
    "call the service with httpx in a @task",
    *("SimpleHttpOperator", "HttpOperator", "HttpHook", "HttpAsyncHook"),
)
_ARTICLE: Final[Names] = {**_S3_OPERATORS, **_S3_UPLOAD}

#: Under `airflow.operators`, `airflow.sensors` and `airflow.hooks`: Airflow 1 and 2.
OLD: Final[Mapping[str, Names]] = {
    "airflow.operators": {
        **{**_BASH, **_PYTHON, **_EMPTY, **_LATEST, **_TRIGGER},
    },
    "airflow.operators.bash": _BASH,
    "airflow.operators.bash_operator": _BASH,
    "airflow.operators.branch": _BRANCH,
    "airflow.operators.branch_operator": _BRANCH,
    "airflow.operators.datetime": _DATETIME,
    "airflow.operators.dagrun_operator": _TRIGGER,
    "airflow.operators.dummy": _EMPTY,
    "airflow.operators.dummy_operator": _EMPTY,
    "airflow.operators.email": _MAIL,
    "airflow.operators.email_operator": _MAIL,
    "airflow.operators.empty": _EMPTY,
    "airflow.operators.generic_transfer": _all_missing(
        "read and write with two hooks in a @task", "GenericTransfer"
    ),
    "airflow.operators.http_operator": _HTTP,
    "airflow.operators.latest_only": _LATEST,
    "airflow.operators.latest_only_operator": _LATEST,
    "airflow.operators.mysql_operator": _ours("MySqlOperator"),
    "airflow.operators.papermill_operator": _PAPERMILL,
    "airflow.operators.postgres_operator": _ours("PostgresOperator"),
    "airflow.operators.python": _PYTHON,
    "airflow.operators.python_operator": _PYTHON,
    "airflow.operators.s3_file_transform_operator": _ARTICLE,
    "airflow.operators.smooth": {"SmoothOperator": "!EmptyOperator"},
    "airflow.operators.sql": _SQL_OPERATORS,
    "airflow.operators.sqlite_operator": _ours("SqliteOperator"),
    "airflow.operators.subdag": _SUBDAG,
    "airflow.operators.subdag_operator": _SUBDAG,
    "airflow.operators.trigger_dagrun": _TRIGGER,
    "airflow.operators.weekday": _WEEKDAY,
    "airflow.sensors": {},
    "airflow.sensors.base": _BASE_SENSOR,
    "airflow.sensors.base_sensor_operator": _BASE_SENSOR,
    "airflow.sensors.bash": _ours("BashSensor"),
    "airflow.sensors.date_time": _DATE_SENSOR,
    "airflow.sensors.date_time_sensor": _DATE_SENSOR,
    "airflow.sensors.external_task": _EXTERNAL,
    "airflow.sensors.external_task_sensor": _EXTERNAL,
    "airflow.sensors.filesystem": _FILE,
    "airflow.sensors.file_sensor": _FILE,
    "airflow.sensors.http_sensor": _ours("HttpSensor"),
    "airflow.sensors.python": _ours("PythonSensor"),
    "airflow.sensors.s3_key_sensor": _S3_SENSORS,
    "airflow.sensors.sql": _SQL_SENSOR,
    "airflow.sensors.sql_sensor": _SQL_SENSOR,
    "airflow.sensors.time_delta": _DELTA_SENSOR,
    "airflow.sensors.time_delta_sensor": _DELTA_SENSOR,
    "airflow.sensors.time_sensor": _TIME_SENSOR,
    "airflow.sensors.weekday": _ours("DayOfWeekSensor"),
    "airflow.hooks": {},
    "airflow.hooks.S3_hook": _S3_HOOK,
    "airflow.hooks.base": _BASE_HOOK,
    "airflow.hooks.base_hook": _BASE_HOOK,
    "airflow.hooks.dbapi": _SQL_HOOKS,
    "airflow.hooks.dbapi_hook": _SQL_HOOKS,
    "airflow.hooks.filesystem": _FS_HOOK,
    "airflow.hooks.http_hook": _HTTP,
    "airflow.hooks.mysql_hook": _MYSQL_HOOK,
    "airflow.hooks.postgres_hook": _POSTGRES_HOOK,
    "airflow.hooks.sqlite_hook": _SQLITE_HOOK,
    "airflow.hooks.subprocess": _SUBPROCESS,
    "airflow.kubernetes": {},
    "airflow.kubernetes.secret": _SECRET,
}
#: Under `airflow.providers`.
PROVIDERS: Final[Mapping[str, Names]] = {
    "airflow.providers": {},
    _STANDARD: {},
    f"{_STANDARD}.operators": {},
    f"{_STANDARD}.operators.bash": _BASH,
    f"{_STANDARD}.operators.branch": _BRANCH,
    f"{_STANDARD}.operators.datetime": _DATETIME,
    f"{_STANDARD}.operators.empty": _EMPTY,
    f"{_STANDARD}.operators.latest_only": _LATEST,
    f"{_STANDARD}.operators.python": _PYTHON,
    f"{_STANDARD}.operators.smooth": {"SmoothOperator": "!EmptyOperator"},
    f"{_STANDARD}.operators.trigger_dagrun": _TRIGGER,
    f"{_STANDARD}.operators.weekday": _WEEKDAY,
    f"{_STANDARD}.operators.hitl": _all_missing(
        "nobody can be asked in a run: use a sensor, or `mlflowkit runs retry`",
        *("HITLOperator", "ApprovalOperator", "HITLBranchOperator", "HITLEntryOperator"),
    ),
    f"{_STANDARD}.sensors": {},
    f"{_STANDARD}.sensors.bash": _ours("BashSensor"),
    f"{_STANDARD}.sensors.date_time": _DATE_SENSOR,
    f"{_STANDARD}.sensors.external_task": _EXTERNAL,
    f"{_STANDARD}.sensors.filesystem": _FILE,
    f"{_STANDARD}.sensors.python": _ours("PythonSensor"),
    f"{_STANDARD}.sensors.time": _TIME_SENSOR,
    f"{_STANDARD}.sensors.time_delta": _DELTA_SENSOR,
    f"{_STANDARD}.sensors.weekday": _ours("DayOfWeekSensor"),
    f"{_STANDARD}.hooks": {},
    f"{_STANDARD}.hooks.filesystem": _FS_HOOK,
    f"{_STANDARD}.hooks.subprocess": _SUBPROCESS,
    f"{_STANDARD}.decorators": {},
    f"{_STANDARD}.decorators.python": {"python_task": "+tasks:task"},
    f"{_STANDARD}.utils": {},
    f"{_STANDARD}.utils.weekday": {"WeekDay": "!WeekDay"},
    "airflow.providers.common": {},
    "airflow.providers.common.compat": {},
    "airflow.providers.common.compat.sdk": {
        **{"BaseHook": "=BaseHook", "BaseOperator": "=BaseOperator"},
        **_ours("BaseSensorOperator", "PokeReturnValue"),
        "AirflowException": "mlflowkit.errors:MlflowkitError",
        "AirflowSkipException": "mlflowkit.errors:TaskSkipped",
        "AirflowFailException": "mlflowkit.errors:TaskFailedForGood",
        "Context": "+stands:Context",
    },
    "airflow.providers.common.compat.assets": {"Asset": "+assets:Asset"},
    "airflow.providers.common.sql": {},
    "airflow.providers.common.sql.operators": {},
    "airflow.providers.common.sql.operators.sql": _SQL_OPERATORS,
    "airflow.providers.common.sql.operators.generic_transfer": _all_missing(
        "read and write with two hooks in a @task", "GenericTransfer"
    ),
    "airflow.providers.common.sql.hooks": {},
    "airflow.providers.common.sql.hooks.sql": _SQL_HOOKS,
    "airflow.providers.common.sql.hooks.handlers": _SQL_HOOKS,
    "airflow.providers.common.sql.sensors": {},
    "airflow.providers.common.sql.sensors.sql": _SQL_SENSOR,
    "airflow.providers.amazon": {},
    _AWS: {},
    f"{_AWS}.hooks": {},
    f"{_AWS}.hooks.s3": _S3_HOOK,
    f"{_AWS}.operators": {},
    f"{_AWS}.operators.s3": _S3_OPERATORS,
    f"{_AWS}.operators.s3_file_transform": _ARTICLE,
    f"{_AWS}.sensors": {},
    f"{_AWS}.sensors.s3": _S3_SENSORS,
    f"{_AWS}.sensors.s3_key": _S3_SENSORS,
    f"{_AWS}.transfers": {},
    f"{_AWS}.transfers.local_to_s3": _S3_UPLOAD,
    "airflow.providers.postgres": {},
    "airflow.providers.postgres.hooks": {},
    "airflow.providers.postgres.hooks.postgres": _POSTGRES_HOOK,
    "airflow.providers.postgres.operators": {},
    "airflow.providers.postgres.operators.postgres": _ours("PostgresOperator"),
    "airflow.providers.mysql": {},
    "airflow.providers.mysql.hooks": {},
    "airflow.providers.mysql.hooks.mysql": _MYSQL_HOOK,
    "airflow.providers.mysql.operators": {},
    "airflow.providers.mysql.operators.mysql": _ours("MySqlOperator"),
    "airflow.providers.sqlite": {},
    "airflow.providers.sqlite.hooks": {},
    "airflow.providers.sqlite.hooks.sqlite": _SQLITE_HOOK,
    "airflow.providers.sqlite.operators": {},
    "airflow.providers.sqlite.operators.sqlite": _ours("SqliteOperator"),
    "airflow.providers.http": {},
    "airflow.providers.http.hooks": {},
    "airflow.providers.http.hooks.http": _HTTP,
    "airflow.providers.http.operators": {},
    "airflow.providers.http.operators.http": _HTTP,
    "airflow.providers.http.sensors": {},
    "airflow.providers.http.sensors.http": _ours("HttpSensor"),
    "airflow.providers.cncf": {},
    _K8S: {},
    f"{_K8S}.operators": {},
    f"{_K8S}.operators.pod": _POD,
    f"{_K8S}.operators.kubernetes_pod": _POD,
    f"{_K8S}.operators.job": _JOB,
    f"{_K8S}.hooks": {},
    f"{_K8S}.hooks.kubernetes": _K8S_HOOK,
    f"{_K8S}.secret": _SECRET,
    f"{_K8S}.utils": {},
    f"{_K8S}.utils.pod_manager": {
        "OnFinishAction": "mlflowkit.operators.kubernetes:OnFinishAction"
    },
    "airflow.providers.papermill": {},
    "airflow.providers.papermill.operators": {},
    "airflow.providers.papermill.operators.papermill": _PAPERMILL,
    "airflow.providers.smtp": {},
    "airflow.providers.smtp.operators": {},
    "airflow.providers.smtp.operators.smtp": _MAIL,
    "airflow.providers.docker": {},
    "airflow.providers.docker.operators": {},
    "airflow.providers.docker.operators.docker": _all_missing(
        words.DOCKER, "DockerOperator"
    ),
    "airflow.contrib": {},
    "airflow.contrib.operators": {},
    "airflow.contrib.operators.kubernetes_pod_operator": _POD,
    "airflow.contrib.hooks": {},
    "airflow.contrib.sensors": {},
    "airflow.contrib.sensors.file_sensor": _FILE,
}
