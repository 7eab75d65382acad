"""Where Airflow 1 and 2 keep operators, sensors and hooks. Data alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflowkit.compat.airflow import families as f
from mlflowkit.compat.airflow.core_families import Names

#: Under `airflow.operators`, `airflow.sensors` and `airflow.hooks`: Airflow 1 and 2.
OLD: Final[Mapping[str, Names]] = {
    "airflow.operators": {
        **{**f.BASH, **f.PYTHON, **f.EMPTY, **f.LATEST, **f.TRIGGER},
    },
    "airflow.operators.bash": f.BASH,
    "airflow.operators.bash_operator": f.BASH,
    "airflow.operators.branch": f.BRANCH,
    "airflow.operators.branch_operator": f.BRANCH,
    "airflow.operators.datetime": f.DATETIME,
    "airflow.operators.dagrun_operator": f.TRIGGER,
    "airflow.operators.dummy": f.EMPTY,
    "airflow.operators.dummy_operator": f.EMPTY,
    "airflow.operators.email": f.MAIL,
    "airflow.operators.email_operator": f.MAIL,
    "airflow.operators.empty": f.EMPTY,
    "airflow.operators.generic_transfer": f.all_missing(
        "read and write with two hooks in a @task", "GenericTransfer"
    ),
    "airflow.operators.http_operator": f.HTTP,
    "airflow.operators.latest_only": f.LATEST,
    "airflow.operators.latest_only_operator": f.LATEST,
    "airflow.operators.mysql_operator": f.ours("MySqlOperator"),
    "airflow.operators.papermill_operator": f.PAPERMILL,
    "airflow.operators.postgres_operator": f.ours("PostgresOperator"),
    "airflow.operators.python": f.PYTHON,
    "airflow.operators.python_operator": f.PYTHON,
    "airflow.operators.s3_file_transform_operator": f.ARTICLE,
    "airflow.operators.smooth": {"SmoothOperator": "!EmptyOperator"},
    "airflow.operators.sql": f.SQL_OPERATORS,
    "airflow.operators.sqlite_operator": f.ours("SqliteOperator"),
    "airflow.operators.subdag": f.SUBDAG,
    "airflow.operators.subdag_operator": f.SUBDAG,
    "airflow.operators.trigger_dagrun": f.TRIGGER,
    "airflow.operators.weekday": f.WEEKDAY,
    "airflow.sensors": {},
    "airflow.sensors.base": f.BASE_SENSOR,
    "airflow.sensors.base_sensor_operator": f.BASE_SENSOR,
    "airflow.sensors.bash": f.ours("BashSensor"),
    "airflow.sensors.date_time": f.DATE_SENSOR,
    "airflow.sensors.date_time_sensor": f.DATE_SENSOR,
    "airflow.sensors.external_task": f.EXTERNAL,
    "airflow.sensors.external_task_sensor": f.EXTERNAL,
    "airflow.sensors.filesystem": f.FILE,
    "airflow.sensors.file_sensor": f.FILE,
    "airflow.sensors.http_sensor": f.ours("HttpSensor"),
    "airflow.sensors.python": f.ours("PythonSensor"),
    "airflow.sensors.s3_key_sensor": f.S3_SENSORS,
    "airflow.sensors.sql": f.SQL_SENSOR,
    "airflow.sensors.sql_sensor": f.SQL_SENSOR,
    "airflow.sensors.time_delta": f.DELTA_SENSOR,
    "airflow.sensors.time_delta_sensor": f.DELTA_SENSOR,
    "airflow.sensors.time_sensor": f.TIME_SENSOR,
    "airflow.sensors.weekday": f.ours("DayOfWeekSensor"),
    "airflow.hooks": {},
    "airflow.hooks.S3_hook": f.S3_HOOK,
    "airflow.hooks.base": f.BASE_HOOK,
    "airflow.hooks.base_hook": f.BASE_HOOK,
    "airflow.hooks.dbapi": f.SQL_HOOKS,
    "airflow.hooks.dbapi_hook": f.SQL_HOOKS,
    "airflow.hooks.filesystem": f.FS_HOOK,
    "airflow.hooks.http_hook": f.HTTP,
    "airflow.hooks.mysql_hook": f.MYSQL_HOOK,
    "airflow.hooks.postgres_hook": f.POSTGRES_HOOK,
    "airflow.hooks.sqlite_hook": f.SQLITE_HOOK,
    "airflow.hooks.subprocess": f.SUBPROCESS,
    "airflow.kubernetes": {},
    "airflow.kubernetes.secret": f.SECRET,
}
