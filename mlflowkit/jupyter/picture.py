"""What a cell shows for a DAG: its picture with the states of its last run, and a text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mlflowkit.core.graph import graph_of, words
from mlflowkit.core.graph_svg import image_of, svg_of
from mlflowkit.core.spec import DagSpec
from mlflowkit.core.view import RunView
from mlflowkit.errors import MlflowkitError, UserError
from mlflowkit.settings import home

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def picture(dag: DAG) -> dict[str, str]:
    """By MIME type: HTML, SVG, and text for a plain terminal."""
    try:
        spec = dag.spec()
    except UserError as exc:
        text = f"DAG {dag.dag_id} cannot be drawn: {exc}"
        return {"text/plain": text, "text/html": f"<pre>{escape(text)}</pre>"}
    run = last_run(spec)
    graph = graph_of(spec, run)
    return {
        "text/html": image_of(graph),
        "image/svg+xml": svg_of(graph),
        "text/plain": text_of(spec, run),
    }


def text_of(spec: DagSpec, run: RunView | None = None) -> str:
    """A line for each task, in the order in which they run, with what it waits for."""
    states = {t.task_id: t.state for t in run.tasks} if run is not None else {}
    count = len(spec.tasks)
    said = f"; run {run.run_id}: {run.state}" if run is not None else ""
    lines = [f"DAG {spec.dag_id}: {count} task{'s' * (count != 1)}{said}"]
    for name, task in spec.tasks.items():
        above = f"{', '.join(task.upstream)} >> " if task.upstream else ""
        axes = ", ".join(a.name for a in task.expansion.axes) if task.expansion else ""
        mapped = f" (mapped over {axes})" if axes else ""
        state = f"  [{words(states[name])}]" if name in states else ""
        lines.append(f"  {above}{name}{mapped}{state}")
    return "\n".join(lines)


def last_run(spec: DagSpec) -> RunView | None:
    """The latest run of a DAG of this shape; None where there is none, or it cannot be read."""
    folder = home()
    if not (folder / "store.db").is_file():
        return None
    try:
        return _last_run(spec)
    except (MlflowkitError, OSError):
        return None


def _last_run(spec: DagSpec) -> RunView | None:
    from mlflowkit.handles.run import RunHandle
    from mlflowkit.home_store import database
    from mlflowkit.store import reading

    folder = home()
    with database(folder).reading() as tx:
        found = reading.list_runs(tx, spec.dag_id, limit=1)
    if not found:
        return None
    view = RunHandle(found[0].run_id, folder).view()
    same = {t.task_id: set(t.upstream) for t in view.tasks} == {
        str(n): set(t.upstream) for n, t in spec.tasks.items()
    }
    return view if same else None
