"""Where Airflow 3 keeps what pipeline files take from mlflowkit: names only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SDK = "airflow.sdk"
_STANDARD = "airflow.providers.standard"
_SQL = "airflow.providers.common.sql"
_AWS = "airflow.providers.amazon.aws"
_K8S = "airflow.providers.cncf.kubernetes"
PAPERMILL: Final = "airflow.providers.papermill.operators.papermill"

_SDK_NAMES: Final = (
    *("DAG", "dag", "task", "task_group", "TaskGroup", "setup", "teardown", "chain"),
    *(
        "chain_linear",
        "cross_downstream",
        "Label",
        "Param",
        "Asset",
        "AssetAlias",
        "AssetAll",
    ),
    *("AssetAny", "Variable", "Connection", "BaseOperator", "XComArg", "TriggerRule"),
    *("get_current_context", "Context"),
)
#: Operators and sensors: their first argument has to be named in Airflow.
OPERATORS: Final[Mapping[str, str]] = {
    "BashOperator": f"{_STANDARD}.operators.bash",
    "PythonOperator": f"{_STANDARD}.operators.python",
    "BranchPythonOperator": f"{_STANDARD}.operators.python",
    "ShortCircuitOperator": f"{_STANDARD}.operators.python",
    "BaseBranchOperator": f"{_STANDARD}.operators.branch",
    "EmptyOperator": f"{_STANDARD}.operators.empty",
    "LatestOnlyOperator": f"{_STANDARD}.operators.latest_only",
    "TriggerDagRunOperator": f"{_STANDARD}.operators.trigger_dagrun",
    "PythonSensor": f"{_STANDARD}.sensors.python",
    "BashSensor": f"{_STANDARD}.sensors.bash",
    "FileSensor": f"{_STANDARD}.sensors.filesystem",
    "ExternalTaskSensor": f"{_STANDARD}.sensors.external_task",
    "TimeSensor": f"{_STANDARD}.sensors.time",
    "TimeDeltaSensor": f"{_STANDARD}.sensors.time_delta",
    "DateTimeSensor": f"{_STANDARD}.sensors.date_time",
    "DayOfWeekSensor": f"{_STANDARD}.sensors.weekday",
    "HttpSensor": "airflow.providers.http.sensors.http",
    "SQLExecuteQueryOperator": f"{_SQL}.operators.sql",
    "SQLCheckOperator": f"{_SQL}.operators.sql",
    "SqlSensor": f"{_SQL}.sensors.sql",
    "S3KeySensor": f"{_AWS}.sensors.s3",
    "S3FileTransformOperator": f"{_AWS}.operators.s3",
    "LocalFilesystemToS3Operator": f"{_AWS}.transfers.local_to_s3",
    "KubernetesPodOperator": f"{_K8S}.operators.pod",
    "KubernetesJobOperator": f"{_K8S}.operators.job",
}
_OTHERS: Final[Mapping[str, str]] = {
    "S3Hook": f"{_AWS}.hooks.s3",
    "PostgresHook": "airflow.providers.postgres.hooks.postgres",
    "MySqlHook": "airflow.providers.mysql.hooks.mysql",
    "BaseHook": _SDK,
    "BaseSensorOperator": _SDK,
    "PokeReturnValue": _SDK,
    "CronDataIntervalTimetable": "airflow.timetables.interval",
    "DeltaDataIntervalTimetable": "airflow.timetables.interval",
    "CronTriggerTimetable": "airflow.timetables.trigger",
    "DeltaTriggerTimetable": "airflow.timetables.trigger",
    "MultipleCronTriggerTimetable": "airflow.timetables.trigger",
    "EventsTimetable": "airflow.timetables.events",
    "Timetable": "airflow.timetables.base",
    "DataInterval": "airflow.timetables.base",
    "DagRunInfo": "airflow.timetables.base",
    "TimeRestriction": "airflow.timetables.base",
}
#: Names that Airflow calls something else: module, and name there.
RENAMED: Final[Mapping[str, tuple[str, str]]] = {
    "TaskSkipped": ("airflow.exceptions", "AirflowSkipException"),
    "TaskFailedForGood": ("airflow.exceptions", "AirflowFailException"),
    "TaskFailed": ("airflow.exceptions", "AirflowException"),
    "SensorTimeout": ("airflow.exceptions", "AirflowSensorTimeout"),
    "TaskRescheduled": ("airflow.exceptions", "AirflowRescheduleException"),
    "AssetOrTimeSchedule": ("airflow.timetables.assets", "AssetOrTimeSchedule"),
}
#: Module and name in Airflow, for each public name that it has.
THERE: Final[Mapping[str, tuple[str, str]]] = {
    **{name: (_SDK, name) for name in _SDK_NAMES},
    **{name: (module, name) for name, module in {**OPERATORS, **_OTHERS}.items()},
    **RENAMED,
}
#: Options of tasks that Airflow does not have, and why.
NO_TASK_OPTION: Final[Mapping[str, str]] = {
    "isolate": "Airflow runs each task instance in a process of its own",
    "cache": "Airflow keeps no results by code and inputs",
    "idempotent": "it is only for `mlflowkit dags lint`",
}
#: Options that can be left out without changing what a run does.
HARMLESS: Final = frozenset({"isolate", "idempotent"})
#: Options of a DAG that Airflow 3 has.
DAG_OPTIONS_THERE: Final = frozenset(
    {"dag_id", "description", "schedule", "start_date", "end_date", "catchup", "params"}
    | {"default_args", "tags", "doc_md", "max_active_runs", "max_active_tasks"}
    | {"dagrun_timeout", "on_success_callback", "on_failure_callback", "owner_links"}
    | {"template_searchpath", "template_undefined", "user_defined_macros", "fail_fast"}
    | {"user_defined_filters", "render_template_as_native_obj", "jinja_environment_kwargs"}
    | {"is_paused_upon_creation", "dag_display_name", "access_control", "deadline"}
    | {"max_consecutive_failed_dag_runs"}
)
#: Old names of a DAG's options.
DAG_OPTIONS_RENAMED: Final[Mapping[str, str]] = {
    "schedule_interval": "schedule",
    "timetable": "schedule",
    "concurrency": "max_active_tasks",
    "fail_stop": "fail_fast",
}


def distribution_of(module: str) -> str:
    """The package on PyPI that has a module of Airflow."""
    if not module.startswith("airflow.providers."):
        return "apache-airflow>=3"
    parts = module.split(".")[2:]
    known = {"standard", "http", "postgres", "mysql", "papermill", "amazon"}
    names = parts[:1] if parts[0] in known else parts[:2]
    return f"apache-airflow-providers-{'-'.join(names)}"
