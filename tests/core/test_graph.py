"""The picture of a DAG: what is in the boxes, what is folded, and the SVG that is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from mlflowkit.core.graph import graph_of
from mlflowkit.core.graph_svg import COLOURS, image_of, svg_of
from mlflowkit.core.spec import (
    Axis,
    DagId,
    DagSpec,
    EdgeLabel,
    Expansion,
    GroupSpec,
    TaskId,
    TaskSpec,
)
from mlflowkit.core.states import TaskState
from mlflowkit.core.view import RunView, TaskView

NAMES = "{http://www.w3.org/2000/svg}"


def spec(
    tasks: Mapping[str, tuple[str, ...]],
    *,
    operators: Mapping[str, str] | None = None,
    **more: object,
) -> DagSpec:
    mapped = Expansion(axes=(Axis(name="x", length=3),))
    found = {
        TaskId(name): TaskSpec(
            task_id=TaskId(name),
            upstream=tuple(map(TaskId, up)),
            operator=(operators or {}).get(name, "@task"),
            expansion=mapped if name.startswith("mapped") else None,
        )
        for name, up in tasks.items()
    }
    return DagSpec(dag_id=DagId("d"), tasks=found, **more)  # type: ignore[arg-type]


def run_of(dag: DagSpec, states: Mapping[str, TaskState]) -> RunView:
    tasks = tuple(
        TaskView(
            task_id=name,
            operator=task.operator,
            upstream=tuple(task.upstream),
            mapped=task.expansion is not None,
            state=states[name],
            counts={states[name]: 2, TaskState.SUCCESS: 1}
            if task.expansion
            else {states[name]: 1},
        )
        for name, task in dag.tasks.items()
    )
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return RunView(
        run_id="d/3",
        dag_id="d",
        run_type="manual",
        state="running",
        reason="",
        interrupted=False,
        created_at=now,
        started_at=now,
        ended_at=None,
        tasks=tasks,
    )


def texts(svg: str) -> list[str]:
    tree = ElementTree.fromstring(svg)
    return ["".join(t.itertext()) for t in tree.iter(f"{NAMES}text")]


def test_boxes_say_what_kind_of_task_they_are() -> None:
    operators = {
        "wait": "@task.sensor",
        "fit": "NotebookOperator",
        "choose": "@task.branch",
        "load": "@task",
    }
    dag = spec(
        {"wait": (), "load": ("wait",), "fit": ("load",), "choose": ("fit",)},
        operators=operators,
    )
    graph = graph_of(dag)
    assert {n: (b.kind, b.detail, b.state) for n, b in graph.nodes.items()} == {
        "wait": ("sensor", "@task.sensor", ""),
        "load": ("task", "@task", ""),
        "fit": ("notebook", "NotebookOperator", ""),
        "choose": ("branch", "@task.branch", ""),
    }
    assert graph.caption == "4 tasks"


def test_a_run_shows_in_each_box_as_a_colour_a_sign_and_a_word() -> None:
    dag = spec({"load": (), "mapped": ("load",), "tell": ("mapped",)})
    states = {
        "load": TaskState.SUCCESS,
        "mapped": TaskState.FAILED,
        "tell": TaskState.UPSTREAM_FAILED,
    }
    graph = graph_of(dag, run_of(dag, states))
    assert {n: (b.state, b.detail) for n, b in graph.nodes.items()} == {
        "load": ("success", "success"),
        "mapped": ("failed", "2 failed, 1 success"),
        "tell": ("upstream_failed", "upstream failed"),
    }
    assert graph.caption == "3 tasks · run d/3: running"
    svg = svg_of(graph)
    assert texts(svg)[1:] == [
        "load",
        "success",
        "mapped",
        "2 failed, 1 success",
        "tell",
        "upstream failed",
    ]
    assert {state for state, colour in COLOURS.items() if f'fill="{colour}"' in svg} == {
        "success",
        "failed",
        "upstream_failed",
    }


def test_every_state_has_a_colour_and_a_sign() -> None:
    dag = spec({str(state): () for state in TaskState})
    graph = graph_of(dag, run_of(dag, {str(s): s for s in TaskState}))
    tree = ElementTree.fromstring(svg_of(graph))
    signs = [p.get("d") for p in tree.iter(f"{NAMES}path") if p.get("stroke") == "#fff"]
    assert len(signs) == len(TaskState) == len(set(signs))


def test_whatever_a_text_holds_it_stays_a_text() -> None:
    bad = "</text><script>alert(1)</script>"
    dag = spec(
        {"a": (), "b": ("a",)},
        operators={"a": bad},
        edge_labels=(EdgeLabel(TaskId("a"), TaskId("b"), "<b>&"),),
        schedule='"<i>',
    )
    for picture in (svg_of(graph_of(dag)), image_of(graph_of(dag))):
        assert "<script" not in picture
        assert "<b>" not in picture
        assert "<i>" not in picture
    assert "<b>&" in texts(svg_of(graph_of(dag)))


def test_groups_are_frames_with_the_short_names_of_their_tasks() -> None:
    groups = {
        "prep": GroupSpec(group_id="prep", label="prep", tasks=(TaskId("prep.a"),)),
        "prep.in": GroupSpec(
            group_id="prep.in", parent="prep", label="in", tasks=(TaskId("prep.in.b"),)
        ),
    }
    dag = spec({"prep.a": (), "prep.in.b": ("prep.a",)}, groups=groups)
    graph = graph_of(dag)
    assert [n.title for n in graph.nodes.values()] == ["a", "b"]
    assert list(graph.layout.frames) == ["prep", "prep.in"]


CHAIN = {str(i): ((str(i - 1),) if i else ()) for i in range(1000)}
FAN = {
    "first": (),
    **{str(i): ("first",) for i in range(998)},
    "last": tuple(map(str, range(998))),
}
LAYERS = {
    f"{layer}.{i}": tuple(f"{layer - 1}.{j}" for j in {i, (i * 7 + 1) % 50} if layer)
    for layer in range(20)
    for i in range(50)
}


@pytest.mark.parametrize("tasks", [CHAIN, FAN, LAYERS], ids=["chain", "fan", "layers"])
def test_a_thousand_tasks_are_folded_into_boxes_that_name_them_all(
    tasks: dict[str, tuple[str, ...]],
) -> None:
    dag = spec(tasks)
    graph = graph_of(dag)
    assert len(graph.nodes) <= 150
    members = [m for node in graph.nodes.values() for m in node.members]
    assert sorted(members) == sorted(dag.tasks)
    assert f"drawn as {len(graph.nodes)} boxes" in graph.caption
    assert len(texts(svg_of(graph))) >= len(graph.nodes)


def test_a_graph_that_is_long_is_drawn_downwards() -> None:
    long = {str(i): ((str(i - 1),) if i else ()) for i in range(20)}
    assert graph_of(spec(long)).layout.direction == "down"
    assert graph_of(spec({"a": (), "b": ("a",)})).layout.direction == "right"
