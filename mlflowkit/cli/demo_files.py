"""The files of the demo: the pipeline with its notebooks, and the images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import mlflowkit

PIPELINE: Final = "train_and_deploy.py"


def pipeline_file(home: Path) -> Path:
    """The tutorial pipeline: the checkout's own, or a copy in the home of the one installed.

    The copy (one for each version) is there to be read and changed: nothing in it is ever
    written over.
    """
    package = Path(mlflowkit.__file__).parent
    checkout = package.parent / "pipelines" / PIPELINE
    if checkout.is_file():
        return checkout
    copy = home / "demo" / mlflowkit.__version__
    for folder in ("pipelines", "notebooks"):
        _copy_new(package / "demo" / folder, copy / folder)
    return copy / "pipelines" / PIPELINE


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
