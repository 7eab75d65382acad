"""The execution's side: asks the plan, has the kernel restored, and has its cells stored.

Implements `hooks.CellHooks`. Reads plain data only; no checkpoint is opened here. Where
the kernel doubts what it got back, `ResumeDoubted` ends the execution, and the notebook
is run once more from its beginning.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from mlflowkit.nbrun.checkpoint.analysis import analyse, read_of_shown
from mlflowkit.nbrun.checkpoint.earlier import earlier_cells, restored_from
from mlflowkit.nbrun.checkpoint.files import state_of
from mlflowkit.nbrun.checkpoint.plan import Now, Replay, ResumePlan, all_run, plan
from mlflowkit.nbrun.checkpoint.store import Cells, Store, digest, text_digest
from mlflowkit.nbrun.hooks import Answer

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.nbrun.client import Ending
    from mlflowkit.nbrun.hooks import Silent

log = logging.getLogger("mlflowkit.task.notebook")
#: Python that reaches the kernel's side without leaving a name behind.
INSIDE: Final = "__import__('mlflowkit.nbrun.checkpoint.inside', fromlist=['begin']).{call}"
#: A kernel that says nothing for so long while it restores is given up.
_LOAD_SECONDS: Final = 600.0
#: How long the end of a failed notebook waits for a checkpoint that is being written.
_WRITE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.02
#: Cells that took less together run again as fast as they would be had back.
_WORTH_SECONDS: Final = 0.2
#: Inside the folder that is kept over the attempts of a task instance.
FOLDER: Final = ".checkpoints"


class ResumeDoubted(Exception):
    """What was restored is not for sure what there was. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of checkpoints."""

    folder: Path
    #: "auto" or "always".
    mode: str = "auto"
    #: Go on from what an earlier attempt has stored.
    resume: bool = False
    #: Why an attempt to do so was given up.
    doubt: str = ""


class CheckpointHooks:
    """For one execution.

    Args:
        wish: What is wanted.
        cells: Those of the notebook, as they will run.
        is_run: Which of them have something to run.
        output: Where the executed notebook goes.
    """

    def __init__(
        self,
        wish: Wish,
        cells: Sequence[NotebookNode],
        is_run: Sequence[bool],
        output: Path,
    ) -> None:
        self._wish, self._output = wish, output
        self._store = Store(wish.folder)
        indexes = [at for at, run in enumerate(is_run) if run]
        self._at = {index: at for at, index in enumerate(indexes)}
        self._sources = [str(cells[index].source) for index in indexes]
        #: How this execution goes on from an earlier one.
        self.plan = all_run(len(indexes))
        #: There is something to go on from.
        self._resumes = wish.resume and bool(self._store.cells().cells)
        before = self._store.cells().output if self._resumes else ""
        self._earlier = earlier_cells(before)
        self._kernel: Silent | None = None
        self._pending: Replay | None = None
        #: Of the values that cells have shown, those that a cell reads.
        self._read: list[str] = []
        self._loaded = False
        #: Seconds of the cells since the kernel was last asked to store what it holds.
        self._unkept = 0.0
        self._asked: set[asyncio.Task[Any]] = set()

    # ── hooks ──

    async def kernel_ready(self, kernel: Silent) -> None:
        """Have the kernel know its folder, and choose how to go on."""
        if self._resumes:
            self._say_unfinished()
        else:
            self._store.clear()
        self._store.forget_notes()
        always = self._wish.mode == "always"
        call = f"begin({str(self._store.folder)!r}, always={always})"
        ending = await kernel.run_silently(INSIDE.format(call=call), _LOAD_SECONDS)
        if ending.how != "ok":
            log.warning("no checkpoints: %s", _said(ending))
            return
        self._kernel = kernel
        now = self._now()
        if self._resumes:
            self.plan = self._planned(now, await self._imported())
            self._say()
        then = self._store.cells()
        if self.plan.step is not None:  # the steps that stay began as they did
            now = replace(now, ambient=then.ambient, random=then.random)
        self._store.write_cells(now)
        self._store.keep(-1 if self.plan.step is None else self.plan.step)

    def go_on(self, kernel: Silent, at: int) -> None:
        """The kernel is that of the attempt before, and cell `at` of those that run is the
        first that does: what was stored before it stays as good as it was."""
        then = self._store.cells()
        if not then.cells:
            return  # it was not stored from its beginning on
        self._kernel = kernel
        self._store.forget_notes()
        self._store.keep(at - 1)
        cells = tuple(text_digest(code) for code in self._sources)
        self._store.write_cells(replace(then, cells=cells, output=str(self._output)))

    async def before_cell(self, index: int, cell: NotebookNode) -> Answer:
        """Restored, replayed or run."""
        at = self._at[index]
        action = self.plan.actions[at]
        if action == "run":
            await self._load_last()
            return "run"
        replay = next((each for each in self.plan.replays if at in each.cells), None)
        if action == "replay" and replay is not None:
            if at == replay.cells[0]:
                await self._verify()
                await self._do(f"load({replay.before!r}, {_listed(replay.names)})")
                self._pending = replay
            return "replay"
        if at == len(self._sources) - 1:
            await self._load_last()
        return restored_from(self._earlier, at)

    async def after_cell(
        self, index: int, cell: NotebookNode, ending: Ending, seconds: float
    ) -> None:
        """Have what the kernel holds now stored, while the next cell runs."""
        at = self._at[index]
        if self.plan.actions[at] == "replay":
            if ending.how != "ok":
                raise ResumeDoubted(f"cell {at + 1} of those that run, replayed, failed")
            if at == len(self._sources) - 1:
                await self._load_last()
        elif ending.how != "ok":
            await self._written()
            self._say_unfinished()
        elif self._is_worth_it(at, seconds):
            assert self._kernel is not None
            call = INSIDE.format(call=f"after({at}, {self._unkept:.6f})")
            self._unkept = 0.0
            asked = asyncio.ensure_future(self._kernel.run_silently(call))
            self._asked.add(asked)
            asked.add_done_callback(self._answered)
            await asyncio.sleep(0)  # it is sent before the next cell is

    def _is_worth_it(self, at: int, seconds: float) -> bool:
        self._unkept += seconds
        if self._kernel is None or at == len(self._sources) - 1:
            return False
        return self._wish.mode == "always" or self._unkept >= _WORTH_SECONDS

    def _answered(self, asked: asyncio.Future[Ending]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled() and asked.exception() is not None:
            log.debug("no checkpoint: %s", asked.exception())

    def facts(self) -> dict[str, Any]:
        """What the executed notebook says of it, where there is something to say."""
        found: dict[str, Any] = {}
        if self.plan.step is not None:
            found["resumed"] = {
                action: sum(each == action for each in self.plan.actions)
                for action in ("restore", "replay", "run")
            }
        reasons = [*self.plan.reasons, *([self._wish.doubt] if self._wish.doubt else [])]
        if reasons:
            found["reasons"] = reasons
        notes = [note["text"] for note in self._store.notes()]
        if notes:
            found["checkpoints"] = list(dict.fromkeys(notes))
        return found

    # ── the plan ──

    def _now(self) -> Cells:
        told = json.loads((self._store.folder / "kernel.json").read_text())
        return Cells(
            cells=tuple(text_digest(code) for code in self._sources),
            inputs=told["inputs"],
            kernel=told["kernel"],
            ambient=told["ambient"],
            random=told["random"],
            output=str(self._output),
        )

    async def _imported(self) -> dict[int, dict[str, Any]]:
        """What imports set alone, where settings have changed."""
        told = self._store.folder / "imports.json"
        told.unlink(missing_ok=True)
        await self._do("explain()")
        with suppress(OSError, ValueError):
            return {int(at): found for at, found in json.loads(told.read_text()).items()}
        return {}

    def _planned(self, now: Cells, imported: dict[int, dict[str, Any]]) -> ResumePlan:
        steps = self._store.steps()
        modules = {path: _file_digest(path) for step in steps for path in step.modules}
        facts = analyse(self._sources)
        self._read = sorted(read_of_shown(facts))
        files = {path: state_of(path) for step in steps for path in step.files}
        found = Now(now, facts, modules, files, imported)
        return plan(self._store.cells(), steps, found)

    def _say(self) -> None:
        counts = [self.plan.actions.count(each) for each in ("restore", "replay", "run")]
        log.info("resume: %d cells restored, %d replayed, %d to run", *counts)
        for reason in self.plan.reasons:
            log.info("resume: %s", reason)

    # ── the kernel ──

    async def _load_last(self) -> None:
        if self._loaded or self.plan.step is None:
            return
        await self._verify()
        await self._do(f"load({self.plan.step}, None, last=True)")
        self._loaded = True

    async def _verify(self) -> None:
        replay, self._pending = self._pending, None
        if replay is not None and replay.remade and replay.names is not None:
            given = f"{replay.cells[-1]}, {list(replay.names)!r}, {self._read!r}"
            await self._do(f"verify({given})")

    async def _do(self, call: str) -> None:
        if self._kernel is None:
            raise ResumeDoubted("the kernel has no mlflowkit")
        ending = await self._kernel.run_silently(INSIDE.format(call=call), _LOAD_SECONDS)
        if ending.how == "interrupted":
            return  # the person's wish; the next cell ends as interrupted
        if ending.how != "ok":
            raise ResumeDoubted(_said(ending))

    async def _written(self) -> None:
        """Wait until nobody writes a checkpoint any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITE_SECONDS):
                if self._asked:
                    await asyncio.wait(self._asked)
                while not self._store.is_written():
                    await asyncio.sleep(_LOOK_SECONDS)

    def _say_unfinished(self) -> None:
        """The checkpoints whose writer was killed, or takes too long."""
        for at in self._store.unfinished():
            said = f"the checkpoint after cell {at + 1} of those that run was not finished"
            log.info("%s; the one before it is as it was", said)
            self._store.note(at, said)


def _said(ending: Ending) -> str:
    if ending.how != "error":
        return f"the kernel did not answer ({ending.how})"
    return str(ending.reply.get("evalue"))


def _listed(names: tuple[str, ...] | None) -> str:
    return repr(None if names is None else list(names))


def _file_digest(path: str) -> str:
    try:
        return digest(Path(path).read_bytes())
    except OSError:
        return ""
