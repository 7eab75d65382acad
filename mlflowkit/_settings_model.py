"""The settings themselves: one field, one line of meaning. Imported only by `settings.py`."""

from __future__ import annotations

import json
import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mlflowkit import __version__
from mlflowkit.errors import BadSetting, BadSettingsFile


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _seconds(value: Any) -> Any:
    """A bare number is seconds: `MLFLOWKIT_KILL_GRACE=1`."""
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return float(value)
    return value


def _json_object(value: Any) -> Any:
    """A table of a TOML file as JSON; a text must be a JSON object."""
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, str) and value.strip():
        try:
            fits = isinstance(json.loads(value), dict)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("it is no JSON object")
    return value


JsonText = Annotated[str, BeforeValidator(_json_object)]
Duration = Annotated[timedelta, BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """All settings. Each is `MLFLOWKIT_<NAME>` or a key of `[tool.mlflowkit]`."""

    model_config = SettingsConfigDict(env_prefix="MLFLOWKIT_", extra="ignore", frozen=True)

    parallelism: int = Field(
        default_factory=_cores, ge=1, description="Task instances that run at once."
    )
    engine_idle: Duration = Field(
        timedelta(minutes=15),
        description="A background engine with no work exits after this.",
    )
    kill_grace: Duration = Field(
        timedelta(seconds=5),
        description="Between the interrupt, SIGTERM and SIGKILL of an attempt.",
    )
    keep_failed_kernel: Duration = Field(
        timedelta(minutes=15),
        ge=timedelta(),
        description="How long the kernel of a notebook that failed is held, in runs that a "
        "person started; 0: not at all. `keep_failed_kernel=` of a task goes before it.",
    )
    held_kernels: int = Field(
        3, ge=0, description="Kernels that are held at once; the oldest ends first."
    )
    held_kernels_memory: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of the machine's memory that held kernels may have together.",
    )
    sqlite_synchronous: str = Field(
        "NORMAL",
        pattern="^(NORMAL|FULL)$",
        description="FULL also survives a power cut without losing the last moments; slower.",
    )
    max_map_length: int = Field(
        100_000,
        ge=1,
        description="Most task instances that one mapped task may expand to.",
    )
    dag_import_timeout: Duration = Field(
        timedelta(seconds=30),
        gt=timedelta(),
        description="Most time that loading one pipeline file of a folder may take.",
    )
    serve_image: str = Field(
        f"mlflowkit-serve:{__version__}",
        description="Container image of the model server.",
    )
    namespace: str = Field("default", description="Kubernetes namespace to deploy to.")
    secrets_backend: str = Field(
        "",
        description="Where connections and variables are looked for between the environment "
        "and the store: `file`, `aws`, or a class as `package.module.Class`.",
    )
    secrets_backend_kwargs: JsonText = Field(
        "", description="Its arguments: a JSON object, or a table in pyproject.toml."
    )
    failpoints: str = Field(
        "",
        description="Where to die on purpose, for tests of crash safety: `name[:nth]`.",
    )


#: What pydantic says in words of its own, said for people. None of these can be a secret.
_WHY = {
    "int_parsing": "it has to be a whole number",
    "float_parsing": "it has to be a number",
    "bool_parsing": "it has to be true or false",
    "time_delta_parsing": "it has to be a span, as PT30S, P1D or 00:00:30",
}


def read_settings(pyproject: Path) -> Settings:
    """Settings from the environment over `[tool.mlflowkit]` of `pyproject`."""
    table: dict[str, Any] = {}
    if pyproject.is_file():
        try:
            read = tomllib.loads(pyproject.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
            raise BadSettingsFile(pyproject, str(exc)) from exc
        table = read.get("tool", {}).get("mlflowkit", {})
    known = {k: v for k, v in table.items() if k in Settings.model_fields}
    for name in list(known):
        if f"MLFLOWKIT_{name.upper()}" in os.environ:
            del known[name]
    try:
        return Settings(**known)
    except ValidationError as exc:
        first = exc.errors()[0]
        name, why = str(first["loc"][0]), _WHY.get(first["type"])
        if why is None:
            raise BadSetting(name, str(first["msg"])) from exc
        raise BadSetting(name, why, first["input"]) from exc
