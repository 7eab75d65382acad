"""The options that every task has, by Airflow's names: which there are, and what fits.

Only checks and keeps; what an option does is the engine's. Options that Airflow has and
that mean nothing here are either taken silently or refused by name, never half obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, cast

from mlflowkit.authoring.option_values import (
    Callback,
    assets_of,
    backoff_of,
    cache_of,
    callbacks_of,
    hooks_of,
    number,
    pool_of,
    seconds,
    trigger_rule_of,
    weight_rule_of,
    whole,
)
from mlflowkit.core.spec import RetryPolicy
from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import OptionNotHere

#: The kinds of callbacks, in the order of a task's life.
CALLBACK_KINDS: Final = ("execute", "success", "failure", "retry", "skipped")


class TaskOptions(TypedDict, total=False):
    """What every task can be given, beside its `task_id`, `dag`, `task_group` and `default_args`."""

    retries: int
    retry_delay: timedelta | float
    retry_exponential_backoff: bool | float
    max_retry_delay: timedelta | float | None
    execution_timeout: timedelta | float | None
    isolate: bool
    doc: str | None
    doc_md: str | None
    owner: str
    trigger_rule: TriggerRule | str
    depends_on_past: bool
    wait_for_downstream: bool
    priority_weight: int
    weight_rule: str
    pool: str | None
    pool_slots: int
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    on_execute_callback: Callback | Iterable[Callback] | None
    on_success_callback: Callback | Iterable[Callback] | None
    on_failure_callback: Callback | Iterable[Callback] | None
    on_retry_callback: Callback | Iterable[Callback] | None
    on_skipped_callback: Callback | Iterable[Callback] | None
    pre_execute: Callback | None
    post_execute: Callable[[Any, Any], object] | None
    outlets: object
    inlets: object
    cache: bool | timedelta | None
    map_index_template: str | None
    params: Mapping[str, object] | None
    do_xcom_push: bool
    idempotent: bool
    doc_json: object
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    start_date: datetime | None
    end_date: datetime | None
    email: object
    email_on_failure: bool
    email_on_retry: bool
    queue: str | None
    sla: timedelta | None
    run_as_user: str | None
    executor: str | None
    executor_config: Mapping[str, object] | None
    resources: Mapping[str, object] | None
    task_concurrency: int | None
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    allow_nested_operators: bool
    provide_context: bool


OPTION_NAMES: Final = frozenset(TaskOptions.__annotations__)
#: Taken from Airflow's files, without a meaning of their own: free as names of parameters.
_FOREIGN: Final = frozenset(
    {
        "start_date",
        "end_date",
        "email",
        "email_on_failure",
        "email_on_retry",
        "queue",
        "sla",
    }
    | {"run_as_user", "executor", "executor_config", "resources", "task_concurrency"}
    | {"ignore_first_depends_on_past", "wait_for_past_depends_before_skipping"}
    | {"allow_nested_operators", "provide_context"}
)
#: Options of every task: reserved names in `notebook(...)` and `dag.run(...)`.
TASK_OPTIONS: Final = frozenset(
    (OPTION_NAMES - _FOREIGN) | {"task_id", "dag", "task_group", "default_args"}
)
_NO_MAIL = (
    "mlflowkit sends no mail: use on_failure_callback, and set email_on_failure and "
    "email_on_retry to False"
)
#: Options that would promise something: what to say, and the value that promises nothing.
_NOT_HERE: Final[Mapping[str, tuple[str, object]]] = {
    "email_on_failure": (_NO_MAIL, False),
    "email_on_retry": (_NO_MAIL, False),
    "queue": ("tasks are not sent to queues: take it out, or use pool=", "default"),
    "sla": ("Airflow 3 took it out: use execution_timeout or dagrun_timeout", None),
    "run_as_user": ("tasks run as the user of the engine", None),
    "executor": ("a task has no executor of its own: take it out", None),
    "executor_config": ("a task has no executor of its own: take it out", None),
    "resources": ("a task reserves nothing: limit tasks by pool= and pool_slots=", None),
    "wait_for_past_depends_before_skipping": ("a skipped task waits for nothing", False),
}
#: Attributes of an operator that are options, rather than arguments of what it does.
OWN_ATTRIBUTES: Final = frozenset(
    {"task_id", "retry", "execution_timeout", "isolate", "doc", "owner", "trigger_rule"}
    | {"depends_on_past", "wait_for_downstream", "priority_weight", "weight_rule", "pool"}
    | {"pool_slots", "max_active_tis_per_dag", "max_active_tis_per_dagrun", "_callbacks"}
    | {"outlets", "inlets", "result_cache", "map_index_template", "do_xcom_push"}
    | {"idempotent", "_hooks"}
    | {"task_display_name", "is_setup", "is_teardown", "on_failure_fail_dagrun"}
)


def checked_options(where: str, given: TaskOptions) -> dict[str, Any]:
    """The attributes of an operator with these options.

    Raises:
        BadOption: a value does not fit.
        OptionNotHere: it is one of Airflow's that promises something we do not do.
    """
    _refuse_foreign(where, given)
    behind = bool(given.get("wait_for_downstream"))
    old_limit = given.get("task_concurrency")
    return {
        "retry": _retry(where, given),
        "execution_timeout": seconds(
            "execution_timeout", given.get("execution_timeout"), where
        ),
        "isolate": bool(given.get("isolate")),
        "doc": _doc(given),
        "owner": str(given.get("owner") or ""),
        "trigger_rule": trigger_rule_of(where, given.get("trigger_rule")),
        "depends_on_past": bool(given.get("depends_on_past")) or behind,
        "wait_for_downstream": behind,
        "priority_weight": number(where, "priority_weight", given, 1, least=None),
        "weight_rule": weight_rule_of(where, given.get("weight_rule")),
        "pool": pool_of(where, given.get("pool")),
        "pool_slots": number(where, "pool_slots", given, 1, least=1),
        "max_active_tis_per_dag": _limit(where, "max_active_tis_per_dag", given, old_limit),
        "max_active_tis_per_dagrun": _limit(where, "max_active_tis_per_dagrun", given),
        "_callbacks": callbacks_of(where, _plain(given), CALLBACK_KINDS),
        "_hooks": hooks_of(where, _plain(given)),
        "outlets": assets_of(where, "outlets", given.get("outlets")),
        "inlets": assets_of(where, "inlets", given.get("inlets")),
        "result_cache": cache_of(where, given.get("cache")),
        "map_index_template": str(given.get("map_index_template") or ""),
        "do_xcom_push": bool(given.get("do_xcom_push", True)),
        "idempotent": bool(given.get("idempotent", True)),
        "task_display_name": str(given.get("task_display_name") or ""),
    }


#: Asked about an option before it is refused: (where, name, value). True passes over it.
passes_over: list[Callable[[str, str, object], bool]] = []


def _refuse_foreign(where: str, given: TaskOptions) -> None:
    for name, (why, harmless) in _NOT_HERE.items():
        value: object = given.get(name)
        if value and value != harmless and not _passed_over(where, name, value):
            raise OptionNotHere(where, name, value, why)
    mails = [n for n in ("email_on_failure", "email_on_retry") if given.get(n) is not False]
    email: object = given.get("email")
    if email and mails and not _passed_over(where, "email", email):
        raise OptionNotHere(where, "email", email, _NO_MAIL)


def _passed_over(where: str, name: str, value: object) -> bool:
    return any(asked(where, name, value) for asked in passes_over)


def _retry(where: str, given: TaskOptions) -> RetryPolicy:
    delay = seconds("retry_delay", given.get("retry_delay", 300.0), where)
    return RetryPolicy(
        retries=whole("retries", given.get("retries", 0), where),
        retry_delay=delay or timedelta(),
        exponential_backoff=backoff_of(
            given.get("retry_exponential_backoff", False), where
        ),
        max_retry_delay=seconds("max_retry_delay", given.get("max_retry_delay"), where),
    )


def _limit(where: str, name: str, given: TaskOptions, old: object = None) -> int | None:
    if given.get(name) is None and old is None:
        return None
    return number(where, name, given, cast("int", old), least=1)


def _doc(given: TaskOptions) -> str:
    for name in ("doc", "doc_md", "doc_rst", "doc_yaml"):
        text: object = given.get(name)
        if text:
            return str(text)
    as_json = given.get("doc_json")
    if as_json and not isinstance(as_json, str):
        return json.dumps(as_json, indent=2, default=str)
    return str(as_json or "")


def _plain(given: TaskOptions) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", given)
