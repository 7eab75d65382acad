"""Notebooks as tasks: `notebook("fit.ipynb", rows=rows, returns=["model"])`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from mlflowkit.authoring.callers import caller_folder
from mlflowkit.authoring.mapping import checked_axes
from mlflowkit.authoring.opened import current_dag
from mlflowkit.authoring.operator import TASK_OPTIONS, BaseOperator, seconds
from mlflowkit.authoring.refs import XComArg, has_refs
from mlflowkit.errors import (
    BadOption,
    CannotExpand,
    NoDagOpen,
    NotebookMissing,
    NotInTask,
)
from mlflowkit.ports import NotebookOrder, running_task
from mlflowkit.settings import root

#: Names that are options of a notebook task; every other keyword is a parameter.
NOTEBOOK_OPTIONS: Final = TASK_OPTIONS | {
    "returns",
    "params",
    "kernel_name",
    "cell_timeout",
}


class NotebookOperator(BaseOperator):
    """Executes a notebook in a kernel of its own, in the notebook's folder.

    Its XComs are what it returns and pushes, by name; its return value says where the
    executed notebook is.

    Args:
        path: Beside the file that names it, or in the root.
        parameters: Values for names of its `parameters` cell.
        returns: Names to take out of the kernel at the end.
        cell_timeout: Most time that one cell may take.
    """

    def __init__(
        self,
        task_id: str,
        *,
        path: str | Path,
        parameters: Mapping[str, object] | None = None,
        returns: Sequence[str] | str = (),
        kernel_name: str | None = None,
        cell_timeout: timedelta | float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        self.path = str(find_notebook(path))
        self.parameters: dict[str, object] = dict(parameters or {})
        self.returns = (returns,) if isinstance(returns, str) else tuple(returns)
        self.kernel_name = kernel_name
        self.cell_timeout = seconds("cell_timeout", cell_timeout, where)
        #: A copy that was made when the run was started, in the bundle.
        self.snapshot = ""

    def execute(self, context: Mapping[str, Any]) -> object:
        task = running_task()
        if task is None:
            raise NotInTask("a notebook task")
        source, output = Path(self.path), output_path(context["ti"], Path(self.path))
        order = NotebookOrder(
            path=Path(self.snapshot) if self.snapshot else source,
            parameters=self.parameters,
            returns=self.returns,
            output=output,
            cwd=source.parent,
            kernel_name=self.kernel_name,
            cell_timeout=self.cell_timeout,
            state_dir=Path(context["ti"].state_dir),
        )
        values = task.notebooks.run(order, task.cell_event)
        for name, value in values.items():
            task.push(name, value)
        return {
            "notebook": self.path,
            "executed": str(output),
            "values": sorted(values),
        }

    def check_parameters(self) -> None:
        """Do the parameters fit the notebook's `parameters` cell?

        Raises:
            UnknownParameter, WrongType, NotebookError: they do not, or it cannot be run.
        """
        from mlflowkit.authoring.runtime import part

        path = Path(self.path)
        declared = {p.name for p in part("mlflowkit.nbrun.parameters", "infer")(path)}
        known = {n: v for n, v in self.parameters.items() if not has_refs(v)}
        later = (self.parameters.keys() | self.axes.keys()) - known.keys() - declared
        given = {**dict.fromkeys(sorted(later)), **known}
        part("mlflowkit.nbrun.parameters", "check")(path, given, self.kernel_name)

    def take_mapped(self, mapped: Mapping[str, object]) -> None:
        self.parameters = {**self.parameters, **mapped}

    def arguments(self) -> dict[str, object]:
        return {"parameters": self.parameters}


def find_notebook(path: str | Path) -> Path:
    """The notebook beside the file that names it, else in the root.

    Raises:
        NotebookMissing: it is in neither.
    """
    wanted = Path(path).expanduser()
    places = [caller_folder() / wanted, root() / wanted]
    for found in places:
        if found.is_file():
            return found.resolve()
    near = [one.name for place in places for one in place.parent.glob("*.ipynb")]
    raise NotebookMissing(path, places, near)


def output_path(ti: Any, source: Path) -> Path:
    """Where the executed notebook goes."""
    base = getattr(ti, "output_base", "")
    return Path(f"{base}.ipynb") if base else Path(ti.state_dir) / source.name


class NotebookTask:
    """`notebook(...)` adds a notebook task to the DAG; `.partial(...).expand(...)` maps it."""

    def __call__(self, path: str | Path, **given: Any) -> XComArg:
        """Add a task that executes the notebook.

        Args:
            path: Beside the file that names it, or in the root.
            given: Options of tasks, `returns`, `kernel_name`, `cell_timeout`; all other
                names are parameters of the notebook, and so is what `params={...}` holds.

        Raises:
            NotebookMissing: there is no such notebook.
        """
        return _make(path, given, {})

    def partial(self, path: str | Path, **given: Any) -> MappedNotebook:
        """What all instances of a mapped notebook task share; `.expand()` comes next."""
        return MappedNotebook(path, given)

    def __repr__(self) -> str:
        return 'notebook("x.ipynb", returns=[...], parameter=...)'


class MappedNotebook:
    """A notebook with shared parameters, waiting for `.expand()`."""

    def __init__(self, path: str | Path, given: Mapping[str, Any]) -> None:
        self._path, self._given = path, given

    def expand(self, **axes: object) -> XComArg:
        """One task instance for each combination of the items of `axes`."""
        return _make(self._path, self._given, axes)


def _make(
    path: str | Path, given: Mapping[str, Any], axes: Mapping[str, object]
) -> XComArg:
    dag = given.get("dag") or current_dag()
    if dag is None:
        raise NoDagOpen(f"notebook({str(path)!r})", "")
    options = {k: v for k, v in given.items() if k in NOTEBOOK_OPTIONS}
    parameters = {k: v for k, v in given.items() if k not in options}
    inside = dict(options.pop("params", None) or {})
    where = f"notebook({str(path)!r})"
    for name in sorted(set(inside) & set(parameters)):
        raise BadOption(where, name, "is given as a keyword and in params: give it once")
    parameters |= inside
    for name in sorted(set(axes) & set(parameters)):
        raise CannotExpand(where, f"{name} is in .partial() and in .expand()")
    wanted = str(options.pop("task_id", "")) or re.sub(r"[^\w.-]+", "_", Path(path).stem)
    made = NotebookOperator(
        dag.free_task_id(wanted), path=path, parameters=parameters, **options
    )
    made.axes = checked_axes(where, axes) if axes else {}
    return made.output


notebook = NotebookTask()
