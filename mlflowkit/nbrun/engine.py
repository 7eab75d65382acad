"""The notebook runner: from an order to values, by way of a kernel and a written notebook.

Whatever happens between the first cell and the last (an exception, a dead kernel, a
deadline, a signal to this process), the executed notebook is written, and says it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlflowkit.errors import CellFailed
from mlflowkit.nbrun import holding, injection, parameters, source
from mlflowkit.nbrun.checkpoint.outside import ResumeDoubted
from mlflowkit.nbrun.checkpoint.wanted import forget_checkpoints, hooks_for
from mlflowkit.nbrun.execution import Execution
from mlflowkit.nbrun.going_on import HeldKernelHooks, held_hooks
from mlflowkit.nbrun.outputs import LIMIT
from mlflowkit.nbrun.plan import Plan
from mlflowkit.nbrun.prefix.client import SharedPrefix, shared_hooks
from mlflowkit.nbrun.stop import Stop
from mlflowkit.ports import CellEvent, NotebookOrder

if TYPE_CHECKING:
    from nbformat import NotebookNode

T = TypeVar("T")

#: From a stop to the written notebook; then the caller no longer waits.
_STOP_SECONDS: Final = 15.0
#: A wait without end is not woken by signals on every platform.
_STEP_SECONDS: Final = 0.5


class NotebookEngine:
    """Executes notebooks. Implements `ports.NotebookRunner`; keeps nothing between runs.

    Args:
        artifacts: Folder of an artifact store: what notebooks hand on is put there, and
            need not be copied again. Without it, into a folder beside the output that is
            removed when this process ends.
        output_limit: Characters of one output that are kept.
    """

    def __init__(self, *, artifacts: Path | None = None, output_limit: int = LIMIT) -> None:
        self._artifacts, self._output_limit = artifacts, output_limit

    def run(
        self, order: NotebookOrder, on_event: Callable[[CellEvent], None]
    ) -> Mapping[str, object]:
        """Execute a notebook, and write the executed one to `order.output`.

        Works in any thread, also where a loop is running. A KeyboardInterrupt (or what a
        signal handler raises) interrupts the cell, writes the notebook, ends the kernel,
        and is raised again.

        Returns:
            What it pushed, what a cell tagged `outputs` assigned, what `returns` names.

        Raises:
            NotebookError, ParameterError: it cannot be run; nothing was executed or written.
            CellFailed: a cell failed; `.values` has what was pushed before.
            TaskSkipped: it called `exit_notebook(state="skipped")`.
            CannotSerialize, ReturnMissing: a value could not be taken out.
        """
        plan = prepare(order, artifacts=self._artifacts, output_limit=self._output_limit)
        try:
            values = run_plan(plan, on_event)
        except ResumeDoubted as exc:
            again = prepare(
                replace(order, resume=False, shared=None),
                artifacts=self._artifacts,
                output_limit=self._output_limit,
                doubt=str(exc),
            )
            values = run_plan(again, on_event)
        forget_checkpoints(order.state_dir)
        holding.forget_earlier(order.owner)
        return values


def prepare(
    order: NotebookOrder,
    *,
    artifacts: Path | None = None,
    output_limit: int = LIMIT,
    doubt: str = "",
) -> Plan:
    """Everything that can be checked and made before a kernel is started.

    Args:
        doubt: Why going on from an earlier attempt was given up, if it was.
    """
    path = order.path
    notebook = source.load(path)
    spec = source.kernel_spec(path, notebook, order.kernel_name)
    parameters.check_notebook(path, notebook, order.parameters)
    name = source.kernel_name(notebook, order.kernel_name) or source.NATIVE_KERNEL
    language = source.language(notebook, spec)
    notebook = injection.inject(path, notebook, order.parameters, name, language)
    notebook.metadata.papermill.update(input_path=str(path), output_path=str(order.output))
    _, objects = injection.split(order.parameters)
    hooks = hooks_for(order, notebook, language, doubt)
    hooks = shared_hooks(order, notebook, language, hooks)
    hooks = held_hooks(order, notebook, language, hooks)
    timeout = order.cell_timeout.total_seconds() if order.cell_timeout else None
    return Plan(
        name=path.name,
        notebook=notebook,
        spec=spec,
        language=language,
        cwd=(order.cwd or path.parent).absolute(),
        output=order.output.absolute(),
        objects=objects,
        returns=order.returns,
        optional=_tagged_outputs(notebook),
        cell_timeout=timeout,
        timeout=order.timeout.total_seconds() if order.timeout else None,
        state_dir=order.state_dir,
        artifacts=artifacts,
        output_limit=output_limit,
        hooks=hooks,
        keep=holding.wanted(order),
        start=hooks.start if isinstance(hooks, SharedPrefix | HeldKernelHooks) else None,
    )


def _tagged_outputs(notebook: NotebookNode) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for at in source.tagged(notebook, "outputs"):
        names.update(dict.fromkeys(injection.assigned_names(notebook.cells[at].source)))
    return tuple(names)


def run_plan(plan: Plan, on_event: Callable[[CellEvent], None]) -> Mapping[str, object]:
    """Run a prepared notebook to its end, in a thread with a loop of its own."""
    stop = Stop()
    return in_own_thread(lambda: Execution(plan, on_event, stop).run(), stop)


class _Stopped(BaseException):
    """SIGTERM arrived where nobody else handles it."""


def in_own_thread(work: Callable[[], Coroutine[Any, Any, T]], stop: Stop) -> T:
    """Run a coroutine in a new thread, with this one's context, and wait for it.

    Whatever is raised here meanwhile (Ctrl-C, a signal handler's exception) asks the work
    to stop, waits until it has, and goes on its way.
    """
    context = contextvars.copy_context()
    pool = ThreadPoolExecutor(1, thread_name_prefix="mlflowkit-notebook")
    with _sigterm_raises() as terminate:
        running = pool.submit(context.run, lambda: asyncio.run(work()))
        try:
            while not wait([running], timeout=_STEP_SECONDS).done:
                pass
        except BaseException as exc:
            stop.ask()
            with suppress(KeyboardInterrupt):  # a second Ctrl-C gives up waiting
                wait([running], timeout=_STOP_SECONDS)
            _tell_where(exc, running)
            if isinstance(exc, _Stopped):
                terminate()
            raise
        finally:
            pool.shutdown(wait=False)
    return running.result()


def _tell_where(exc: BaseException, running: Future[Any]) -> None:
    """Whoever shows what stopped the notebook says where that was: see `telling.story`."""
    failed = running.exception() if running.done() and not running.cancelled() else None
    if isinstance(failed, CellFailed):
        vars(exc)["story"] = failed.story


@contextmanager
def _sigterm_raises() -> Iterator[Callable[[], None]]:
    """Turn a SIGTERM that would kill this process into an exception, for a moment.

    Gives a function that lets the signal do its work after all.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield lambda: None
        return

    def handler(*_: object) -> None:
        raise _Stopped

    def terminate() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, handler)
    try:
        yield terminate
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
