"""A DAG that cannot be drawn is refused, in words; names are facts that a replay finds again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflowkit.core.spec import (
    Axis,
    DagId,
    DagSpec,
    Expansion,
    RetryPolicy,
    TaskId,
    TaskSpec,
    XComRef,
)
from mlflowkit.errors import BadName, CycleFound, UnknownUpstream
from tests.core.world import World, dag

BAD_NAMES = ["", ".", "..", "a/b", "../x", "a b", "a\n", "ü/..", "a\0", "x" * 201]


def task(name: str, *upstream: str, expansion: Expansion | None = None) -> TaskSpec:
    ups = tuple(map(TaskId, upstream))
    return TaskSpec(task_id=TaskId(name), upstream=ups, expansion=expansion)


def test_a_circle_is_named_task_by_task() -> None:
    with pytest.raises(CycleFound) as caught:
        dag("a > b > c > a")
    assert set(caught.value.path) == {"a", "b", "c"}
    assert caught.value.path[0] == caught.value.path[-1]
    assert "Take one of these arrows away" in str(caught.value)


def test_a_task_that_waits_for_itself_is_a_circle() -> None:
    with pytest.raises(CycleFound):
        DagSpec(dag_id=DagId("p"), tasks={TaskId("a"): task("a", "a")})


def test_a_misspelt_upstream_is_told_with_the_names_that_exist() -> None:
    tasks = {TaskId("load"): task("load"), TaskId("train"): task("train", "lod")}
    with pytest.raises(UnknownUpstream) as caught:
        DagSpec(dag_id=DagId("p"), tasks=tasks)
    assert str(caught.value) == (
        "task 'train' waits for 'lod', which is not in DAG 'p' (it has: load, train). "
        "Did you mean 'load'?"
    )


def test_a_task_cannot_be_mapped_over_one_that_does_not_exist() -> None:
    over = Expansion(axes=(Axis(name="x", source=XComRef(TaskId("lod"))),))
    with pytest.raises(UnknownUpstream, match="waits for 'lod'"):
        DagSpec(dag_id=DagId("p"), tasks={TaskId("fit"): task("fit", expansion=over)})


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(BadName) as caught:
        DagSpec(dag_id=DagId("p"), tasks={TaskId(name): task(name)})
    assert str(caught.value) == (
        f"task id {name!r} of DAG 'p' is no name for a folder: use letters, digits, '_', '-' "
        "and '.' (not '.' or '..' alone), in all at most 200 bytes."
    )
    with pytest.raises(BadName, match=r"^the DAG id "):
        DagSpec(dag_id=DagId(name), tasks={})


@pytest.mark.parametrize("name", ["a", "a.b-c_1", "...", "été", "x" * 200])
def test_other_names_are_fine(name: str) -> None:
    assert DagSpec(dag_id=DagId(name), tasks={TaskId(name): task(name)}).leaves == (name,)


def test_a_task_listed_under_another_name_is_refused() -> None:
    with pytest.raises(BadName) as caught:
        DagSpec(dag_id=DagId("p"), tasks={TaskId("fit"): task("train")})
    assert str(caught.value) == (
        "task id 'train' of DAG 'p' is listed as 'fit': list each task under its own id."
    )


def test_the_graph_can_be_walked_both_ways() -> None:
    spec = dag("load > train > report; load > check")
    assert [t.task_id for t in spec.in_order()] == ["load", "train", "check", "report"]
    assert spec.downstream(TaskId("load")) == ("train", "check")
    assert spec.leaves == ("report", "check")


def test_an_attempt_reads_as_a_path() -> None:
    world = World(dag("load; fit", mapped={"fit": 2}))
    world.places(9)
    assert str(world.attempt("load")) == "p/1/load/1"
    assert str(world.attempt("fit[1]")) == "p/1/fit[1]/1"


SECONDS = st.integers(0, 10**6).map(lambda n: timedelta(seconds=n))


@given(
    delay=SECONDS,
    backoff=st.floats(1, 100),
    longest=st.none() | SECONDS,
    failures=st.integers(1, 10_000),
)
def test_the_wait_never_shrinks_and_never_passes_its_ceiling(
    delay: timedelta, backoff: float, longest: timedelta | None, failures: int
) -> None:
    policy = RetryPolicy(
        retry_delay=delay, exponential_backoff=backoff, max_retry_delay=longest
    )
    ceiling = timedelta(days=365) if longest is None else longest
    wait, next_wait = policy.delay_after(failures), policy.delay_after(failures + 1)
    assert timedelta() <= wait <= next_wait <= ceiling
    assert policy.delay_after(1) == min(delay, ceiling)
