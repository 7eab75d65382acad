"""PapermillOperator: a notebook task, with the executed notebook copied to `output_nb`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlflowkit.authoring.notebook import NotebookOperator
from mlflowkit.compat.airflow.missing import missing
from mlflowkit.errors import BadOption


class PapermillOperator(NotebookOperator):
    """Executes a notebook with parameters.

    Args:
        input_nb: The notebook, beside the file that names it or in the root.
        output_nb: Where the executed one is copied to; None: only where runs keep theirs.
        parameters: For its `parameters` cell.
        kernel_name: The notebook's own if None.

    Raises:
        AirflowFeatureMissing: `kernel_conn_id`: kernels elsewhere are not here.
    """

    template_fields: ClassVar[Sequence[str]] = ("path", "output_nb", "parameters")

    def __init__(
        self,
        task_id: str,
        *,
        input_nb: str | Path | None = None,
        output_nb: str | Path | None = None,
        parameters: Mapping[str, object] | None = None,
        kernel_name: str | None = None,
        language_name: str | None = None,
        kernel_conn_id: str | None = None,
        **options: Any,
    ) -> None:
        del language_name  # the kernel says it
        if input_nb is None:
            raise BadOption(f"task {task_id!r}", "input_nb", "must name a notebook")
        if kernel_conn_id:
            raise missing("kernel_conn_id=", "the kernel runs beside its task: take it out")
        super().__init__(
            task_id,
            path=_path_of(input_nb),
            parameters=parameters,
            kernel_name=kernel_name,
            **options,
        )
        self.output_nb = _path_of(output_nb) if output_nb else ""

    def execute(self, context: Mapping[str, Any]) -> object:
        found = super().execute(context)
        if self.output_nb and isinstance(found, dict):
            target = Path(self.output_nb)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found["executed"], target)
        return found

    def arguments(self) -> dict[str, object]:
        return {**super().arguments(), "output_nb": self.output_nb}


def _path_of(given: object) -> str:
    """A path, a `file://` URL, or Airflow's NoteBook with a `url`."""
    text = str(getattr(given, "url", given))
    return text.removeprefix("file://")
