"""The import hook: what it answers, while it answers, and that it leaves no trace."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from mlflowkit.compat import airflow as compat
from mlflowkit.compat.airflow import answering, finder, names
from mlflowkit.compat.airflow.missing import Missing
from mlflowkit.worker.context import TaskInstance

EVERY_NAME = [(m, n) for m, known in sorted(names.MODULES.items()) for n in sorted(known)]


def test_every_name_of_the_tables_means_something() -> None:
    for version in (2, 3):
        for module, name in EVERY_NAME:
            target = names.MODULES[module][name]
            if not str(target).startswith("@"):
                assert names.resolve(target, version) is not None, (module, name)


def test_every_module_can_be_imported_and_every_name_taken_from_it() -> None:
    with answering(None):
        for module, name in EVERY_NAME:
            value = getattr(importlib.import_module(module), name)
            assert not isinstance(value, Missing) or repr(value).endswith("not here>")


def test_nothing_is_answered_before_and_after() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("airflow")
    for version in (2, 3):
        with answering(version):
            assert importlib.import_module("airflow").__version__[0] == str(version)
            assert TaskInstance.lenient
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("airflow.models")
    assert not TaskInstance.lenient


def test_a_version_inside_another_gives_way_to_it_again() -> None:
    with answering(2):
        outer = importlib.import_module("airflow.models").DAG
        with answering(3):
            assert importlib.import_module("airflow.models").DAG.catches_up is False
        assert importlib.import_module("airflow.models").DAG is outer


def test_an_airflow_that_was_imported_stands_aside_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "__init__.py").write_text("REAL = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    real = importlib.import_module("airflow")
    assert finder.installed_version() == "(of an unknown version)"
    with answering(2):
        assert not hasattr(importlib.import_module("airflow"), "REAL")
    assert importlib.import_module("airflow") is real
    del sys.modules["airflow"]


def test_libraries_that_look_at_all_modules_are_told_no() -> None:
    with answering(2):
        module = importlib.import_module("airflow")
        assert getattr(module, "__path__", None) == []
        code = compile(
            "found = hasattr(module, 'anything')", f"{sys.base_prefix}/lib/x.py", "exec"
        )
        space = {"module": module}
        exec(code, space)
        assert space["found"] is False


def test_the_hook_in_jupyter_answers_until_it_is_unloaded() -> None:
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def run(text):
    done = shell.run_cell(text)
    done.raise_error()
run("%load_ext mlflowkit.compat.airflow")
run('''
from datetime import datetime
from airflow.sdk import DAG as New, task
from airflow import DAG as Old
with New("new", schedule="@daily") as new:
    @task
    def hello():
        from airflow.exceptions import AirflowSkipException
        raise AirflowSkipException("not today")
    hello()
with Old("old", start_date=datetime(2025, 1, 1), schedule="@daily") as old:
    pass
print(new.catchup, old.catchup, new.test().states())
''')
run("%unload_ext mlflowkit.compat.airflow")
try:
    run("import airflow.models")
except ModuleNotFoundError as exc:
    print("gone")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[0] == "False True {'hello': 'skipped'}", done
    assert done.stdout.splitlines()[-1] == "gone"


def test_the_front_of_the_package_loads_nothing_heavy() -> None:
    code = "import mlflowkit, sys; print('mlflowkit.compat' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
    assert callable(compat.load_ipython_extension)
