"""Every module of Airflow's that is answered, and what its names stand for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from mlflowkit.compat.airflow import words
from mlflowkit.compat.airflow.core_families import Names
from mlflowkit.compat.airflow.missing import Missing
from mlflowkit.compat.airflow.names_core import CORE
from mlflowkit.compat.airflow.names_old import OLD
from mlflowkit.compat.airflow.names_providers import PROVIDERS
from mlflowkit.compat.airflow.names_sdk import SDK_MODULES
from mlflowkit.compat.airflow.names_utils import UTILS

MODULES: Final[Mapping[str, Names]] = {
    **CORE,
    **SDK_MODULES,
    **OLD,
    **PROVIDERS,
    **UTILS,
}
#: Modules of which nothing is here: what to say of all that is in them.
REFUSED: Final[Mapping[str, str]] = {
    "airflow.triggers": words.DEFERRABLE,
    "airflow.providers.standard.triggers": words.DEFERRABLE,
    "airflow.www": words.PLUGINS,
    "airflow.plugins": words.PLUGINS,
    "airflow.listeners": words.LISTENER,
    "airflow.jobs": words.DATABASE,
    "airflow.api": words.DATABASE,
    "airflow.cli": words.CLI,
    "airflow.executors": "tasks run in mlflowkit's own workers: take it out",
    "airflow.contrib": "use the module of Airflow 2 or 3 that took its place",
    "airflow.providers": words.PROVIDER,
    "airflow.models": words.DATABASE,
}


def todo_for(fullname: str) -> str:
    """What to do about a module or a name that is not here."""
    close = difflib.get_close_matches(fullname, MODULES, n=1, cutoff=0.9)
    if close:
        return f"did you mean {close[0]}? If not, {words.UNKNOWN}"
    for prefix, todo in REFUSED.items():
        if fullname == prefix or fullname.startswith(f"{prefix}."):
            return todo
    return words.UNKNOWN


def resolve(target: Any, version: int | None) -> Any:
    """What a target of a table means."""
    if isinstance(target, Missing):
        return target
    text = str(target)
    if text.startswith("@"):
        return import_module(text[1:])
    if text.startswith("="):
        return getattr(import_module("mlflowkit"), text[1:])
    if text.startswith("!"):
        return getattr(import_module("mlflowkit.operators"), text[1:])
    module, _, name = text.partition(":")
    if module.startswith("+"):
        module = f"mlflowkit.compat.airflow.{module[1:]}"
    if module.endswith(".dags") and version is not None:
        name = f"{name[:-1]}{version}"
    if name == "VERSION" and version == 2:
        name = "VERSION_2"
    return getattr(import_module(module), name)
