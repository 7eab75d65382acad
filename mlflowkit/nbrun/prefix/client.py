"""The execution's side of a shared prefix: asks for it, takes a kernel with it, shows it.

Implements `hooks.CellHooks` around those that the execution has otherwise. Where the
prefix cannot be shared, the kernel is any other, every cell is run, and it is said why.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.core.secret import holds_handle
from mlflowkit.nbrun import iofolder, kernel_forked, kernel_place, kernels
from mlflowkit.nbrun.cells import is_run
from mlflowkit.nbrun.checkpoint.outside import ResumeDoubted
from mlflowkit.nbrun.hooks import Answer, CellHooks, Restored
from mlflowkit.nbrun.kernel_client import NoForkedKernel, StartOrder, connect
from mlflowkit.nbrun.kernel_wire import Message
from mlflowkit.nbrun.prefix import analysis
from mlflowkit.ports import NotebookOrder
from mlflowkit.worker import masking

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec
    from nbformat import NotebookNode

    from mlflowkit.nbrun.client import Ending
    from mlflowkit.nbrun.hooks import Silent

log = logging.getLogger("mlflowkit.task.notebook")
#: Longest that is waited for a prefix; less where the notebook has less time.
WAIT_SECONDS: Final = 1800.0
_SHORTEST_LOOK: Final = 0.02
_LONGEST_LOOK: Final = 0.5
_LATE_SECONDS: Final = 600.0
#: What each attempt has of its own.
_OWN: Final = frozenset({iofolder.ENV_FOLDER, iofolder.ENV_STATE})
_GO_ON: Final = "__import__('mlflowkit.nbrun.prefix.process', fromlist=['x']).go_on"


class SharedPrefix:
    """Of one execution.

    Args:
        order: As it was given, with `shared`.
        notebook: As it will run.
        otherwise: The hooks where nothing is shared.
    """

    def __init__(
        self, order: NotebookOrder, notebook: NotebookNode, otherwise: CellHooks
    ) -> None:
        assert order.shared is not None
        self._order, self._shared, self._notebook = order, order.shared, notebook
        self._hooks = otherwise
        self._split = analysis.split(_sources(notebook), order.shared.mapped)
        self._cells: dict[int, Restored] = {}
        self._why = self._why_not()
        self._made_by = ""

    def _why_not(self) -> str:
        given = self._order.parameters.items()
        shared = {n: v for n, v in given if n not in self._shared.mapped}
        if any(holds_handle(value) for value in shared.values()):
            return "a secret is given to it, which each instance asks for itself"
        if self._order.resume:
            return "this attempt goes on from an earlier one"
        return "" if self._split.cells else self._split.why

    # ── the kernel ──

    async def start(
        self,
        spec: KernelSpec,
        cwd: Path,
        env: Mapping[str, str],
        folder: Path,
        cells: Iterable[str] = (),
    ) -> kernels.KernelHandle:
        """As `kernels.start_kernel`: a kernel with the prefix, if it can be had."""
        cells = list(cells)
        if not self._why:
            try:
                return await self._with_prefix(spec, cwd, env, folder, cells)
            except NoForkedKernel as exc:
                self._why, self._cells = str(exc), {}
        log.info("the prefix is not shared: %s", self._why)
        return await kernels.start_kernel(spec, cwd, env, folder, cells)

    async def _with_prefix(
        self,
        spec: KernelSpec,
        cwd: Path,
        env: Mapping[str, str],
        folder: Path,
        cells: list[str],
    ) -> kernels.KernelHandle:
        wish = kernel_forked.order(spec, cwd, env, cells, kernel_forked.OWN_ARGS)
        if wish.late:
            raise NoForkedKernel("a person's start-up files run in its kernel")
        io = await asyncio.to_thread(self._folder, folder, env[iofolder.ENV_FOLDER])
        wanted = self._wanted(wish, io)
        # Another one serves new kernels as soon as something is installed or edited.
        place = kernel_place.here()
        told = await self._made(wanted, place)
        self._cells = {each["index"]: _restored(each) for each in told["cells"]}
        own = {name: value for name, value in wish.late_env.items() if name in _OWN}
        ready = replace(wish, late_env=own, prefix=wanted["key"], preload=())
        kernel = await kernel_forked.start_order(ready, folder / "kernel.log", place)
        self._made_by = str(told["label"])
        count = len(self._cells)
        log.info("%d cells were run once, by %s, for all", count, self._made_by)
        if self._split.why:
            log.info("the shared prefix ends there: %s", self._split.why)
        return kernel

    def _folder(self, folder: Path, own: str) -> Path:
        """What the prefix may ask for with `input`: what all instances share."""
        io, mine = folder / "prefix", Path(own)
        for each in (io, io / "inputs", io / "pushed"):
            each.mkdir(mode=0o700)
        shutil.copyfile(mine / "settings.json", io / "settings.json")
        for path in (mine / "inputs").glob("*.json"):
            if path.stem not in self._shared.mapped:
                shutil.copyfile(path, io / "inputs" / path.name)
        return io

    def _wanted(self, wish: StartOrder, io: Path) -> Message:
        late = {name: value for name, value in wish.late_env.items() if name not in _OWN}
        same: Message = {
            "env": dict(wish.env),
            "cwd": str(wish.cwd),
            "umask": wish.umask,
            "args": list(wish.args),
            "cells": [list(each) for each in self._split.cells],
        }
        inputs = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (io / "inputs").iterdir()
        }
        run = [self._shared.run, sorted(self._shared.mapped), inputs, late]
        text = json.dumps([same, run], sort_keys=True)
        late = {**late, iofolder.ENV_FOLDER: str(io)}
        key = hashlib.sha256(text.encode()).hexdigest()
        label = self._shared.instance
        return {**same, "late_env": late, "key": key, "label": label, "io": str(io)}

    async def _made(self, wanted: Message, place: kernel_place.Place) -> Message:
        """Wait until it is made.

        Raises:
            NoForkedKernel: it cannot be shared, or takes too long.
        """
        seconds = self._patience()
        until, pause = monotonic() + seconds, _SHORTEST_LOOK
        while monotonic() < until:
            told = await asyncio.to_thread(_ask, wanted, place)
            if told["state"] == "ready":
                return told
            if told["state"] == "alone":
                raise NoForkedKernel(told["why"])
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_LOOK)
        raise NoForkedKernel(f"it was not run within {seconds:g} s")

    def _patience(self) -> float:
        """What would be a time-out in a kernel must not be waited out twice."""
        known = [WAIT_SECONDS]
        if self._order.timeout is not None:
            known.append(self._order.timeout.total_seconds() / 2)
        if self._order.cell_timeout is not None:
            each = self._order.cell_timeout.total_seconds()
            known.append(each * len(self._split.cells))
        return min(known)

    # ── hooks ──

    async def kernel_ready(self, kernel: Silent) -> None:
        """Give the kernel what its instance alone has."""
        if not self._cells:
            await self._hooks.kernel_ready(kernel)
            return
        assert self._split.injected is not None
        index, code = self._split.injected
        lines = [self._split.late, f"{_GO_ON}({self._cells[index].count}, {code!r})"]
        ending = await kernel.run_silently("\n".join(lines), _LATE_SECONDS)
        if ending.how in ("error", "timeout"):
            why = ending.reply.get("evalue", "no answer")
            raise ResumeDoubted(f"its parameters failed after a shared prefix: {why}")

    async def before_cell(self, index: int, cell: NotebookNode) -> Answer:
        """What was run once is there."""
        if self._cells:
            return self._cells.get(index, "run")
        return await self._hooks.before_cell(index, cell)

    async def after_cell(
        self, index: int, cell: NotebookNode, ending: Ending, seconds: float
    ) -> None:
        """Nothing of its own."""
        if not self._cells:
            await self._hooks.after_cell(index, cell, ending, seconds)

    def facts(self) -> Mapping[str, Any]:
        """How many cells were run once, and by whom; or why none was."""
        if self._cells:
            told = {"cells": len(self._cells), "run_by": self._made_by}
            return {"shared_prefix": told}
        return {**self._hooks.facts(), "shared_prefix": {"cells": 0, "why": self._why}}


def shared_hooks(
    order: NotebookOrder, notebook: NotebookNode, language: str, otherwise: CellHooks
) -> CellHooks:
    """The hooks of an execution that may share its prefix; else `otherwise`."""
    if order.shared is None or language != "python":
        return otherwise
    return SharedPrefix(order, notebook, otherwise)


def _ask(wanted: Message, place: kernel_place.Place) -> Message:
    told, files = connect(place).prefix(wanted)
    for fd in files:
        size = os.fstat(fd).st_size
        told["cells"] = json.loads(os.pread(fd, size, 0))  # others read it, too
        os.close(fd)
    return told


def _sources(notebook: NotebookNode) -> list[analysis.Source]:
    cells: Iterable[tuple[int, NotebookNode]] = enumerate(notebook.cells)
    return [
        analysis.Source(at, cell.source, "injected-parameters" in cell.metadata.tags)
        for at, cell in cells
        if is_run(cell)
    ]


def _restored(told: Mapping[str, Any]) -> Restored:
    """A cell's messages as the outputs that an execution would have made of them."""
    from nbformat.v4 import new_code_cell, new_notebook, output_from_msg

    from mlflowkit.nbrun.outputs import Outputs

    notebook = new_notebook(cells=[new_code_cell("")])  # type: ignore[no-untyped-call]
    outputs = Outputs(notebook)
    for kind, content in told["messages"]:
        if kind == "stream":
            outputs.stream(0, content["name"], content["text"])
        elif kind == "clear_output":
            outputs.clear(0, bool(content["wait"]))
        else:
            message = {"msg_type": kind, "header": {"msg_type": kind}, "content": content}
            outputs.output(0, output_from_msg(message))  # type: ignore[no-untyped-call]
    outputs.settle()
    mask = masking.masker().value
    return Restored([dict(mask(each)) for each in notebook.cells[0].outputs], told["count"])
