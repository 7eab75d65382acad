"""`papermill --engine mlflowkit`: our execution behind papermill's own command and library.

`execute_notebook` is overridden, not `execute_managed_notebook`: papermill's manager marks
cells that never ran as completed. Imported whenever papermill is, so nothing else of ours
is imported before it is used.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from papermill.engines import Engine

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.errors import CellFailed
    from mlflowkit.nbrun.plan import Plan
    from mlflowkit.ports import CellEvent

log = logging.getLogger("papermill")


class MlflowkitEngine(Engine):  # type: ignore[misc]  # papermill has no types
    """Honest statuses in the metadata, IPC sockets, a kernel that dies with papermill."""

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        execution_timeout: float | None = None,
        **options: Any,
    ) -> NotebookNode:
        """Execute a notebook whose parameters papermill has put in.

        Returns:
            The executed notebook. papermill looks for errors in it, and raises them.

        Raises:
            PapermillExecutionError: the kernel died, or a cell took too long.
        """
        import tempfile

        from mlflowkit.errors import CellFailed
        from mlflowkit.nbrun.engine import run_plan

        with tempfile.TemporaryDirectory(prefix="mlflowkit-papermill-") as folder:
            timeout = execution_timeout or options.get("timeout")
            plan = _plan(nb, kernel_name, options, Path(folder) / "executed.ipynb", timeout)
            with _Watcher(nb, progress_bar, log_output) as watcher:
                try:
                    run_plan(plan, watcher.see)
                except CellFailed as exc:
                    if (
                        exc.status != "error"
                    ):  # papermill finds a cell's error in its outputs
                        raise _as_papermill(exc, nb, output_path) from exc
                except BaseException:
                    _write(nb, output_path)
                    raise
        return nb


def _plan(
    nb: NotebookNode,
    kernel_name: str,
    options: dict[str, Any],
    output: Path,
    timeout: float | None,
) -> Plan:
    from mlflowkit.nbrun import source
    from mlflowkit.nbrun.plan import Plan

    path = Path(options.get("input_path") or "notebook.ipynb")
    spec = source.kernel_spec(path, nb, kernel_name)
    return Plan(
        name=path.name,
        notebook=nb,
        spec=spec,
        language=source.language(nb, spec),
        cwd=Path.cwd(),
        output=output,
        cell_timeout=timeout,
    )


def _as_papermill(exc: CellFailed, nb: NotebookNode, output_path: str | None) -> Exception:
    from papermill.exceptions import (
        PapermillExecutionError,
    )

    _write(nb, output_path)
    error: Exception = PapermillExecutionError(
        cell_index=exc.cell,
        exec_count=nb.cells[exc.cell].execution_count,
        source=exc.source,
        ename=exc.ename,
        evalue=exc.evalue,
        traceback=[str(exc)],
    )
    return error


def _write(nb: NotebookNode, output_path: str | None) -> None:
    from papermill.iorw import write_ipynb

    if output_path:
        write_ipynb(nb, output_path)


class _Watcher:
    """papermill's progress bar and log, fed by our events."""

    def __init__(
        self, nb: NotebookNode, bar: bool | dict[str, Any], log_output: bool
    ) -> None:
        self._nb, self._log_output, self._bar = nb, log_output, None
        if bar:
            from tqdm.auto import tqdm  # type: ignore[import-untyped]  # no stubs

            options = {
                "unit": "cell",
                "desc": "Executing",
                **(bar if isinstance(bar, dict) else {}),
            }
            self._bar = tqdm(total=len(nb.cells), **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def see(self, event: CellEvent) -> None:
        """Show one event."""
        if event.kind == "cell_started" and self._log_output:
            log.info("Executing Cell %s", event.cell + 1)
        if event.kind == "cell_output" and self._log_output:
            log.info("%s", str(event.facts.get("text", "")).rstrip())
        if event.kind == "cell_ended" and self._bar is not None:
            self._bar.update(event.cell + 1 - self._bar.n)
        if event.kind == "notebook_ended" and self._bar is not None:
            done = event.facts.get("status") == "completed"
            self._bar.update(len(self._nb.cells) - self._bar.n if done else 0)
