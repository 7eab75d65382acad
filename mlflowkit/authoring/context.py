"""What the code of a running task may ask for: its context, XComs to push, its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mlflowkit.errors import NotInTask
from mlflowkit.ports import running_task

#: Names that a task function may have as parameters and gets filled in, as in Airflow.
CONTEXT_NAMES: Final = frozenset(
    {"conn", "dag", "dag_id", "dag_run", "data_interval_end", "data_interval_start"}
    | {"ds", "ds_nodash", "execution_date", "expanded_ti_count"}
    | {"inlet_events", "inlets", "logical_date", "macros", "map_index"}
    | {"map_index_template", "next_ds", "next_ds_nodash", "next_execution_date"}
    | {"outlet_events", "outlets", "params", "prev_data_interval_end_success"}
    | {"prev_data_interval_start_success", "prev_ds", "prev_ds_nodash"}
    | {"prev_end_date_success", "prev_execution_date", "prev_execution_date_success"}
    | {"prev_start_date_success", "reason", "run_id", "start_date", "task", "task_id"}
    | {"task_instance", "task_instance_key_str", "task_reschedule_count"}
    | {"templates_dict", "test_mode", "ti", "tomorrow_ds", "tomorrow_ds_nodash"}
    | {"triggering_asset_events", "try_number", "ts", "ts_nodash", "ts_nodash_with_tz"}
    | {"var", "yesterday_ds", "yesterday_ds_nodash"}
)


#: Names that templates may use beside those: `conf` of Airflow 2, and what callbacks get.
TEMPLATE_NAMES: Final = CONTEXT_NAMES | {"conf", "exception"}


def get_current_context() -> Mapping[str, Any]:
    """The context of the task that this code runs in.

    Raises:
        NotInTask: no task runs here.
    """
    task = running_task()
    if task is None:
        raise NotInTask("get_current_context()")
    return task.context


def push(name: str, value: object) -> None:
    """Give `value` out as XCom `name`: in a task, or in a cell of a notebook task."""
    task = running_task()
    if task is not None:
        task.push(name, value)
        return
    from mlflowkit.authoring.runtime import part

    part("mlflowkit.nbrun.inside", "push")(name, value)


def task_state_dir() -> Path | None:
    """The folder of the running task instance, kept over its attempts; else None."""
    task = running_task()
    if task is not None:
        return Path(task.context["ti"].state_dir)
    given = os.environ.get("MLFLOWKIT_STATE_DIR")
    return Path(given) if given else None
