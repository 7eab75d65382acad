"""`papermill --engine mlflowkit`: our execution behind papermill's own command and library.

`execute_notebook` is overridden, not `execute_managed_notebook`: papermill's manager marks
cells that never ran as completed. Imported whenever papermill is, so nothing else of ours
is imported before it is used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from papermill.engines import Engine

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mlflowkit.errors import CellFailed
    from mlflowkit.nbrun.plan import Plan
    from mlflowkit.ports import CellEvent

log = logging.getLogger("papermill")
#: After a save, this many times as long passes before the next one.
_SAVING: Final = 10.0


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

        The output notebook is saved as cells end. One that skips itself has ended well.

        Returns:
            The executed notebook. papermill looks for errors in it, and raises them.

        Raises:
            PapermillExecutionError: the kernel died, or a cell took too long.
        """
        import tempfile
        from dataclasses import replace

        from mlflowkit.errors import CellFailed, TaskSkipped
        from mlflowkit.nbrun.engine import run_plan

        with tempfile.TemporaryDirectory(prefix="mlflowkit-papermill-") as folder:
            timeout = execution_timeout or options.get("timeout")
            plan = _plan(nb, kernel_name, options, Path(folder) / "executed.ipynb", timeout)
            files = {name: options.get(f"{name}_file") for name in ("stdout", "stderr")}
            text = _Text(log_output, files)
            with _Watcher(nb, progress_bar, log_output, output_path) as watcher:
                try:
                    run_plan(replace(plan, heard=text.hear), watcher.see)
                except TaskSkipped as exc:
                    log.info("%s", exc)
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
    from mlflowkit.nbrun import injection, source
    from mlflowkit.nbrun.plan import Plan

    path = Path(options.get("input_path") or "notebook.ipynb")
    spec = source.kernel_spec(path, nb, kernel_name)
    language = source.language(nb, spec)
    return Plan(
        name=path.name,
        notebook=nb,
        spec=spec,
        language=language,
        cwd=Path.cwd(),
        output=output,
        objects=injection.typed_again(nb) if language == "python" else {},
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


class _Text:
    """What cells put out, in papermill's log and in the files that it was given."""

    def __init__(self, log_output: bool, files: Mapping[str, TextIO | None]) -> None:
        self._log_output, self._files = log_output, files

    def hear(self, name: str, text: str) -> None:
        """Take in a text of a stream, or of what was shown."""
        if self._log_output and text.strip():
            level = logging.WARNING if name == "stderr" else logging.INFO
            log.log(level, "%s", text.rstrip("\n"))
        file = self._files.get(name)
        if file is not None:
            file.write(text)
            file.flush()


class _Watcher:
    """papermill's progress bar, cells in its log and saved notebook, fed by our events."""

    def __init__(
        self,
        nb: NotebookNode,
        bar: bool | dict[str, Any],
        log_output: bool,
        output_path: str | None,
    ) -> None:
        self._nb, self._log_output, self._bar = nb, log_output, None
        self._output_path, self._save_after = output_path, 0.0
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
        if event.kind in ("notebook_started", "cell_ended"):
            self._save()
        if event.kind == "cell_ended" and self._bar is not None:
            self._bar.update(event.cell + 1 - self._bar.n)
        if event.kind == "notebook_ended" and self._bar is not None:
            done = event.facts.get("status") == "completed"
            self._bar.update(len(self._nb.cells) - self._bar.n if done else 0)

    def _save(self) -> None:
        """Save the notebook as it is, unless saving takes more than its share of the time."""
        begun = monotonic()
        if self._output_path and begun >= self._save_after:
            _write(self._nb, self._output_path)
            self._save_after = monotonic() + _SAVING * (monotonic() - begun)
