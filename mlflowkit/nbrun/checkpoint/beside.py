"""What a notebook was given and has pushed beside its variables, in a kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from mlflowkit.nbrun.checkpoint.store import Step, digest


def pushed() -> dict[str, Any]:
    """What was pushed so far, as plain data."""
    folder = _io_folder()
    found = folder.pushed() if folder is not None else {}
    return {name: msgspec.json.decode(msgspec.json.encode(v)) for name, v in found.items()}


def push_again(step: Step) -> None:
    """Push what the attempt before had pushed by then."""
    from mlflowkit.core.values import StoredValue

    folder = _io_folder()
    if folder is not None:
        for name, stored in step.pushed.items():
            folder.push(name, msgspec.convert(stored, StoredValue))


def inputs() -> dict[str, str]:
    """What the notebook was given beside its code, by the hash of its content."""
    folder = _io_folder()
    names = folder.inputs() if folder is not None else []
    return {name: digest(msgspec.json.encode(folder.input(name))) for name in names}


def _io_folder() -> Any:
    from mlflowkit.nbrun.iofolder import ENV_FOLDER, IOFolder

    path = os.environ.get(ENV_FOLDER)
    return IOFolder(Path(path)) if path and Path(path).is_dir() else None
