"""The picture of a DAG as plain data: boxes with titles, kinds and states, in their places.

Made of a `DagSpec`, and of a `RunView` where it has run. Every face that draws a DAG draws
this; `graph_svg` does it for a notebook. Works out no state: those of the view are shown.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mlflowkit.core.folding import Fold, Task, arrows_between, fold, title_of
from mlflowkit.core.layout import lay_out
from mlflowkit.core.layout_shapes import Arrow, Direction, Group, Layout, Node
from mlflowkit.core.spec import DagSpec, TaskId, TaskSpec
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import RunView, TaskView

Kind = Literal["task", "notebook", "branch", "sensor", "setup", "teardown", "fold"]
#: Boxes up to which every task has its own.
LIMIT: Final = 150
#: Pixels that a picture may be wide before it is drawn downwards.
WIDE: Final = 1250.0
BOX_HEIGHT: Final = 46.0
TITLE_PX: Final = 13.0
DETAIL_PX: Final = 11.0
#: Letters of a title that are shown; the whole one is in the tooltip.
LONGEST: Final = 34
#: Room in a box beside its texts: the icon, and the borders.
_BESIDE: Final = 52.0
#: What several tasks in one box show: the first of these that one of them is in.
_LOUDEST: Final = (
    TaskState.RUNNING,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.UP_FOR_RETRY,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.NONE,
    TaskState.SUCCESS,
    TaskState.SKIPPED,
    TaskState.REMOVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A box."""

    id: str
    title: str
    #: The line below: its operator, or its state in words.
    detail: str
    kind: Kind
    mapped: bool
    #: The tasks it stands for: itself, or all that were folded into it.
    members: tuple[str, ...]
    #: A `TaskState`; empty where the DAG has not run.
    state: str
    #: Everything there is to say, for a tooltip.
    tooltip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphGroup:
    """A frame."""

    id: str
    title: str
    tooltip: str
    mapped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A DAG, ready to be drawn."""

    dag_id: str
    #: `5 tasks, @daily`, and the run whose states are shown.
    caption: str
    nodes: Mapping[str, GraphNode]
    groups: Mapping[str, GraphGroup]
    #: Texts at arrows, by (upstream, downstream).
    labels: Mapping[tuple[str, str], str]
    layout: Layout


def graph_of(
    spec: DagSpec,
    run: RunView | None = None,
    *,
    limit: int = LIMIT,
    direction: Direction | None = None,
) -> Graph:
    """The picture of a DAG.

    Args:
        run: Whose states are shown; None for none.
        limit: Boxes; of more tasks, some are folded into one box.
        direction: None: to the right, unless that is wide and downwards is not.
    """
    views = {t.task_id: t for t in run.tasks} if run is not None else {}
    around = _around(spec)
    tasks = [Task(n, t.upstream, around.get(n, ())) for n, t in spec.tasks.items()]
    folds = fold(tasks, limit)
    short = {t.id: _short(t) for t in tasks}
    nodes = {one.id: _node(spec, one, views, short) for one in folds}
    framed = {f.id: f.group if f.how in ("", "alike", "chain") else "" for f in folds}
    groups = _groups(spec, {g for g in framed.values() if g})
    labels = {
        (str(e.upstream), str(e.downstream)): _cut(e.text)
        for e in spec.edge_labels
        if e.text and e.upstream in nodes and e.downstream in nodes
    }
    shapes = [Node(n.id, _width(n), BOX_HEIGHT, framed[n.id]) for n in nodes.values()]
    arrows = [
        Arrow(up, down, text_width(labels.get((up, down), ""), DETAIL_PX))
        for up, down in arrows_between(folds, tasks)
    ]
    frames = [
        Group(g.id, spec.groups[g.id].parent, text_width(g.title, TITLE_PX) + 12)
        for g in groups.values()
    ]
    return Graph(
        dag_id=spec.dag_id,
        caption=_caption(spec, run, len(nodes)),
        nodes=nodes,
        groups=groups,
        labels=labels,
        layout=_laid_out(shapes, arrows, frames, direction),
    )


def _laid_out(
    shapes: Sequence[Node],
    arrows: Sequence[Arrow],
    frames: Sequence[Group],
    direction: Direction | None,
) -> Layout:
    made = lay_out(shapes, arrows, frames, direction=direction or "right")
    if direction is None and made.width > WIDE:
        down = lay_out(shapes, arrows, frames, direction="down")
        return down if down.width <= WIDE else made
    return made


# ── boxes ──


def _node(
    spec: DagSpec, one: Fold, views: Mapping[str, TaskView], short: Mapping[str, str]
) -> GraphNode:
    seen = [views[m] for m in one.members if m in views]
    task = spec.tasks[TaskId(one.members[0])]
    title = title_of(one, short)
    state = next((s for s in _LOUDEST if any(v.state is s for v in seen)), None)
    detail = _state_words(seen) if seen else _detail(one, task)
    return GraphNode(
        id=one.id,
        title=_cut(title),
        detail=detail,
        kind="fold" if one.how else _kind(task),
        mapped=not one.how and task.expansion is not None,
        members=one.members,
        state=str(state) if state is not None else "",
        tooltip=_tooltip(one, task, seen, title),
    )


def _detail(one: Fold, task: TaskSpec) -> str:
    if one.how:
        return f"{len(one.members)} tasks"
    return f"{task.operator}, mapped" if task.expansion is not None else task.operator


def _state_words(seen: Sequence[TaskView]) -> str:
    """`success`, or `38 success, 2 failed` where there are several."""
    counts: Counter[TaskState] = Counter()
    for view in seen:
        if view.mapped:
            counts.update(view.counts)
        else:
            counts[view.state] += 1
    if len(seen) == 1 and not seen[0].mapped:
        return words(seen[0].state)
    found = [f"{counts[s]} {words(s)}" for s in _LOUDEST if counts[s]]
    return ", ".join(found[:3]) or "not expanded yet"


def words(state: str) -> str:
    """A state as people read it: `up for retry`; `none` is waiting."""
    return "waiting" if state == TaskState.NONE else str(state).replace("_", " ")


def _tooltip(one: Fold, task: TaskSpec, seen: Sequence[TaskView], title: str) -> str:
    if one.how:
        shown = ", ".join(one.members[:12])
        more = f" and {len(one.members) - 12} more" if len(one.members) > 12 else ""
        return f"{title}: {shown}{more}"
    lines = [f"{task.task_id} ({task.operator})"]
    if seen:
        reason = f": {seen[0].reason}" if seen[0].reason else ""
        lines.append(f"{_state_words(seen)}{reason}")
    rule = str(task.trigger_rule)
    lines += [f"trigger rule {rule}"] if rule != "all_success" else []
    lines += [task.doc.splitlines()[0]] if task.doc else []
    return "\n".join(lines)


def _kind(task: TaskSpec) -> Kind:
    name = task.operator.lower()
    if task.setup or task.teardown:
        return "setup" if task.setup else "teardown"
    if "branch" in name or "short" in name or name == "latestonlyoperator":
        return "branch"
    if "notebook" in name or "papermill" in name:
        return "notebook"
    return "sensor" if "sensor" in name else "task"


def _short(task: Task) -> str:
    """Its id without what its frame says already."""
    return task.id.removeprefix(f"{task.groups[0]}.") if task.groups else task.id


def _around(spec: DagSpec) -> dict[str, tuple[str, ...]]:
    """The groups around each task that stands in one, the innermost first."""
    found: dict[str, tuple[str, ...]] = {}
    for name, group in spec.groups.items():
        chain = [name]
        while spec.groups[chain[-1]].parent:
            chain.append(spec.groups[chain[-1]].parent)
        found |= {str(task): tuple(chain) for task in group.tasks}
    return found


def _groups(spec: DagSpec, needed: set[str]) -> dict[str, GraphGroup]:
    """The groups that hold a box, and those around them."""
    wanted = set[str]()
    for group in needed:
        inner = group
        while inner and inner not in wanted:
            wanted.add(inner)
            inner = spec.groups[inner].parent
    return {
        name: GraphGroup(
            id=name,
            title=_cut(g.label or name),
            tooltip=f"{name}\n{g.tooltip}".strip(),
            mapped=g.mapped,
        )
        for name, g in spec.groups.items()
        if name in wanted
    }


# ── texts ──


def _caption(spec: DagSpec, run: RunView | None, boxes: int) -> str:
    count = len(spec.tasks)
    parts = [f"{count} task{'s' * (count != 1)}"]
    parts += [f"drawn as {boxes} boxes"] if boxes < count else []
    parts += [spec.schedule] if spec.schedule else []
    if run is not None:
        reason = f" ({run.reason})" if run.reason else ""
        parts.append(f"run {run.run_id}: {run.state}{reason}")
    return " · ".join(parts)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[-half + 1 :]}"


def text_width(text: str, pixels: float) -> float:
    """About how wide a text is in a sans-serif font of that size; rather more than less."""
    wide = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else _narrow(c) for c in text)
    bold = 1.1 if pixels == TITLE_PX else 1.0
    return round(wide * pixels * bold, 1)


def _narrow(letter: str) -> float:
    if letter in "iljtfI.,:;'|!()[] ":
        return 0.36
    return 0.84 if letter in "mwMW@%" else 0.62


def _width(node: GraphNode) -> float:
    detail = text_width(node.detail, DETAIL_PX)
    if node.state and len(node.members) == 1 and not node.mapped:
        detail = text_width("upstream failed", DETAIL_PX)  # it does not grow while it runs
    return _BESIDE + max(text_width(node.title, TITLE_PX), detail)
