"""From a DAG to what the scheduler takes: plain data, with its code stored.

Never runs a person's code: that has been done by whoever made the DAG.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mlflowkit.authoring.bundle import spec_json
from mlflowkit.authoring.dag import DAG
from mlflowkit.authoring.folder import LoadedDag
from mlflowkit.authoring.params import default_params
from mlflowkit.handles.request import in_home, stored_dag
from mlflowkit.ports import RunRequest


def publish_request(dag: DAG, home: Path) -> RunRequest:
    """A DAG as it is now, for the scheduler.

    Raises:
        ScheduledWithoutDefault: it has a schedule, and a parameter without a default.
        UserError: something does not fit, or cannot travel.
    """
    dag.spec()
    bundle, spec = stored_dag(dag, home)
    return RunRequest(
        dag_id=dag.dag_id,
        spec_json=spec_json(spec),
        bundle=str(bundle.folder),
        params_json=json.dumps(default_params(spec)).encode(),
        surroundings=in_home(home),
        notes=bundle.notes,
    )


def folder_request(one: LoadedDag, home: Path) -> RunRequest:
    """A DAG of a folder, for the scheduler: its modules are found where its file found them."""
    around = in_home(home)
    path = [p for p in around.sys_path if p not in one.sys_path]
    return RunRequest(
        dag_id=one.dag_id,
        spec_json=one.spec_json,
        bundle=one.bundle,
        params_json=json.dumps(default_params(one.spec())).encode(),
        surroundings=replace(around, sys_path=(*one.sys_path, *path)),
        notes=one.notes,
    )
