"""Airflow's own modules: which names each has, and what stands for them here. Data alone.

A target is `module:name`; `=name` is of the front door, `+file:name` of this folder, and
`@module` another module of Airflow's. A `Missing` may be imported, and is an error when used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.missing import Missing

Names = Mapping[str, Any]


def _no(feature: str, todo: str) -> Missing:
    return Missing(feature, todo)


def _front(*names: str) -> dict[str, str]:
    return {name: f"={name}" for name in names}


_SENSOR: Final = _front("BaseSensorOperator", "PokeReturnValue")
_ARROWS: Final = _front("chain", "chain_linear", "cross_downstream")
_ASSETS: Final[Names] = {
    "Asset": "+assets:Asset",
    **_front("AssetAll", "AssetAny"),
    "BaseAsset": "mlflowkit.authoring.assets:BaseAsset",
    "AssetAlias": _no("AssetAlias", words.ALIAS),
    "AssetWatcher": _no("AssetWatcher", words.EVENT_DRIVEN),
    "Metadata": _no("Metadata", words.METADATA),
}
_OPERATOR: Final[Names] = {
    **_front("BaseOperator", "XComArg"),
    **_ARROWS,
    "BaseOperatorLink": "+stands:BaseOperatorLink",
}
_TASKS: Final[Names] = {
    "task": "+tasks:task",
    **_front("task_group", "setup", "teardown"),
}
_STATES: Final = {
    name: f"+stands:{name}" for name in ("State", "DagRunState", "TaskInstanceState")
}
_RULES: Final = {
    "TriggerRule": "+stands:TriggerRule",
    "WeightRule": "+stands:WeightRule",
}
_CONTEXT: Final = {
    "Context": "+stands:Context",
    "get_current_context": "=get_current_context",
}
_DAG_RUN: Final[Names] = {
    "DagRun": _no("DagRun", words.DATABASE),
    "DagRunState": "+stands:DagRunState",
    "DagRunType": "+stands:DagRunType",
}
_TI: Final[Names] = {
    "TaskInstance": "mlflowkit.worker.context:TaskInstance",
    "RuntimeTaskInstanceProtocol": "mlflowkit.worker.context:TaskInstance",
    **_CONTEXT,
}
_ERRORS: Final = {
    "AirflowException": "MlflowkitError",
    "AirflowSkipException": "TaskSkipped",
    "AirflowFailException": "TaskFailedForGood",
    "AirflowSensorTimeout": "SensorTimeout",
    "AirflowTaskTimeout": "TimeLimitReached",
    "AirflowRescheduleException": "TaskRescheduled",
    "AirflowNotFoundException": "ConnectionMissing",
    "AirflowBadRequest": "MlflowkitError",
    "AirflowConfigException": "NoAirflowConf",
    "AirflowOptionalProviderFeatureException": "MissingExtra",
    "AirflowDagCycleException": "CycleFound",
    "DuplicateTaskIdFound": "DuplicateTaskId",
    "DagNotFound": "DagToTriggerMissing",
    "DagRunAlreadyExists": "DagRunAlreadyExists",
    "DagRunNotFound": "RunNotFound",
    "ParamValidationError": "ParameterError",
    "TaskNotFound": "TaskNotInRun",
    "XComNotFound": "UnknownXCom",
}
_EXCEPTIONS: Final[Names] = {
    **{name: f"mlflowkit.errors:{ours}" for name, ours in _ERRORS.items()},
    "AirflowTaskTimeout": "+stands:TaskTimeout",
    "TaskDeferred": _no("TaskDeferred", words.DEFERRABLE),
    "RemovedInAirflow3Warning": "builtins:DeprecationWarning",
    "RemovedInAirflow4Warning": "builtins:DeprecationWarning",
    "AirflowProviderDeprecationWarning": "builtins:DeprecationWarning",
}
_PARAM: Final = {"Param": "=Param", "ParamsDict": "builtins:dict", "DagParam": "=Param"}
_EDGE: Final = {"Label": "=Label", "EdgeModifier": "=Label"}
_LOG: Final = {
    "LoggingMixin": "+stands:LoggingMixin",
    "mask_secret": "=mask_secret",
    "redact": "+stands:redact",
}
_NOTIFIER: Final[Names] = {"BaseNotifier": _no("BaseNotifier", words.NOTIFIER)}

SDK: Final[Names] = {
    "DAG": "+dags:Dag3",
    "dag": "+dags:dag3",
    **_TASKS,
    **_front("TaskGroup", "Variable", "Connection", "BaseHook", "literal"),
    "BaseBranchOperator": "=BaseBranchOperator",
    **_OPERATOR,
    **_SENSOR,
    **_ASSETS,
    **_PARAM,
    **_EDGE,
    **_CONTEXT,
    **_RULES,
    **_STATES,
    **_NOTIFIER,
    **_LOG,
    "get_parsing_context": "+stands:get_parsing_context",
    "asset": _no("@asset", words.ALIAS.replace("name the", "write a DAG with @task; name the")),
    "ObjectStoragePath": _no("ObjectStoragePath", words.OBJECT_STORAGE),
    "BaseXCom": _no("BaseXCom", words.XCOM_CLASS),
    "XCom": _no("XCom", words.XCOM_CLASS),
    "DeadlineAlert": _no("DeadlineAlert", "use dagrun_timeout and on_failure_callback"),
    "DeadlineReference": _no("DeadlineReference", "use dagrun_timeout"),
    "AsyncCallback": _no("AsyncCallback", words.NOTIFIER),
    "SyncCallback": _no("SyncCallback", words.NOTIFIER),
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
_MODEL_DAG: Final[Names] = {
    "DAG": "+dags:Dag2",
    "dag": "+dags:dag2",
    "DagModel": _no("DagModel", words.DATABASE),
    "DagTag": _no("DagTag", words.DATABASE),
}
_MODELS: Final[Names] = {
    "DAG": "+dags:Dag2",
    **_front("BaseOperator", "Variable", "Connection", "Param", "XComArg"),
    "MappedOperator": _no("MappedOperator", words.UNKNOWN),
    "TaskInstance": "mlflowkit.worker.context:TaskInstance",
    **_DAG_RUN,
    "ParamsDict": "builtins:dict",
    "BaseOperatorLink": "+stands:BaseOperatorLink",
    "DagBag": _no("DagBag", words.DAG_BAG),
    "DagModel": _no("DagModel", words.DATABASE),
    "Pool": _no("Pool", "use `mlflowkit pools`"),
    "XCom": _no("XCom", words.XCOM_CLASS),
    "Log": _no("Log", words.DATABASE),
    "SkipMixin": _no("SkipMixin", "subclass BaseBranchOperator"),
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
    "airflow.sdk": SDK,
    "airflow.sdk.bases": {},
    "airflow.sdk.bases.operator": _OPERATOR,
    "airflow.sdk.bases.operatorlink": {"BaseOperatorLink": "+stands:BaseOperatorLink"},
    "airflow.sdk.bases.sensor": _SENSOR,
    "airflow.sdk.bases.hook": _front("BaseHook"),
    "airflow.sdk.bases.branch": _front("BaseBranchOperator"),
    "airflow.sdk.bases.notifier": _NOTIFIER,
    "airflow.sdk.bases.decorator": {
        "task_decorator_factory": _no("task_decorator_factory", "write a function"),
        "DecoratedOperator": _no("DecoratedOperator", "subclass BaseOperator"),
    },
    "airflow.sdk.bases.xcom": {"BaseXCom": _no("BaseXCom", words.XCOM_CLASS)},
    "airflow.sdk.definitions": {},
    "airflow.sdk.definitions.dag": {"DAG": "+dags:Dag3", "dag": "+dags:dag3"},
    "airflow.sdk.definitions.asset": _ASSETS,
    "airflow.sdk.definitions.asset.metadata": _ASSETS,
    "airflow.sdk.definitions.connection": _front("Connection"),
    "airflow.sdk.definitions.variable": _front("Variable"),
    "airflow.sdk.definitions.context": _CONTEXT,
    "airflow.sdk.definitions.decorators": _TASKS,
    "airflow.sdk.definitions.edges": _EDGE,
    "airflow.sdk.definitions.param": _PARAM,
    "airflow.sdk.definitions.taskgroup": _front("TaskGroup"),
    "airflow.sdk.definitions.template": _front("literal"),
    "airflow.sdk.definitions.xcom_arg": _front("XComArg"),
    "airflow.sdk.definitions.timetables": {},
    "airflow.sdk.exceptions": _EXCEPTIONS,
    "airflow.sdk.types": {**_TI, **_DAG_RUN},
    "airflow.sdk.log": _LOG,
    "airflow.sdk.timezone": {},  # filled below
    "airflow.sdk.configuration": {"conf": "+conf:conf"},
    "airflow.sdk.execution_time": {},
    "airflow.sdk.execution_time.macros": {
        n: f"mlflowkit.authoring.macros:{n}"
        for n in ("ds_add", "ds_format", "ds_format_locale", "datetime_diff_for_humans")
    },
    "airflow.sdk.execution_time.secrets_masker": _LOG,
    "airflow.sdk.observability": {},
    "airflow.decorators": {"dag": "+dags:dag2", **_TASKS},
    "airflow.decorators.base": {
        "TaskDecorator": "mlflowkit.authoring.task:TaskDecorator",
        "get_unique_task_id": _no("get_unique_task_id", words.UNKNOWN),
    },
    "airflow.decorators.task_group": _front("task_group"),
    "airflow.models": _MODELS,
    "airflow.models.dag": _MODEL_DAG,
    "airflow.models.baseoperator": _OPERATOR,
    "airflow.models.baseoperatorlink": {"BaseOperatorLink": "+stands:BaseOperatorLink"},
    "airflow.models.base": {"ID_LEN": "+stands:ID_LEN"},
    "airflow.models.connection": _front("Connection"),
    "airflow.models.crypto": {"get_fernet": _no("get_fernet", words.DATABASE)},
    "airflow.models.dagbag": {"DagBag": _no("DagBag", words.DAG_BAG)},
    "airflow.models.dagrun": _DAG_RUN,
    "airflow.models.dataset": {},
    "airflow.models.expandinput": {},
    "airflow.models.mappedoperator": {
        "MappedOperator": _no("MappedOperator", words.UNKNOWN)
    },
    "airflow.models.param": _PARAM,
    "airflow.models.pool": {"Pool": _no("Pool", "use `mlflowkit pools`")},
    "airflow.models.skipmixin": {
        "SkipMixin": _no("SkipMixin", "subclass BaseBranchOperator")
    },
    "airflow.models.taskinstance": {**_TI, "clear_task_instances": _no("it", words.DATABASE)},
    "airflow.models.taskinstancekey": {},
    "airflow.models.taskmixin": {},
    "airflow.models.variable": _front("Variable"),
    "airflow.models.xcom": {
        "XCom": _no("XCom", words.XCOM_CLASS),
        "BaseXCom": _no("BaseXCom", words.XCOM_CLASS),
        "XCOM_RETURN_KEY": "+stands:XCOM_RETURN_KEY",
    },
    "airflow.models.xcom_arg": _front("XComArg"),
    "airflow.exceptions": _EXCEPTIONS,
    "airflow.configuration": {
        **{n: f"+conf:{n}" for n in ("conf", "get", "getboolean", "getint", "getfloat")},
        "AIRFLOW_HOME": "+conf:AIRFLOW_HOME",
    },
    "airflow.settings": {
        "AIRFLOW_HOME": "+conf:AIRFLOW_HOME",
        "DAGS_FOLDER": "+conf:DAGS_FOLDER",
        "TIMEZONE": "+timezone:utc",
        "Session": _no("airflow.settings.Session", words.DATABASE),
        "engine": _no("airflow.settings.engine", words.DATABASE),
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
        "DatasetAlias": _no("DatasetAlias", words.ALIAS),
    },
    "airflow.datasets.metadata": {"Metadata": _no("Metadata", words.METADATA)},
    "airflow.assets": _ASSETS,
    "airflow.lineage": {},
    "airflow.lineage.entities": {
        name: _no(name, "lineage is not kept: name assets as inlets and outlets")
        for name in ("File", "Table", "Column", "User")
    },
    "airflow.notifications": {},
    "airflow.notifications.basenotifier": _NOTIFIER,
    "airflow.plugins_manager": {"AirflowPlugin": _no("AirflowPlugin", words.PLUGINS)},
    "airflow.listeners": {"hookimpl": _no("airflow.listeners", words.LISTENER)},
    "airflow.stats": {"Stats": _no("Stats", words.STATS)},
    "airflow.security": {},
    "airflow.security.permissions": {
        name: "+stands:TEXT"
        for name in ("ACTION_CAN_READ", "ACTION_CAN_EDIT", "ACTION_CAN_DELETE")
    },
    "airflow.api": {},
    "airflow.api.common": {},
    "airflow.api.common.trigger_dag": {
        "trigger_dag": _no("trigger_dag()", "use TriggerDagRunOperator")
    },
    "airflow.io": {},
    "airflow.io.path": {
        "ObjectStoragePath": _no("ObjectStoragePath", words.OBJECT_STORAGE)
    },
    "airflow.template": {},
    "airflow.template.templater": _front("literal"),
    "airflow.typing_compat": {
        n: f"typing:{n}" for n in ("Literal", "TypedDict", "Protocol", "Self", "ParamSpec")
    },
    "airflow.triggers": {},
    "airflow.triggers.base": {
        n: _no(n, words.DEFERRABLE) for n in ("BaseTrigger", "TriggerEvent")
    },
    "airflow.triggers.temporal": {
        n: _no(n, words.DEFERRABLE) for n in ("DateTimeTrigger", "TimeDeltaTrigger")
    },
    "airflow.serialization": {},
    "airflow.callbacks": {},
    "airflow.task": {},
    "airflow.task.trigger_rule": _RULES,
    "airflow.task.weight_rule": _RULES,
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
    "airflow.timetables.events": {"EventsTimetable": "mlflowkit.timetables:EventsTimetable"},
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
