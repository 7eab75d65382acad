"""Names that several of Airflow's own modules have, by kind, and what stands for them here.

A target is `module:name`; `=name` is of the front door, `+file:name` of this folder, and
`@module` another module of Airflow's. A `Missing` may be imported, and is an error when used.
Data alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.missing import Missing

Names = Mapping[str, Any]


def no(feature: str, todo: str) -> Missing:
    """A name that may be imported, and is an error when used."""
    return Missing(feature, todo)


def front(*names: str) -> dict[str, str]:
    """Names that mlflowkit has, too."""
    return {name: f"={name}" for name in names}


SENSOR: Final = front("BaseSensorOperator", "PokeReturnValue")
ARROWS: Final = front("chain", "chain_linear", "cross_downstream")
ASSETS: Final[Names] = {
    "Asset": "+assets:Asset",
    **front("AssetAll", "AssetAny"),
    "BaseAsset": "mlflowkit.authoring.assets:BaseAsset",
    "AssetAlias": no("AssetAlias", words.ALIAS),
    "AssetWatcher": no("AssetWatcher", words.EVENT_DRIVEN),
    "Metadata": no("Metadata", words.METADATA),
}
OPERATOR: Final[Names] = {
    **front("BaseOperator", "XComArg"),
    **ARROWS,
    "BaseOperatorLink": "+stands:BaseOperatorLink",
}
TASKS: Final[Names] = {
    "task": "+tasks:task",
    **front("task_group", "setup", "teardown"),
}
STATES: Final = {
    name: f"+stands:{name}" for name in ("State", "DagRunState", "TaskInstanceState")
}
RULES: Final = {
    "TriggerRule": "+stands:TriggerRule",
    "WeightRule": "+stands:WeightRule",
}
CONTEXT: Final = {
    "Context": "+stands:Context",
    "get_current_context": "=get_current_context",
}
DAG_RUN: Final[Names] = {
    "DagRun": no("DagRun", words.DATABASE),
    "DagRunState": "+stands:DagRunState",
    "DagRunType": "+stands:DagRunType",
}
TI: Final[Names] = {
    "TaskInstance": "mlflowkit.worker.context:TaskInstance",
    "RuntimeTaskInstanceProtocol": "mlflowkit.worker.context:TaskInstance",
    **CONTEXT,
}
ERRORS: Final = {
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
EXCEPTIONS: Final[Names] = {
    **{name: f"mlflowkit.errors:{ours}" for name, ours in ERRORS.items()},
    "AirflowTaskTimeout": "+stands:TaskTimeout",
    "TaskDeferred": no("TaskDeferred", words.DEFERRABLE),
    "RemovedInAirflow3Warning": "builtins:DeprecationWarning",
    "RemovedInAirflow4Warning": "builtins:DeprecationWarning",
    "AirflowProviderDeprecationWarning": "builtins:DeprecationWarning",
}
PARAM: Final = {"Param": "=Param", "ParamsDict": "builtins:dict", "DagParam": "=Param"}
EDGE: Final = {"Label": "=Label", "EdgeModifier": "=Label"}
LOG: Final = {
    "LoggingMixin": "+stands:LoggingMixin",
    "mask_secret": "=mask_secret",
    "redact": "+stands:redact",
}
NOTIFIER: Final[Names] = {"BaseNotifier": no("BaseNotifier", words.NOTIFIER)}
