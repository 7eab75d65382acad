"""Notebooks in shells of this process: a run that fails, and one that goes on from there."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from mlflowkit.nbrun.checkpoint import files, inside, modules, writing
from mlflowkit.nbrun.checkpoint.analysis import analyse
from mlflowkit.nbrun.checkpoint.plan import Now, ResumePlan, plan
from mlflowkit.nbrun.checkpoint.store import Cells, Store, text_digest


def new_shell() -> Any:
    config = Config()
    config.HistoryManager.enabled = False
    return InteractiveShell(config=config, user_ns={})  # type: ignore[no-untyped-call]  # untyped


@contextmanager
def in_this_process() -> Iterator[None]:
    """What is stored is stored at once and here."""
    may_fork = writing.may_fork
    writing.may_fork = lambda: False
    try:
        yield
    finally:
        writing.may_fork = may_fork


@dataclass
class Run:
    """A notebook in one shell.

    Args:
        cells: Their code.
        folder: Of the checkpoints.
        stored: After which cells one is made; None: after all.
    """

    cells: Sequence[str]
    folder: Path
    stored: Collection[int] | None = None
    shell: Any = field(default_factory=new_shell)
    outputs: dict[int, str] = field(default_factory=dict)
    error: str = ""

    def _run_cell(self, at: int, *, keep: bool) -> bool:
        out = io.StringIO()
        with redirect_stdout(out):
            result = self.shell.run_cell(self.cells[at], store_history=True)
        self.outputs[at] = out.getvalue()
        if not result.success:
            self.error = repr(result.error_in_exec or result.error_before_exec)
            return False
        if keep and (self.stored is None or at in self.stored):
            inside.after(at, 10.0)
        return True

    def _rest(self, start: int, *, keep: bool) -> Run:
        all(self._run_cell(at, keep=keep) for at in range(start, len(self.cells)))
        return self

    def clean(self) -> Run:
        """All cells, and nothing is stored."""
        random.seed(0)
        return self._rest(0, keep=False)

    def begin(self) -> Run:
        """All cells until one fails; what they made is stored."""
        random.seed(0)
        store = Store(self.folder)
        store.clear()
        inside.begin(str(self.folder), always=True, shell=self.shell)
        store.write_cells(self._now())
        return self._rest(0, keep=True)

    def _now(self) -> Cells:
        told = json.loads((self.folder / "kernel.json").read_text())
        return Cells(
            cells=tuple(text_digest(cell) for cell in self.cells),
            kernel="the same",
            ambient=told["ambient"],
            random=told["random"],
        )

    def resume(self) -> ResumePlan:
        """Go on in this shell from what the folder has; as the execution does it.

        Raises:
            Doubt: it cannot be done for sure.
        """
        random.seed("another process")
        store, then = Store(self.folder), Store(self.folder).cells()
        inside.begin(str(self.folder), always=True, shell=self.shell)
        facts = analyse(list(self.cells))
        steps = store.steps()
        named = {path: files.state_of(path) for step in steps for path in step.files}
        now = Now(self._now(), facts, modules.local_modules(), named)
        found = plan(then, steps, now)
        for replay in found.replays:
            inside.load(replay.before, replay.names)
            for at in replay.cells:
                assert self._run_cell(at, keep=False), self.error
            if replay.remade and replay.names is not None:
                inside.verify(replay.cells[-1], replay.names)
        if found.step is not None:
            inside.load(found.step, None, last=True)
            store.keep(found.step)
        self._rest(found.start, keep=True)
        return found


def variables(shell: Any) -> dict[str, Any]:
    """Those of the notebook."""
    keeper = inside.Keeper(Store(Path("unused")), shell, always=True)
    return {name: shell.user_ns[name] for name in keeper.names()}
