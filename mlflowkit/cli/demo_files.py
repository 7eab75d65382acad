"""The files of the demo: the pipeline in three styles, its notebooks, and the images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import mlflowkit
from mlflowkit.errors import UnknownStyle

#: The tutorial pipeline in each style.
PIPELINES: Final = {
    "notebooks": "train_and_deploy.py",
    "classic": "tutorial_classic.py",
    "taskflow": "tutorial_taskflow.py",
}


def pipeline_file(home: Path, style: str = "notebooks") -> Path:
    """The tutorial pipeline: the checkout's own, or a copy in the home of the one installed.

    The copy (one for each version) is there to be read and changed: nothing in it is ever
    written over.

    Raises:
        UnknownStyle: it is not written in that style.
    """
    if style not in PIPELINES:
        raise UnknownStyle(style, PIPELINES)
    package, name = Path(mlflowkit.__file__).parent, PIPELINES[style]
    checkout = package.parent / "pipelines" / name
    if checkout.is_file():
        return checkout
    copy = home / "demo" / mlflowkit.__version__
    for folder in ("pipelines", "notebooks"):
        _copy_new(package / "demo" / folder, copy / folder)
    return copy / "pipelines" / name


def _copy_new(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)


def digits_folder(home: Path) -> Path:
    """The demo's images as files, written once."""
    folder, done = home / "demo" / "digits", home / "demo" / "digits.done"
    if not done.exists():
        from mlflowkit.demo.digits import write_digits

        write_digits(folder)
        done.touch()
    return folder
