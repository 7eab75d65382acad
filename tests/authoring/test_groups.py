"""Task groups: prefixes, arrows, defaults, and groups that are mapped."""

from __future__ import annotations

from typing import Any

import pytest

from mlflowkit import (
    DAG,
    BashOperator,
    EmptyOperator,
    Label,
    TaskGroup,
    chain,
    task,
    task_group,
)
from mlflowkit.authoring.arrows import chain_linear, cross_downstream
from mlflowkit.authoring.composed import Source
from mlflowkit.authoring.mapping import values_at
from mlflowkit.authoring.resolve import render
from mlflowkit.core.spec import Axis, EdgeLabel, Expansion, GroupSpec, XComRef
from mlflowkit.errors import (
    BadOption,
    CannotExpand,
    DuplicateGroupId,
    DuplicateTaskId,
    MissingParameter,
    NoDagOpen,
    NoSuchMember,
    NotYetKnown,
    UnknownOption,
    UnknownParameter,
)


@task
def load(n: int = 1) -> list[int]:
    return list(range(n))


@task
def add(x: int, y: int = 0) -> int:
    return x + y


def edges(d: DAG) -> dict[str, tuple[str, ...]]:
    return {name: spec.upstream for name, spec in d.spec().tasks.items()}


def idle(name: str) -> EmptyOperator:
    return EmptyOperator(task_id=name)


def test_tasks_of_a_group_have_its_prefix_and_arrows_reach_its_ends() -> None:
    with DAG("d") as d:
        start, end = idle("start"), idle("end")
        with TaskGroup("g", tooltip="what it is") as g:
            a, b = idle("a"), idle("b")
            idle("c")
            a >> b
        start >> g >> end
    assert edges(d) == {
        "start": (),
        "end": ("g.b", "g.c"),
        "g.a": ("start",),
        "g.b": ("g.a",),
        "g.c": ("start",),
    }
    assert d.spec().groups == {
        "g": GroupSpec(
            group_id="g", label="g", tooltip="what it is", tasks=("g.a", "g.b", "g.c")
        )
    }
    assert (a.label, g["a"] is a, [t.task_id for t in g.roots]) == (
        "a",
        True,
        ["g.a", "g.c"],
    )
    with pytest.raises(NoSuchMember, match="has no task or group 'd'"):
        g["d"]


def test_groups_nest_and_a_group_may_leave_out_its_prefix() -> None:
    with DAG("d") as d, TaskGroup("g"):
        with TaskGroup("h") as h:
            idle("a")
        with TaskGroup("i", prefix_group_id=False):
            idle("b")
            with TaskGroup("j"):
                idle("c")
        h >> idle("d")
    assert edges(d) == {"g.h.a": (), "b": (), "j.c": (), "g.d": ("g.h.a",)}
    told = {name: (g.parent, g.label, g.tasks) for name, g in d.spec().groups.items()}
    assert told == {
        "g": ("", "g", ("g.d",)),
        "g.h": ("g", "h", ("g.h.a",)),
        "g.i": ("g", "i", ("b",)),
        "j": ("g.i", "j", ("j.c",)),
    }


def test_groups_are_joined_with_groups_lists_and_chains() -> None:
    with DAG("d") as d:
        with TaskGroup("g") as g:
            idle("a") >> idle("b")
        with TaskGroup("h") as h:
            idle("c")
            idle("d")
        x, y, z = idle("x"), idle("y"), idle("z")
        g >> h
        [x, g] >> y
        chain(h, [y, z])
        z << g
    assert edges(d) == {
        "g.a": (),
        "g.b": ("g.a",),
        "h.c": ("g.b",),
        "h.d": ("g.b",),
        "x": (),
        "y": ("x", "g.b", "h.c", "h.d"),
        "z": ("h.c", "h.d", "g.b"),
    }
    with DAG("d") as d:
        with TaskGroup("g") as g:
            idle("a")
            idle("b")
        chain_linear(idle("x"), [g, idle("y")], idle("z"))
        cross_downstream([d.get_task("x"), d.get_task("y")], [idle("v"), idle("w")])
    assert edges(d) == {
        "g.a": ("x",),
        "g.b": ("x",),
        "x": (),
        "y": ("x",),
        "z": ("g.a", "g.b", "y"),
        "v": ("x", "y"),
        "w": ("x", "y"),
    }


def test_order_goes_through_an_empty_group() -> None:
    with DAG("d") as d:
        with TaskGroup("g") as g, TaskGroup("h") as h:
            pass
        idle("a") >> g >> idle("b")
        idle("c") >> Label("through") >> h >> [idle("e")]
    assert edges(d) == {"a": (), "b": ("a",), "c": (), "e": ("c",)}


def test_default_args_come_from_the_nearest_group() -> None:
    with DAG("d", default_args={"retries": 1, "owner": "dag"}) as d:
        with TaskGroup("g", default_args={"retries": 2, "pool": "g"}):
            idle("a")
            with TaskGroup("h", default_args={"retries": 3}):
                idle("b")
                load()
                EmptyOperator(task_id="c", retries=4)
        idle("e")
    told = {n: (s.retry.retries, s.owner, s.pool) for n, s in d.spec().tasks.items()}
    assert told == {
        "g.a": (2, "dag", "g"),
        "g.h.b": (3, "dag", "g"),
        "g.h.load": (3, "dag", "g"),
        "g.h.c": (4, "dag", "g"),
        "e": (1, "dag", "default_pool"),
    }


def test_a_function_makes_a_group_each_time_and_gives_what_it_returns() -> None:
    @task_group
    def twice(x: Any, more: int = 1) -> Any:
        """Says what it is.

        At length."""
        return add(add(x, more))

    @task_group(group_id="quiet", prefix_group_id=False)
    def other() -> None:
        idle("q")

    with DAG("d") as d:
        out = twice(load())
        add.override(task_id="last")(twice(out))
        group = other()
        group >> idle("end")
    assert edges(d) == {
        "load": (),
        "twice.add": ("load",),
        "twice.add__1": ("twice.add",),
        "twice__1.add": ("twice.add__1",),
        "twice__1.add__1": ("twice__1.add",),
        "last": ("twice__1.add__1",),
        "q": (),
        "end": ("q",),
    }
    assert [(n, g.tooltip) for n, g in d.spec().groups.items()] == [
        ("twice", "Says what it is."),
        ("twice__1", "Says what it is."),
        ("quiet", ""),
    ]


def test_mistakes_with_groups_are_errors_that_say_what_to_do() -> None:
    @task_group
    def pair(x: int) -> None:
        idle("a")

    with pytest.raises(NoDagOpen, match="task group 'g'"):
        TaskGroup("g")
    with DAG("d"):
        idle("t")
        TaskGroup("g")
        with pytest.raises(DuplicateGroupId, match="already has a task or a group 'g'"):
            TaskGroup("g")
        with pytest.raises(DuplicateGroupId):
            TaskGroup("t")
        with pytest.raises(DuplicateTaskId):
            idle("g")
        assert TaskGroup("g", add_suffix_on_collision=True).group_id == "g__1"
        with pytest.raises(UnknownParameter):
            pair(y=1)
        with pytest.raises(MissingParameter):
            pair()
        with pytest.raises(UnknownOption, match="Did you mean 'tooltip'"):
            task_group(tooltips="x")(pair.function)
        with pytest.raises(UnknownOption, match="Did you mean 'retries'"):
            TaskGroup("h", default_args={"retrys": 1})
        with pytest.raises(BadOption, match="take @task away"):
            task_group(load)


def test_labels_stand_at_arrows_in_every_direction() -> None:
    with DAG("d") as d:
        a, b, c, e = (idle(name) for name in "abce")
        with TaskGroup("g") as g:
            idle("x")
            idle("y")
        a >> Label("ab") >> b
        c << Label("ac") << a
        [b, c] >> Label("to e") >> e
        chain(e, Label("in"), g)
        a.set_downstream(e, edge_modifier=Label("far"))
    assert d.spec().edge_labels == (
        EdgeLabel("a", "b", "ab"),
        EdgeLabel("a", "c", "ac"),
        EdgeLabel("b", "e", "to e"),
        EdgeLabel("c", "e", "to e"),
        EdgeLabel("a", "e", "far"),
        EdgeLabel("e", "g.x", "in"),
        EdgeLabel("e", "g.y", "in"),
    )
    assert edges(d) == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "e": ("b", "c", "a"),
        "g.x": ("e",),
        "g.y": ("e",),
    }


# ── mapped groups ──


@task_group
def steps(x: int, y: int = 5) -> Any:
    done = add(x, y)
    with TaskGroup("inner"):
        return add.override(task_id="again")(done)


def test_every_task_of_a_mapped_group_has_the_group_s_expansion() -> None:
    with DAG("d") as d:
        rows = load(3)
        out = steps.partial(y=7).expand(x=rows)
        add.override(task_id="total")(out)
    over = Expansion(axes=(Axis(name="x", source=XComRef("load")),))
    told = {
        name: (s.upstream, s.expansion, s.mapped_group, s.inputs)
        for name, s in d.spec().tasks.items()
    }
    assert told == {
        "load": ((), None, "", ()),
        "steps.add": (("load",), over, "steps", ()),
        "steps.inner.again": (("steps.add",), over, "steps", (XComRef("steps.add"),)),
        "total": (("steps.inner.again",), None, "", (XComRef("steps.inner.again"),)),
    }
    assert d.spec().tasks["load"].expanded_keys == ("return_value",)
    assert [(n, g.mapped) for n, g in d.spec().groups.items()] == [
        ("steps", True),
        ("steps.inner", False),
    ]


def test_first_tasks_of_a_mapped_group_wait_for_its_items_even_if_they_do_not_use_them() -> (
    None
):
    @task_group
    def lazy(x: int) -> None:
        idle("a") >> idle("b") >> add(x)

    with DAG("d") as d:
        lazy.expand(x=load())
    assert edges(d) == {
        "load": (),
        "lazy.a": ("load",),
        "lazy.b": ("lazy.a",),
        "lazy.add": ("lazy.b", "load"),
    }


def given(d: DAG, task_id: str, indexes: dict[str, int], **values: Any) -> Any:
    """The positional arguments of a task instance, as its worker would have them."""
    operator: Any = d.get_task(task_id)
    source = Source(lambda t, k, i: values[t][i], lambda t, k: len(values[t]))
    mapped = values_at(operator, indexes, source, lambda ref: values[ref.task_id])  # type: ignore[union-attr]
    made: Any = render(operator, lambda ref: values[ref.task_id], {}, mapped)
    return (*made.op_args, *made.op_kwargs.values())


def test_arguments_of_a_mapped_group_are_items_in_the_worker() -> None:
    with DAG("d") as d:
        steps.expand(x=load(), y=[10, 20])
    first = given(d, "steps.add", {"x": 2, "y": 1}, load=[1, 2, 3])
    assert first == (3, 20)
    assert given(d, "steps.inner.again", {"x": 0, "y": 0}, **{"steps.add": 99}) == (99,)


def test_a_group_is_mapped_over_sets_of_arguments_with_defaults() -> None:
    with DAG("d") as d:
        steps.expand_kwargs([{"x": 1}, {"x": 2, "y": 3}])
        steps.expand_kwargs(load())
    assert d.spec().tasks["steps.add"].expansion == Expansion(
        axes=(Axis(name="**", length=2),)
    )
    assert given(d, "steps.add", {"**": 0}) == (1, 5)
    assert given(d, "steps.add", {"**": 1}) == (2, 3)
    assert given(d, "steps__1.add", {"**": 0}, load=[{"x": 8}]) == (8, 5)
    with pytest.raises(MissingParameter, match="'x'"):
        given(d, "steps__1.add", {"**": 0}, load=[{"y": 8}])


def test_what_cannot_stand_in_a_mapped_group_is_said() -> None:
    @task_group
    def bad(x: int, how: str) -> None:
        if how == "mapped task":
            add.expand(x=[1])
        elif how == "mapped group":
            steps.expand(x=[1])
        elif how == "operator":
            BashOperator.partial(task_id="o").expand(bash_command=["a"])
        elif how == "rule":
            EmptyOperator(task_id="r", trigger_rule="always")
        elif how == "loop":
            list(x)  # type: ignore[call-overload]
        else:
            add.expand(x=x)

    for how in ("mapped task", "mapped group", "operator", "axis"):
        with DAG("d"), pytest.raises(CannotExpand, match="mapped task group 'bad'"):
            bad.partial(how=how).expand(x=[1, 2])
    with DAG("d"), pytest.raises(BadOption, match="cannot be 'always' in a mapped"):
        bad.partial(how="rule").expand(x=[1, 2])
    with DAG("d"), pytest.raises(NotYetKnown, match="the argument 'x' of the mapped"):
        bad.partial(how="loop").expand(x=[1, 2])
    with DAG("d") as d:
        with pytest.raises(CannotExpand, match="needs at least one argument"):
            steps.expand()
        with pytest.raises(CannotExpand, match=r"x is in .partial\(\) and in .expand\(\)"):
            steps.partial(x=1).expand(x=[1])
        with pytest.raises(UnknownParameter):
            steps.expand(z=[1])
    assert d.spec().groups == {}
