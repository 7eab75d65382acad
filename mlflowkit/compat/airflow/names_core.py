"""Airflow's own modules, without the SDK, `utils` and providers. Data alone; targets as in
`core_families`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflowkit.compat.airflow import core_families as c
from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.core_families import Names

_MODEL_DAG: Final[Names] = {
    "DAG": "+dags:Dag2",
    "dag": "+dags:dag2",
    "DagModel": c.no("DagModel", words.DATABASE),
    "DagTag": c.no("DagTag", words.DATABASE),
}
_MODELS: Final[Names] = {
    "DAG": "+dags:Dag2",
    **c.front("BaseOperator", "Variable", "Connection", "Param", "XComArg"),
    "MappedOperator": c.no("MappedOperator", words.UNKNOWN),
    "TaskInstance": "mlflowkit.worker.context:TaskInstance",
    **c.DAG_RUN,
    "ParamsDict": "builtins:dict",
    "BaseOperatorLink": "+stands:BaseOperatorLink",
    "DagBag": c.no("DagBag", words.DAG_BAG),
    "DagModel": c.no("DagModel", words.DATABASE),
    "Pool": c.no("Pool", "use `mlflowkit pools`"),
    "XCom": c.no("XCom", words.XCOM_CLASS),
    "Log": c.no("Log", words.DATABASE),
    "SkipMixin": c.no("SkipMixin", "subclass BaseBranchOperator"),
    "ID_LEN": "+stands:ID_LEN",
}
#: Modules under `airflow`, without the providers.
CORE: Final[Mapping[str, Names]] = {
    "airflow": {
        "DAG": "+dags:Dag2",
        "Dataset": "+assets:Dataset",
        "Asset": "+assets:Asset",
        "AirflowException": "mlflowkit.errors:MlflowkitError",
        "XComArg": "=XComArg",
        "version": "@airflow.version",
        "__version__": "+stands:VERSION",
    },
    "airflow.decorators": {"dag": "+dags:dag2", **c.TASKS},
    "airflow.decorators.base": {
        "TaskDecorator": "mlflowkit.authoring.task:TaskDecorator",
        "get_unique_task_id": c.no("get_unique_task_id", words.UNKNOWN),
    },
    "airflow.decorators.task_group": c.front("task_group"),
    "airflow.models": _MODELS,
    "airflow.models.dag": _MODEL_DAG,
    "airflow.models.baseoperator": c.OPERATOR,
    "airflow.models.baseoperatorlink": {"BaseOperatorLink": "+stands:BaseOperatorLink"},
    "airflow.models.base": {"ID_LEN": "+stands:ID_LEN"},
    "airflow.models.connection": c.front("Connection"),
    "airflow.models.crypto": {"get_fernet": c.no("get_fernet", words.DATABASE)},
    "airflow.models.dagbag": {"DagBag": c.no("DagBag", words.DAG_BAG)},
    "airflow.models.dagrun": c.DAG_RUN,
    "airflow.models.dataset": {},
    "airflow.models.expandinput": {},
    "airflow.models.mappedoperator": {
        "MappedOperator": c.no("MappedOperator", words.UNKNOWN)
    },
    "airflow.models.param": c.PARAM,
    "airflow.models.pool": {"Pool": c.no("Pool", "use `mlflowkit pools`")},
    "airflow.models.skipmixin": {
        "SkipMixin": c.no("SkipMixin", "subclass BaseBranchOperator")
    },
    "airflow.models.taskinstance": {
        **c.TI,
        "clear_task_instances": c.no("it", words.DATABASE),
    },
    "airflow.models.taskinstancekey": {},
    "airflow.models.taskmixin": {},
    "airflow.models.variable": c.front("Variable"),
    "airflow.models.xcom": {
        "XCom": c.no("XCom", words.XCOM_CLASS),
        "BaseXCom": c.no("BaseXCom", words.XCOM_CLASS),
        "XCOM_RETURN_KEY": "+stands:XCOM_RETURN_KEY",
    },
    "airflow.models.xcom_arg": c.front("XComArg"),
    "airflow.exceptions": c.EXCEPTIONS,
    "airflow.configuration": {
        **{n: f"+conf:{n}" for n in ("conf", "get", "getboolean", "getint", "getfloat")},
        "AIRFLOW_HOME": "+conf:AIRFLOW_HOME",
    },
    "airflow.settings": {
        "AIRFLOW_HOME": "+conf:AIRFLOW_HOME",
        "DAGS_FOLDER": "+conf:DAGS_FOLDER",
        "TIMEZONE": "+timezone:utc",
        "Session": c.no("airflow.settings.Session", words.DATABASE),
        "engine": c.no("airflow.settings.engine", words.DATABASE),
        "json": "@json",
        "STORE_SERIALIZED_DAGS": "+stands:TRUE",
    },
    "airflow.version": {"version": "+stands:VERSION"},
    "airflow.macros": {
        n: f"mlflowkit.authoring.macros:{n}"
        for n in ("ds_add", "ds_format", "ds_format_locale", "datetime_diff_for_humans")
    },
    "airflow.datasets": {
        "Dataset": "+assets:Dataset",
        "DatasetAll": "=AssetAll",
        "DatasetAny": "=AssetAny",
        "DatasetAlias": c.no("DatasetAlias", words.ALIAS),
    },
    "airflow.datasets.metadata": {"Metadata": c.no("Metadata", words.METADATA)},
    "airflow.assets": c.ASSETS,
    "airflow.lineage": {},
    "airflow.lineage.entities": {
        name: c.no(name, "lineage is not kept: name assets as inlets and outlets")
        for name in ("File", "Table", "Column", "User")
    },
    "airflow.notifications": {},
    "airflow.notifications.basenotifier": c.NOTIFIER,
    "airflow.plugins_manager": {"AirflowPlugin": c.no("AirflowPlugin", words.PLUGINS)},
    "airflow.listeners": {"hookimpl": c.no("airflow.listeners", words.LISTENER)},
    "airflow.stats": {"Stats": c.no("Stats", words.STATS)},
    "airflow.security": {},
    "airflow.security.permissions": {
        name: "+stands:TEXT"
        for name in ("ACTION_CAN_READ", "ACTION_CAN_EDIT", "ACTION_CAN_DELETE")
    },
    "airflow.api": {},
    "airflow.api.common": {},
    "airflow.api.common.trigger_dag": {
        "trigger_dag": c.no("trigger_dag()", "use TriggerDagRunOperator")
    },
    "airflow.io": {},
    "airflow.io.path": {
        "ObjectStoragePath": c.no("ObjectStoragePath", words.OBJECT_STORAGE)
    },
    "airflow.template": {},
    "airflow.template.templater": c.front("literal"),
    "airflow.typing_compat": {
        n: f"typing:{n}" for n in ("Literal", "TypedDict", "Protocol", "Self", "ParamSpec")
    },
    "airflow.triggers": {},
    "airflow.triggers.base": {
        n: c.no(n, words.DEFERRABLE) for n in ("BaseTrigger", "TriggerEvent")
    },
    "airflow.triggers.temporal": {
        n: c.no(n, words.DEFERRABLE) for n in ("DateTimeTrigger", "TimeDeltaTrigger")
    },
    "airflow.serialization": {},
    "airflow.callbacks": {},
    "airflow.task": {},
    "airflow.task.trigger_rule": c.RULES,
    "airflow.task.weight_rule": c.RULES,
    "airflow.ti_deps": {},
    "airflow.timetables": {},
    "airflow.timetables.base": {
        n: f"mlflowkit.timetables:{n}"
        for n in ("DagRunInfo", "DataInterval", "TimeRestriction", "Timetable")
    },
    "airflow.timetables.interval": {
        n: f"mlflowkit.timetables:{n}"
        for n in ("CronDataIntervalTimetable", "DeltaDataIntervalTimetable")
    },
    "airflow.timetables.trigger": {
        n: f"mlflowkit.timetables:{n}"
        for n in (
            "CronTriggerTimetable",
            "DeltaTriggerTimetable",
            "MultipleCronTriggerTimetable",
        )
    },
    "airflow.timetables.events": {
        "EventsTimetable": "mlflowkit.timetables:EventsTimetable"
    },
    "airflow.timetables.simple": {
        "NullTimetable": "mlflowkit.timetables:NullTimetable",
        "OnceTimetable": "mlflowkit.timetables:OnceTimetable",
        "ContinuousTimetable": "mlflowkit.timetables:ContinuousTimetable",
    },
    "airflow.timetables.assets": {
        "AssetOrTimeSchedule": "mlflowkit.timetables:AssetOrTimeSchedule"
    },
    "airflow.timetables.datasets": {
        "DatasetOrTimeSchedule": "+assets:DatasetOrTimeSchedule"
    },
    "airflow.secrets": {"BaseSecretsBackend": "=BaseSecretsBackend"},
    "airflow.secrets.base_secrets": {"BaseSecretsBackend": "=BaseSecretsBackend"},
}
