"""What is about to be executed: checked, parameterized, with its kernel. Plain facts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflowkit.nbrun.holding import Keep
from mlflowkit.nbrun.hooks import CellHooks, NoHooks
from mlflowkit.nbrun.outputs import LIMIT

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec
    from nbformat import NotebookNode

    from mlflowkit.nbrun.kernel_handle import KernelHandle


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
    #: Told of all that cells put out and is kept, as text: "stdout", "stderr" or "" for
    #: what they show.
    heard: Callable[[str, str], None] | None = None
    #: Starts its kernel in the place of `kernels.start_kernel`, with the same arguments.
    start: Callable[..., Awaitable[KernelHandle]] | None = None

    #: How long its kernel is held when a cell fails.
    keep: Keep = field(default_factory=Keep)

    @property
    def where(self) -> str:
        return f"notebook {self.name}"
