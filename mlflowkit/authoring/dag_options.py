"""The options of a DAG, by Airflow's names: which there are, and what fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, TypedDict, cast

from mlflowkit.authoring.option_values import Callback, callbacks_of, seconds
from mlflowkit.errors import BadOption, OptionNotHere

#: Which ends of a run can call code.
RUN_CALLBACKS: Final = ("success", "failure")


class DagOptions(TypedDict, total=False):
    """What a DAG can be given, beside its name, schedule, dates, parameters and defaults."""

    #: Runs, and task instances of a run, that may be under way at once.
    max_active_runs: int | None
    max_active_tasks: int | None
    concurrency: int | None
    dagrun_timeout: timedelta | float | None
    on_success_callback: Callback | Iterable[Callback] | None
    on_failure_callback: Callback | Iterable[Callback] | None
    owner: str
    owner_links: Mapping[str, str] | None
    #: Of cron expressions and of dates without a zone.
    timezone: str | tzinfo | None
    template_searchpath: str | Path | Iterable[str | Path] | None
    template_undefined: Any
    user_defined_macros: Mapping[str, Any] | None
    user_defined_filters: Mapping[str, Callable[..., Any]] | None
    render_template_as_native_obj: bool
    jinja_environment_kwargs: Mapping[str, Any] | None
    is_paused_upon_creation: bool | None
    fail_fast: bool
    fail_stop: bool
    dag_display_name: str | None
    default_view: str
    orientation: str
    access_control: object
    full_filepath: str
    sla_miss_callback: object
    max_consecutive_failed_dag_runs: int
    deadline: object


#: Options that would promise something: what to say.
_NOT_HERE: Final[Mapping[str, str]] = {
    "sla_miss_callback": "Airflow 3 took it out: use dagrun_timeout and on_failure_callback",
    "max_consecutive_failed_dag_runs": "a DAG is not paused for its failures",
    "deadline": "use dagrun_timeout and on_failure_callback",
}
OPTION_NAMES: Final = frozenset(DagOptions.__annotations__)
DAG_OPTIONS: Final = OPTION_NAMES | {
    "dag_id",
    "description",
    "schedule",
    "schedule_interval",
    "timetable",
    "start_date",
    "end_date",
    "catchup",
    "default_args",
    "params",
    "tags",
    "doc_md",
}


def checked_dag_options(where: str, given: DagOptions) -> dict[str, Any]:
    """The attributes of a DAG with these options.

    Raises:
        BadOption: a value does not fit.
        OptionNotHere: it is one of Airflow's that promises something we do not do.
    """
    for name, why in _NOT_HERE.items():
        if given.get(name):
            raise OptionNotHere(where, name, given.get(name), why)
    active = "concurrency" if "concurrency" in given else "max_active_tasks"
    search = given.get("template_searchpath") or ()
    return {
        "max_active_runs": _limit(where, "max_active_runs", given),
        "max_active_tasks": _limit(where, active, given),
        "dagrun_timeout": seconds("dagrun_timeout", given.get("dagrun_timeout"), where),
        "callbacks": callbacks_of(where, cast("Mapping[str, Any]", given), RUN_CALLBACKS),
        "owner": str(given.get("owner") or ""),
        "owner_links": dict(given.get("owner_links") or {}),
        "timezone": given.get("timezone"),
        "template_searchpath": [search] if isinstance(search, str | Path) else list(search),
        "template_undefined": given.get("template_undefined"),
        "user_defined_macros": dict(given.get("user_defined_macros") or {}),
        "user_defined_filters": dict(given.get("user_defined_filters") or {}),
        "render_template_as_native_obj": bool(given.get("render_template_as_native_obj")),
        "jinja_environment_kwargs": dict(given.get("jinja_environment_kwargs") or {}),
        "is_paused_upon_creation": given.get("is_paused_upon_creation"),
        "fail_fast": bool(given.get("fail_fast") or given.get("fail_stop")),
        "dag_display_name": str(given.get("dag_display_name") or ""),
    }


def _limit(where: str, name: str, given: DagOptions) -> int | None:
    value: object = given.get(name)
    if value is None or (
        isinstance(value, int) and not isinstance(value, bool) and value > 0
    ):
        return value
    if value == 0:
        return None  # Airflow's word for "no limit"
    raise BadOption(where, name, f"must be a whole number from 1 on, not {value!r}")


def only_schedule(where: str, schedule: object, old: Mapping[str, object]) -> object:
    """The schedule, by whichever of its names it was given.

    Raises:
        BadOption: by several of them.
    """
    given = {"schedule": schedule, **old}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise BadOption(where, named[-1], f"is {named[0]}'s other name: give one")
    return given[named[0]] if named else None


def check_dates(where: str, start: datetime | None, end: datetime | None) -> None:
    """Raises BadOption for a DAG that ends before it starts."""
    if start is not None and end is not None and end < start:
        raise BadOption(where, "end_date", "is before its start_date")
