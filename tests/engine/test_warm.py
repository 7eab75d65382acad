"""A task's process finds everything of ours loaded: what it imports itself, each task pays for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit.authoring.loader import load_dag
from tests.engine.conftest import World

FILES = {
    "a file that only defines": """
from mlflowkit import dag, task

@task
def loaded(text: str) -> list[str]:
    import sys
    return list(sys.modules)

@dag
def warm():
    loaded("no template")
""",
    "a file that does something, so that each task imports it": """
import os
from mlflowkit import DAG, task
from mlflowkit.operators import BashOperator, EmptyOperator
os.environ["SEEN"] = "yes"

@task
def loaded(text: str) -> list[str]:
    import sys
    return list(sys.modules)

with DAG("warm", schedule="@daily") as d:
    loaded("no template")
""",
    "templates": """
from mlflowkit import DAG, task

@task
def loaded(text: str) -> list[str]:
    import sys
    return list(sys.modules)

with DAG("warm") as d:
    loaded("{{ ds }}")
""",
}


#: Marks in `sys.modules`, which keeps the order, where the process was forked.
MARK = """
import os, sys, types
def mark():
    sys.modules.pop("forked_here", None)
    sys.modules["forked_here"] = types.ModuleType("forked_here")
os.register_at_fork(after_in_child=mark)
"""


@pytest.mark.parametrize("what", FILES)
def test_nothing_of_ours_is_loaded_by_a_task(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(MARK)
    monkeypatch.setenv("PYTHONPATH", str(site))
    file = tmp_path / "warm_pipeline.py"
    file.write_text(FILES[what])
    run = world.run(load_dag(str(file)))
    modules = run["loaded"].result()
    since = modules[modules.index("forked_here") :]
    ours = ("mlflowkit", "jinja2", "sqlalchemy", "croniter")
    assert [name for name in since if name.startswith(ours)] == []
