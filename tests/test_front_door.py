"""The front door: small, light, and never shadowed by a sub-package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mlflowkit

HEAVY = [
    "torch",
    "boto3",
    "sqlalchemy",
    "papermill",
    "kubernetes",
    "pydantic",
    "pydantic_settings",
    "numpy",
    "pandas",
    "cloudpickle",
    "msgspec",
    "jsonschema",
    "croniter",
    "IPython",
    "nbformat",
    "nbclient",
    "fastapi",
    "PIL",
    "rich",
    "typer",
]
EVERY_NAME = """
import importlib, pkgutil, types, mlflowkit
import papermill.engines  # loads our engine by its entry point
for module in pkgutil.walk_packages(mlflowkit.__path__, "mlflowkit."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except (ImportError, mlflowkit.errors.MissingExtra):
        pass
names = [*mlflowkit.__all__, "input"]
print([n for n in names if isinstance(getattr(mlflowkit, n), types.ModuleType)])
"""


def output_of(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, mlflowkit; print(sorted(set({HEAVY}) & set(sys.modules)))"
    assert output_of(code) == "[]"


def test_writing_a_dag_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mlflowkit import dag, task, notebook, BashOperator\n"
        "@task\ndef a(): return 1\n@dag\ndef p(n: int = 1): a()\np()\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    assert output_of(code) == "[]"


def test_no_public_name_is_a_module_whatever_was_imported_first() -> None:
    assert output_of(EVERY_NAME) == "[]"


def test_every_public_name_is_there_and_a_wrong_one_gets_a_suggestion() -> None:
    assert all(getattr(mlflowkit, name) is not None for name in mlflowkit.__all__)
    assert set(mlflowkit.__all__) <= set(dir(mlflowkit))
    with pytest.raises(
        AttributeError, match=r"no attribute 'notebok'. Did you mean 'notebook'"
    ):
        _ = mlflowkit.notebok
