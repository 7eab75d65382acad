"""Airflow 3's `airflow.sdk` and what is below it. Data alone; targets as in `core_families`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflowkit.compat.airflow import core_families as c
from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.core_families import Names

SDK: Final[Names] = {
    "DAG": "+dags:Dag3",
    "dag": "+dags:dag3",
    **c.TASKS,
    **c.front("TaskGroup", "Variable", "Connection", "BaseHook", "literal"),
    "BaseBranchOperator": "=BaseBranchOperator",
    **c.OPERATOR,
    **c.SENSOR,
    **c.ASSETS,
    **c.PARAM,
    **c.EDGE,
    **c.CONTEXT,
    **c.RULES,
    **c.STATES,
    **c.NOTIFIER,
    **c.LOG,
    "get_parsing_context": "+stands:get_parsing_context",
    "asset": c.no(
        "@asset", words.ALIAS.replace("name the", "write a DAG with @task; name the")
    ),
    "ObjectStoragePath": c.no("ObjectStoragePath", words.OBJECT_STORAGE),
    "BaseXCom": c.no("BaseXCom", words.XCOM_CLASS),
    "XCom": c.no("XCom", words.XCOM_CLASS),
    "DeadlineAlert": c.no("DeadlineAlert", "use dagrun_timeout and on_failure_callback"),
    "DeadlineReference": c.no("DeadlineReference", "use dagrun_timeout"),
    "AsyncCallback": c.no("AsyncCallback", words.NOTIFIER),
    "SyncCallback": c.no("SyncCallback", words.NOTIFIER),
    "timezone": "@airflow.utils.timezone",
    "macros": "+stands:macros",
    "conf": "+conf:conf",
    "CronTriggerTimetable": "mlflowkit.timetables:CronTriggerTimetable",
    "CronDataIntervalTimetable": "mlflowkit.timetables:CronDataIntervalTimetable",
    "DeltaTriggerTimetable": "mlflowkit.timetables:DeltaTriggerTimetable",
    "DeltaDataIntervalTimetable": "mlflowkit.timetables:DeltaDataIntervalTimetable",
    "MultipleCronTriggerTimetable": "mlflowkit.timetables:MultipleCronTriggerTimetable",
    "EventsTimetable": "mlflowkit.timetables:EventsTimetable",
    "AssetOrTimeSchedule": "mlflowkit.timetables:AssetOrTimeSchedule",
}
#: Its modules.
SDK_MODULES: Final[Mapping[str, Names]] = {
    "airflow.sdk": SDK,
    "airflow.sdk.bases": {},
    "airflow.sdk.bases.operator": c.OPERATOR,
    "airflow.sdk.bases.operatorlink": {"BaseOperatorLink": "+stands:BaseOperatorLink"},
    "airflow.sdk.bases.sensor": c.SENSOR,
    "airflow.sdk.bases.hook": c.front("BaseHook"),
    "airflow.sdk.bases.branch": c.front("BaseBranchOperator"),
    "airflow.sdk.bases.notifier": c.NOTIFIER,
    "airflow.sdk.bases.decorator": {
        "task_decorator_factory": c.no("task_decorator_factory", "write a function"),
        "DecoratedOperator": c.no("DecoratedOperator", "subclass BaseOperator"),
    },
    "airflow.sdk.bases.xcom": {"BaseXCom": c.no("BaseXCom", words.XCOM_CLASS)},
    "airflow.sdk.definitions": {},
    "airflow.sdk.definitions.dag": {"DAG": "+dags:Dag3", "dag": "+dags:dag3"},
    "airflow.sdk.definitions.asset": c.ASSETS,
    "airflow.sdk.definitions.asset.metadata": c.ASSETS,
    "airflow.sdk.definitions.connection": c.front("Connection"),
    "airflow.sdk.definitions.variable": c.front("Variable"),
    "airflow.sdk.definitions.context": c.CONTEXT,
    "airflow.sdk.definitions.decorators": c.TASKS,
    "airflow.sdk.definitions.edges": c.EDGE,
    "airflow.sdk.definitions.param": c.PARAM,
    "airflow.sdk.definitions.taskgroup": c.front("TaskGroup"),
    "airflow.sdk.definitions.template": c.front("literal"),
    "airflow.sdk.definitions.xcom_arg": c.front("XComArg"),
    "airflow.sdk.definitions.timetables": {},
    "airflow.sdk.exceptions": c.EXCEPTIONS,
    "airflow.sdk.types": {**c.TI, **c.DAG_RUN},
    "airflow.sdk.log": c.LOG,
    "airflow.sdk.timezone": {},  # filled below
    "airflow.sdk.configuration": {"conf": "+conf:conf"},
    "airflow.sdk.execution_time": {},
    "airflow.sdk.execution_time.macros": {
        n: f"mlflowkit.authoring.macros:{n}"
        for n in ("ds_add", "ds_format", "ds_format_locale", "datetime_diff_for_humans")
    },
    "airflow.sdk.execution_time.secrets_masker": c.LOG,
    "airflow.sdk.observability": {},
}
