"""`airflow.utils.*`, as DAG files use it. Data alone; targets as in `core_families`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.core_families import Names
from mlflowkit.compat.airflow.missing import Missing

_TIMEZONE: Final = {
    name: f"+timezone:{name}"
    for name in (
        *("utc", "utcnow", "utc_epoch", "datetime", "parse", "make_aware", "make_naive"),
        *("is_localized", "is_naive", "convert_to_utc", "coerce_datetime"),
        *("parse_timezone", "local_timezone", "from_timestamp", "initialize"),
    )
}
_ARROWS: Final = {n: f"={n}" for n in ("chain", "chain_linear", "cross_downstream")}
_SESSION: Final = {
    name: Missing(name, words.DATABASE)
    for name in ("provide_session", "create_session", "NEW_SESSION")
}
_RULES: Final = {"TriggerRule": "+stands:TriggerRule"}
_RETURN_KEY: Final = {"XCOM_RETURN_KEY": "+stands:XCOM_RETURN_KEY"}

UTILS: Final[Mapping[str, Names]] = {
    "airflow.utils": {},
    "airflow.sdk.timezone": _TIMEZONE,
    "airflow.utils.timezone": _TIMEZONE,
    "airflow.utils.dates": {
        **{n: f"+timezone:{n}" for n in ("days_ago", "parse_execution_date")},
        "timedelta": "datetime:timedelta",
        "datetime": "datetime:datetime",
        "cron_presets": "+timezone:CRON_PRESETS",
        "date_range": Missing("date_range", "use datetime and a loop"),
        "round_time": Missing("round_time", "use datetime.replace"),
    },
    "airflow.utils.context": {"Context": "+stands:Context"},
    "airflow.utils.db": {**_SESSION, "merge_conn": Missing("merge_conn", words.DATABASE)},
    "airflow.utils.session": _SESSION,
    "airflow.utils.decorators": {"apply_defaults": "+stands:apply_defaults"},
    "airflow.utils.dag_parsing_context": {
        "get_parsing_context": "+stands:get_parsing_context"
    },
    "airflow.utils.edgemodifier": {"Label": "=Label", "EdgeModifier": "=Label"},
    "airflow.utils.email": {
        n: Missing(f"airflow.utils.email.{n}", words.MAIL)
        for n in ("send_email", "send_email_smtp", "send_mime_email", "build_mime_message")
    },
    "airflow.utils.file": {
        n: Missing(n, "use pathlib")
        for n in ("TemporaryDirectory", "mkdirs", "open_maybe_zipped")
    },
    "airflow.utils.helpers": {
        **_ARROWS,
        "merge_dicts": "+stands:merge_dicts",
        "convert_camel_to_snake": "+stands:snake",
        "exactly_one": "+stands:exactly_one",
        "at_most_one": "+stands:at_most_one",
        "prune_dict": "+stands:prune_dict",
        "chunks": "+stands:chunks",
    },
    "airflow.utils.log": {},
    "airflow.utils.log.logging_mixin": {"LoggingMixin": "+stands:LoggingMixin"},
    "airflow.utils.log.secrets_masker": {
        "mask_secret": "=mask_secret",
        "redact": "+stands:redact",
    },
    "airflow.utils.module_loading": {"import_string": "+stands:import_string"},
    "airflow.utils.operator_helpers": {
        "context_to_airflow_vars": Missing("context_to_airflow_vars", words.UNKNOWN)
    },
    "airflow.utils.operator_resources": {
        "Resources": Missing("Resources", "limit tasks by pool= and pool_slots=")
    },
    "airflow.utils.setup_teardown": {
        "SetupTeardownContext": Missing("SetupTeardownContext", words.UNKNOWN)
    },
    "airflow.utils.state": {
        n: f"+stands:{n}" for n in ("State", "DagRunState", "TaskInstanceState")
    },
    "airflow.utils.task_group": {"TaskGroup": "=TaskGroup"},
    "airflow.utils.trigger_rule": _RULES,
    "airflow.utils.types": {
        n: f"+stands:{n}"
        for n in ("DagRunType", "DagRunTriggeredByType", "NOTSET", "ArgNotSet")
    },
    "airflow.utils.weekday": {"WeekDay": "mlflowkit.operators:WeekDay"},
    "airflow.utils.weight_rule": {"WeightRule": "+stands:WeightRule"},
    "airflow.utils.xcom": _RETURN_KEY,
    "airflow.utils.yaml": {
        n: f"yaml:{n}" for n in ("safe_load", "safe_dump", "dump", "load")
    },
    "airflow.utils.json": {},
    "airflow.utils.net": {"get_hostname": "socket:getfqdn"},
    "airflow.utils.platform": {"getuser": "getpass:getuser"},
    "airflow.utils.strings": {"to_boolean": "+stands:to_boolean"},
    "airflow.utils.cli": {},
}
