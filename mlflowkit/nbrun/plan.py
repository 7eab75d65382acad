"""What is about to be executed: checked, parameterized, with its kernel. Plain facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.nbrun.hooks import CellHooks, NoHooks
from mlflowkit.nbrun.outputs import LIMIT

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec
    from nbformat import NotebookNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A notebook that is ready to run. See `engine.prepare`."""

    name: str
    notebook: NotebookNode
    spec: KernelSpec
    language: str
    cwd: Path
    output: Path
    #: Parameters that are handed over rather than written as code.
    objects: Mapping[str, object] = field(default_factory=dict[str, object])
    returns: tuple[str, ...] = ()
    #: Names that a cell tagged `outputs` assigns.
    optional: tuple[str, ...] = ()
    cell_timeout: float | None = None
    #: Seconds for the whole notebook, its kernel's start counted.
    timeout: float | None = None
    state_dir: Path | None = None
    artifacts: Path | None = None
    output_limit: int = LIMIT
    #: Asked before each cell and told after it.
    hooks: CellHooks = field(default_factory=NoHooks)

    @property
    def where(self) -> str:
        return f"notebook {self.name}"
