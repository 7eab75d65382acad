"""Going on in the kernel that failed: the execution's side.

Implements `hooks.CellHooks` around those that the execution has otherwise. The held kernel
itself says whether it is as its cell left it (`resting`). Where it is not, or is not there
any more, the kernel is any other, the other hooks decide, and it is said why.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlflowkit.nbrun import held, holding, iofolder, kernel_forked, kernels
from mlflowkit.nbrun.cells import is_run
from mlflowkit.nbrun.checkpoint.earlier import earlier_cells
from mlflowkit.nbrun.checkpoint.outside import CheckpointHooks
from mlflowkit.nbrun.checkpoint.partly import why_not_again
from mlflowkit.nbrun.checkpoint.store import text_digest
from mlflowkit.nbrun.hooks import Answer, CellHooks
from mlflowkit.nbrun.kernel_client import NoForkedKernel
from mlflowkit.nbrun.resting import LEFT, TAKEN, WENT_ON, Left, Taken, WentOn
from mlflowkit.ports import NotebookOrder
from mlflowkit.worker import elsewhere

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec
    from nbformat import NotebookNode

    from mlflowkit.errors import CellFailed
    from mlflowkit.nbrun.client import Ending
    from mlflowkit.nbrun.held import HeldKernel
    from mlflowkit.nbrun.hooks import Silent
    from mlflowkit.nbrun.iofolder import IOFolder
    from mlflowkit.nbrun.plan import Plan

log = logging.getLogger("mlflowkit.task.notebook")
#: Python that reaches the kernel's side without leaving a name behind.
_RESTING: Final = "__import__('mlflowkit.nbrun.resting', fromlist=['rest']).{call}"
#: A kernel that does not answer for so long has something else to do.
_REST_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 30.0


# ── when a cell has failed ──


def left_behind(
    plan: Plan, index: int, error: CellFailed, began: datetime, env: Mapping[str, str]
) -> Left:
    """What an attempt has to find that goes on in the kernel of this one.

    Args:
        plan: The execution's.
        index: The cell that failed, all cells counted.
        error: What it raised.
        began: When it did. Aware.
        env: The environment that the kernel was given.
    """
    cells = plan.notebook.cells
    run = [at for at, cell in enumerate(cells) if is_run(cell)]
    return Left(
        cells=_digests(cells),
        at=run.index(index),
        partly=why_not_again(str(cells[index].source), error.line),
        spec=_spec(plan.spec),
        cwd=str(plan.cwd),
        given={name: text_digest(v) for name, v in {**env, **plan.spec.env}.items()},
        began=int(began.timestamp() * 1e6) * 1000,
    )


async def rest(kernel: Silent, io: IOFolder, left: Left) -> None:
    """Have a kernel that is going to be held remember how it was left. Where it does not
    answer, it can be opened, and nothing goes on in it."""
    (io.path / LEFT).write_bytes(msgspec.json.encode(left))
    ending = await kernel.run_silently(_RESTING.format(call="rest()"), _REST_SECONDS)
    if ending.how != "ok":
        log.info("nothing can go on in the kernel that failed (%s)", ending.how)


def _digests(cells: Sequence[NotebookNode]) -> tuple[str, ...]:
    return tuple(text_digest(str(cell.source)) for cell in cells if is_run(cell))


def _spec(spec: KernelSpec) -> str:
    env = (f"{name}={value}" for name, value in sorted(spec.env.items()))
    return text_digest(sys.executable, sys.version, *spec.argv, *env)


# ── when another attempt begins ──


class HeldKernelHooks:
    """Of one execution.

    Args:
        owner: What the held kernel is found by.
        notebook: As it will run.
        otherwise: The hooks where none is gone on with.
    """

    def __init__(
        self, owner: Mapping[str, Any], notebook: NotebookNode, otherwise: CellHooks
    ) -> None:
        self._owner, self._notebook, self._hooks = owner, notebook, otherwise
        indexes = [at for at, cell in enumerate(notebook.cells) if is_run(cell)]
        self._at = {index: at for at, index in enumerate(indexes)}
        self._went_on: WentOn | None = None
        self._attempt = 0
        self._earlier: Sequence[NotebookNode] = ()
        self._count = 0
        self._reasons: list[str] = []

    # ── the kernel ──

    async def start(
        self,
        spec: KernelSpec,
        cwd: Path,
        env: Mapping[str, str],
        folder: Path,
        cells: Iterable[str] = (),
    ) -> kernels.KernelHandle:
        """As `kernels.start_kernel`: the kernel that failed, if it can be had."""
        found = await asyncio.to_thread(holding.of_owner, self._owner)
        if found:
            try:
                return await self._take(found[-1], spec, cwd, env, folder)
            except NoForkedKernel as exc:
                self._say(f"not in the kernel that failed: {exc}")
        return await kernels.start_kernel(spec, cwd, env, folder, cells)

    def _say(self, reason: str) -> None:
        self._reasons.append(reason)
        log.info("resume: %s", reason)

    async def _take(
        self,
        one: HeldKernel,
        spec: KernelSpec,
        cwd: Path,
        env: Mapping[str, str],
        folder: Path,
    ) -> kernels.KernelHandle:
        self._earlier = earlier_cells(one.notebook)
        client = kernel_forked.client_of(one.connection)
        try:
            kernel = await self._asked(client, one, _taken(self, spec, cwd, env, folder))
        except BaseException:
            client.stop_channels()
            raise
        self._attempt = one.attempt
        io = Path(env[iofolder.ENV_FOLDER])
        self._went_on = msgspec.json.decode((io / WENT_ON).read_bytes(), type=WentOn)
        self._count = self._went_on.count
        log.info(
            "resume: it goes on from its failed cell in the kernel of attempt %d, which "
            "was held: %d cells are kept",
            one.attempt,
            self._went_on.at,
        )
        return kernel

    async def _asked(
        self, client: AsyncKernelClient, one: HeldKernel, taken: Taken
    ) -> kernels.KernelHandle:
        """The kernel, once it has said that nothing has changed.

        Raises:
            NoForkedKernel: something has, or it does not answer.
        """
        io = Path(taken.env[iofolder.ENV_FOLDER])
        _write_private(io / TAKEN, msgspec.json.encode(taken))
        try:
            await kernel_forked.heard(client)
            code = _RESTING.format(call=f"go_on({str(io)!r})")
            reply = await asyncio.wait_for(_silently(client, code), _ANSWER_SECONDS)
        except TimeoutError as exc:
            raise NoForkedKernel("it does not answer: somebody runs code in it") from exc
        finally:
            (io / TAKEN).unlink(missing_ok=True)
        if reply["status"] != "ok":
            raise NoForkedKernel(str(reply.get("evalue")))
        return await _taken_from_server(client, one, Path(taken.log))

    def digests(self) -> tuple[str, ...]:
        """Hashes of the cells that have something to run."""
        return _digests(self._notebook.cells)

    # ── hooks ──

    async def kernel_ready(self, kernel: Silent) -> None:
        """In the kernel that failed, checkpoints go on as they were."""
        if self._went_on is None:
            await self._hooks.kernel_ready(kernel)
        elif isinstance(self._hooks, CheckpointHooks):
            self._hooks.go_on(kernel, self._went_on.at)

    async def before_cell(self, index: int, cell: NotebookNode) -> Answer:
        """What was run in this kernel is there."""
        if self._went_on is None:
            return await self._hooks.before_cell(index, cell)
        at = self._at[index]
        if at >= self._went_on.at:
            return "run"
        return self._earlier_of(at)

    def _earlier_of(self, at: int) -> Answer:
        from mlflowkit.nbrun.checkpoint.earlier import restored_from

        return restored_from(self._earlier, at, kept=True)

    async def after_cell(
        self, index: int, cell: NotebookNode, ending: Ending, seconds: float
    ) -> None:
        """A number that was left out says that a person ran code in between."""
        await self._hooks.after_cell(index, cell, ending, seconds)
        count = ending.reply.get("execution_count")
        if self._went_on is None or not isinstance(count, int):
            return
        if count != self._count:
            self._say(f"somebody ran code in the kernel before cell {index + 1}")
        self._count = count + 1

    def facts(self) -> Mapping[str, Any]:
        """Which cells were kept, and why none was."""
        found = dict(self._hooks.facts())
        if self._went_on is not None:
            kept, count = self._went_on.at, len(self._at)
            done = {"keep": kept, "restore": 0, "replay": 0, "run": count - kept}
            found["resumed"] = {**done, "of_attempt": self._attempt}
        if self._reasons:
            found["reasons"] = [*self._reasons, *found.get("reasons", ())]
        return found


def _taken(
    hooks: HeldKernelHooks,
    spec: KernelSpec,
    cwd: Path,
    env: Mapping[str, str],
    folder: Path,
) -> Taken:
    whole = {**env, **spec.env}
    log_file = str(folder / "kernel.log")
    return Taken(
        cells=hooks.digests(), spec=_spec(spec), cwd=str(cwd), env=whole, log=log_file
    )


async def _silently(client: AsyncKernelClient, code: str) -> dict[str, Any]:
    asked = client.execute(code, silent=True, store_history=False, allow_stdin=False)
    return await kernels.reply_to(client, asked)


async def _taken_from_server(
    client: AsyncKernelClient, one: HeldKernel, log_file: Path
) -> kernel_forked.ForkedKernel:
    server, name = await asyncio.to_thread(held.reach, one.id)
    try:
        lent = await asyncio.to_thread(server.take, name)
    finally:
        server.close()
    elsewhere.started(lent.keeper)
    lent.inside = True
    return kernel_forked.ForkedKernel(client, lent, log_file)


def _write_private(path: Path, data: bytes) -> None:
    flags = os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)


def held_hooks(
    order: NotebookOrder, notebook: NotebookNode, language: str, otherwise: CellHooks
) -> CellHooks:
    """The hooks of an execution that goes on in a held kernel, if there is one."""
    if not order.resume or not order.owner or language != "python" or order.shared:
        return otherwise
    return HeldKernelHooks(order.owner, notebook, otherwise)
