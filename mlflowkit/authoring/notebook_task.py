"""`notebook("fit.ipynb", rows=rows)`: a notebook becomes a task of the DAG being written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring.axes import checked_axes, checked_kwargs
from mlflowkit.authoring.defaults import surroundings_of
from mlflowkit.authoring.notebook import (
    NOTEBOOK_OPTIONS,
    NotebookOperator,
    find_notebook,
)
from mlflowkit.authoring.notebook_edges import check_mapped
from mlflowkit.authoring.refs import XComArg
from mlflowkit.authoring.template import holds_template
from mlflowkit.errors import BadOption, NoDagOpen

if TYPE_CHECKING:
    from mlflowkit.authoring.group import TaskGroup


class NotebookTask:
    """`notebook(...)` adds a notebook task to the DAG; `.partial(...).expand(...)` maps it."""

    def __call__(self, path: str | Path, /, **given: Any) -> XComArg:
        """Add a task that executes the notebook.

        Args:
            path: Beside the file that names it, or in the root.
            given: Options of tasks, `returns`, `kernel_name`, `cell_timeout`; all other
                names are parameters of the notebook, and so is what `params={...}` holds.

        Raises:
            NotebookMissing: there is no such notebook.
        """
        return _make(path, given, _not_mapped)

    def partial(self, path: str | Path, /, **given: Any) -> MappedNotebook:
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
        return _make(
            self._path, self._given, lambda w, s, g: checked_axes(w, axes, s, inside=g)
        )

    def expand_kwargs(self, kwargs: object) -> XComArg:
        """One task instance for each item of `kwargs`: dicts of parameters, or an output."""
        return _make(
            self._path, self._given, lambda w, s, g: checked_kwargs(w, kwargs, s, inside=g)
        )


def _not_mapped(*_: object) -> dict[str, object]:
    return {}


#: Gives checked axes from: where that is, names of shared parameters, the group around it.
_Over = Callable[[str, Iterable[str], "TaskGroup | None"], dict[str, object]]


def _make(path: str | Path, given: Mapping[str, Any], over: _Over) -> XComArg:
    dag, group = surroundings_of(given)
    if dag is None:
        raise NoDagOpen(f"notebook({str(path)!r})", "")
    options = {k: v for k, v in given.items() if k in NOTEBOOK_OPTIONS}
    parameters = {k: v for k, v in given.items() if k not in options}
    inside = dict(options.pop("params", None) or {})
    where = f"notebook({str(path)!r})"
    for name in sorted(set(inside) & set(parameters)):
        raise BadOption(where, name, "is given as a keyword and in params: give it once")
    parameters |= inside
    axes = over(where, parameters, group)
    if options.get("share_prefix") and not axes:
        problem = (
            "is for mapped notebooks: notebook.partial(..., share_prefix=True).expand(...)"
        )
        raise BadOption(where, "share_prefix", problem)
    if not holds_template(str(path)):
        check_mapped(find_notebook(path), axes)
    wanted = str(options.pop("task_id", "")) or re.sub(r"[^\w.-]+", "_", Path(path).stem)
    made = NotebookOperator(
        dag.free_task_id(wanted, group), path=path, parameters=parameters, **options
    )
    made.axes = axes
    return made.output


notebook = NotebookTask()
