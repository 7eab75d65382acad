"""Where other parts take a hand in an execution, cell by cell: what they may ask and answer.

An execution calls these in its own loop and waits for them. They run code in the kernel
by `run_silently` alone; they write neither the notebook nor its journal themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.client import Ending


class Silent(Protocol):
    """Runs code that no cell shows and no count counts."""

    async def run_silently(self, code: str, timeout: float | None = None) -> Ending: ...


@dataclass(frozen=True, slots=True)
class Restored:
    """The cell is not run: what it made is there already, from an earlier attempt."""

    #: What it had put out then, as nbformat has it, and its number.
    outputs: Sequence[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    count: int | None = None
    #: It was brought back by nobody: the kernel is the very one where it was run.
    kept: bool = False


#: "run" it; "replay" it (run, and marked as run once more); "skip" it; or it is restored.
Answer = Literal["run", "replay", "skip"] | Restored


class CellHooks(Protocol):
    """Called by `Execution`. What one raises ends the notebook, and is raised from `run`."""

    async def kernel_ready(self, kernel: Silent) -> None:
        """The kernel answers, and mlflowkit works in it; no cell was run."""
        ...

    async def before_cell(self, index: int, cell: NotebookNode) -> Answer:
        """A cell that has something to run is next.

        Args:
            index: Its position, from 0, all cells counted.
            cell: The cell, with its code as it would run.
        """
        ...

    async def after_cell(
        self, index: int, cell: NotebookNode, ending: Ending, seconds: float
    ) -> None:
        """A cell was run; its end is recorded.

        Args:
            index, cell: As before.
            ending: How it ended. The kernel may be dead (`ending.how`).
            seconds: How long it took, by this process's clock.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """What the executed notebook's metadata says of what was done here; plain data."""
        ...


class NoHooks:
    """Every cell is run, and nothing else happens."""

    async def kernel_ready(self, kernel: Silent) -> None:
        """Nothing."""

    async def before_cell(self, index: int, cell: NotebookNode) -> Answer:
        """Run it."""
        return "run"

    async def after_cell(
        self, index: int, cell: NotebookNode, ending: Ending, seconds: float
    ) -> None:
        """Nothing."""

    def facts(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}
