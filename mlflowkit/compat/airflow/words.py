"""What to do instead of each thing of Airflow's that is not here: one place for the words."""

from __future__ import annotations

from typing import Final

from mlflowkit.authoring import task_kinds


def _gone(instead: str) -> str:
    return f"Airflow 3 took it out: use {instead}"


DATABASE: Final = (
    "there is no database of Airflow's to open: use Variable, BaseHook.get_connection, "
    "ti.xcom_pull, or the `mlflowkit runs` commands"
)
DEFERRABLE: Final = (
    'there are no triggers: write a sensor with mode="reschedule", which holds no worker '
    "while it waits"
)
DAG_BAG: Final = "list DAGs with `mlflowkit dags list`, and test them with dag.test()"
MAIL: Final = "mlflowkit sends no mail: use smtplib, or a hook of your own, in a callback"
PLUGINS: Final = "there are no plugins: import your operators and hooks from a module"
SUB_DAG: Final = _gone("a TaskGroup")
STATS: Final = "no metrics are sent: take it out"
CLI: Final = "use `mlflowkit run --airflow FILE.py`"
VIRTUALENV: Final = task_kinds.VIRTUALENV
DOCKER: Final = task_kinds.DOCKER
LISTENER: Final = "there are no listeners: use on_success_callback and on_failure_callback"
NOTIFIER: Final = "write a function and give it as on_failure_callback"
ALIAS: Final = "name the assets themselves as outlets"
METADATA: Final = "write outlet_events[asset].extra = {...} in the task instead"
EVENT_DRIVEN: Final = "nothing watches for outside events: use a sensor"
OBJECT_STORAGE: Final = "use S3Hook, or fsspec's own paths"
PROVIDER: Final = (
    "mlflowkit has no such provider: write the task with @task and the service's own "
    "Python library"
)
UNKNOWN: Final = (
    "mlflowkit does not know it: see docs/how-to/from-airflow.md for what there is"
)
XCOM_CLASS: Final = "use ti.xcom_push and ti.xcom_pull"
#: What a file written for Airflow 3 cannot use any more.
GONE_IN_3: Final = {
    "execution_date": _gone("logical_date"),
    "next_execution_date": _gone("data_interval_end"),
    "next_ds": _gone("data_interval_end | ds"),
    "next_ds_nodash": _gone("data_interval_end | ds_nodash"),
    "prev_execution_date": _gone("data_interval_start"),
    "prev_execution_date_success": _gone("prev_data_interval_start_success"),
    "prev_ds": _gone("macros.ds_add(ds, -1)"),
    "prev_ds_nodash": _gone("macros.ds_add(ds, -1)"),
    "yesterday_ds": _gone("macros.ds_add(ds, -1)"),
    "yesterday_ds_nodash": _gone("macros.ds_add(ds, -1)"),
    "tomorrow_ds": _gone("macros.ds_add(ds, 1)"),
    "tomorrow_ds_nodash": _gone("macros.ds_add(ds, 1)"),
}
#: Options of a DAG that Airflow 3 no longer takes.
DAG_OPTIONS_GONE_IN_3: Final = {
    "schedule_interval": _gone("schedule"),
    "timetable": _gone("schedule"),
    "concurrency": _gone("max_active_tasks"),
    "fail_stop": _gone("fail_fast"),
    "default_view": "Airflow 3 took it out: take it out",
    "orientation": "Airflow 3 took it out: take it out",
}
#: Kinds of `@task` that are not here.
TASK_KINDS: Final = {
    **task_kinds.ELSEWHERE,
    "snowpark": PROVIDER,
    "stub": UNKNOWN,
    "agent": PROVIDER,
    "llm": PROVIDER,
}
