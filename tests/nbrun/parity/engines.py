# mypy: allow-untyped-calls
"""One notebook by two engines, in two folders that are alike: ours, and papermill's own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nbformat
import pytest

from mlflowkit.errors import MlflowkitError
from mlflowkit.nbrun.engine import NotebookEngine
from mlflowkit.ports import NotebookOrder
from tests.nbrun.parity import sheets

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: papermill's kernels talk over TCP; two that start at once may take the same port.
_PORT_CLASH: Final = "Address already in use"
_PEER: Final = Path(__file__).with_name("peer.py")
_TRIES: Final = 3
_SECONDS: Final = 240


@dataclass(frozen=True)
class Executed:
    """What one engine left behind."""

    notebook: NotebookNode
    folder: Path
    #: What ended it early: ours as an object, papermill's as text; empty if nothing did.
    error: Any

    def files(self) -> dict[str, str]:
        """The texts that its cells wrote."""
        return {p.name: p.read_text() for p in sorted(self.folder.glob("*.txt"))}


@dataclass(frozen=True)
class Both:
    """The same notebook, executed twice."""

    ours: Executed
    papermills: Executed


def execute(name: str, folder: Path) -> Both:
    """Execute a sheet by both engines at the same time.

    Out of sight of ipykernel that this is a test: it would not watch file descriptors then.
    """
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        ours = pool.submit(by_ours, _written(name, folder / "left"))
        papermills = pool.submit(by_papermill, _written(name, folder / "peer"))
        return Both(ours.result(), papermills.result())


def _written(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    nbformat.write(sheets.read(name), folder / "nb.ipynb")
    return folder / "nb.ipynb"


def by_ours(path: Path) -> Executed:
    """Through the port that notebook tasks use."""
    output, error = path.with_name("executed.ipynb"), None
    order = NotebookOrder(path=path, output=output, parameters={})
    try:
        NotebookEngine().run(order, lambda _: None)
    except MlflowkitError as exc:
        error = exc
    return Executed(nbformat.read(output, as_version=4), path.parent, error)


def by_papermill(path: Path, engine: str = "nbclient") -> Executed:
    """Through papermill's command, with one of its engines."""
    output = path.with_name("executed.ipynb")
    command = [sys.executable, str(_PEER), str(path), str(output), "--engine", engine]
    command += ["--no-progress-bar", "--no-request-save-on-cell-execute"]
    said = _PORT_CLASH
    for _ in range(_TRIES):
        if _PORT_CLASH not in said:
            break
        done = subprocess.run(
            command,
            cwd=path.parent,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        said = done.stderr
    error = said if done.returncode else ""
    return Executed(nbformat.read(output, as_version=4), path.parent, error)
