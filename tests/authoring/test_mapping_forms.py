"""Every way to map a task: over what, how it is written down, and which item a worker takes."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import nbformat
import pytest

from mlflowkit import DAG, BaseOperator, BashOperator, PythonOperator, notebook, task
from mlflowkit.authoring.composed import Source
from mlflowkit.authoring.mapping import values_at
from mlflowkit.authoring.resolve import render
from mlflowkit.core.spec import Axis, Expansion, XComRef
from mlflowkit.errors import (
    CannotExpand,
    MissingParameter,
    NotExpandable,
    NotYetKnown,
    TaskSkipped,
    UnknownOption,
    UnknownParameter,
)
from mlflowkit.ports import as_running

from .conftest import Project, told


@task
def xs() -> list[int]:
    return [1, 2]


@task
def ys() -> list[str]:
    return ["a", "b", "c"]


@task
def use(x: Any, y: Any = None) -> list[Any]:
    return [x, y]


#: What the tasks above gave, as the XComs of a run.
GIVEN: Mapping[str, Any] = {
    "xs": [1, 2],
    "xs__1": [1, 2],
    "xs__2": [1, 2],
    "ys": ["a", "b", "c"],
}


class Running:
    context: Mapping[str, Any] = {}


def executed(operator: BaseOperator, indexes: dict[str, int] | None = None) -> Any:
    """What one task instance returns, after the journey to a worker."""
    travelled = pickle.loads(cloudpickle.dumps(operator))
    source = Source(lambda t, k, i: GIVEN[t][i], lambda t, k: len(GIVEN[t]))
    whole: Any = lambda ref: GIVEN[ref.task_id]  # noqa: E731
    mapped = values_at(travelled, indexes, source, whole) if indexes else {}
    made = render(travelled, whole, {}, mapped)
    with as_running(Running()):  # type: ignore[arg-type]
        return made.execute({})


def x_values(over: Any, count: int) -> tuple[Axis, list[Any]]:
    """The axis that `use.expand(x=over)` has, and what `x` is in each of its instances."""
    [spec] = [s for n, s in over.dag.spec().tasks.items() if n == "use"]
    assert spec.expansion is not None
    [axis] = spec.expansion.axes
    return axis, [executed(over, {"x": i})[0] for i in range(count)]


def mapped_over(make: Any) -> Any:
    with DAG("d") as d:
        use.expand(x=make())
    return d.get_task("use")


XS, YS = XComRef("xs"), XComRef("ys")
OF_XS, OF_YS = Axis(source=XS), Axis(source=YS)


@pytest.mark.parametrize(
    ("make", "axis", "values"),
    [
        (lambda: [5, 6], Axis(name="x", length=2), [5, 6]),
        (lambda: (5, 6), Axis(name="x", length=2), [5, 6]),
        (lambda: range(3), Axis(name="x", length=3), [0, 1, 2]),
        (lambda: {"k": 1, "l": 2}, Axis(name="x", length=2), [("k", 1), ("l", 2)]),
        (xs, Axis(name="x", source=XS), [1, 2]),
        (lambda: xs().map(lambda n: n * 10), Axis(name="x", source=XS), [10, 20]),
        (
            lambda: xs().map(lambda n: n + 1).map(str),
            Axis(name="x", source=XS),
            ["2", "3"],
        ),
        (
            lambda: xs().zip(ys()),
            Axis(name="x", how="zip", parts=(OF_XS, OF_YS)),
            [(1, "a"), (2, "b")],
        ),
        (
            lambda: xs().zip(ys(), fillvalue=None),
            Axis(name="x", how="longest", parts=(OF_XS, OF_YS)),
            [(1, "a"), (2, "b"), (None, "c")],
        ),
        (
            lambda: xs().concat(ys(), [7]),
            Axis(name="x", how="concat", parts=(OF_XS, OF_YS, Axis(length=1))),
            [1, 2, "a", "b", "c", 7],
        ),
        (
            lambda: xs().concat(ys()).map(str).zip(range(9)),
            Axis(
                name="x",
                how="zip",
                parts=(Axis(how="concat", parts=(OF_XS, OF_YS)), Axis(length=9)),
            ),
            [("1", 0), ("2", 1), ("a", 2), ("b", 3), ("c", 4)],
        ),
        (
            lambda: ys().zip([7, 8], fillvalue=0).concat(xs().map(float)),
            Axis(
                name="x",
                how="concat",
                parts=(Axis(how="longest", parts=(OF_YS, Axis(length=2))), OF_XS),
            ),
            [("a", 7), ("b", 8), ("c", 0), 1.0, 2.0],
        ),
    ],
)
def test_what_can_be_mapped_over_and_which_item_each_instance_takes(
    make: Any, axis: Axis, values: list[Any]
) -> None:
    assert x_values(mapped_over(make), len(values)) == (axis, values)


def test_items_are_counted_where_they_come_from() -> None:
    with DAG("d") as d:
        use.expand(x=xs().zip(ys()).map(len), y=[1])
    spec = d.spec()
    assert {n: s.expanded_keys for n, s in spec.tasks.items()} == {
        "xs": ("return_value",),
        "ys": ("return_value",),
        "use": (),
    }
    assert (spec.tasks["use"].upstream, spec.tasks["use"].inputs) == (("xs", "ys"), ())


def test_items_made_of_others_may_also_be_taken_whole() -> None:
    with DAG("d") as d:
        use(xs().map(lambda n: n * 10).concat(ys()), y=xs().zip(ys(), fillvalue="-"))
    spec = d.spec().tasks["use"]
    assert spec.upstream == ("xs", "ys", "xs__1", "ys__1")
    given = {"xs__1": GIVEN["xs"], "ys__1": GIVEN["ys"], **GIVEN}
    made: Any = render(d.get_task("use"), lambda ref: given[ref.task_id], {}, {})
    [x], y = made.op_args, made.op_kwargs["y"]
    assert (x, list(y), len(x), x[-1], x[1:3]) == (
        [10, 20, "a", "b", "c"],
        [(1, "a"), (2, "b"), ("-", "c")],
        5,
        "c",
        [20, "a"],
    )
    assert pickle.loads(pickle.dumps(y)) == [(1, "a"), (2, "b"), ("-", "c")]


def test_a_mapping_function_may_skip_its_instance() -> None:
    def even(n: int) -> int:
        if n % 2:
            raise TaskSkipped("odd")
        return n

    over = mapped_over(lambda: xs().map(even))
    assert executed(over, {"x": 1}) == [2, None]
    with pytest.raises(TaskSkipped, match="odd"):
        executed(over, {"x": 0})


def test_several_axes_are_a_cross_product_and_partial_arguments_are_shared() -> None:
    with DAG("d") as d:
        use.expand(x=xs(), y=ys())
        use.override(task_id="shared").partial(y=ys()).expand(x=[1])
    assert d.spec().tasks["use"].expansion == Expansion(
        axes=(Axis(name="x", source=XS), Axis(name="y", source=YS))
    )
    assert executed(d.get_task("use"), {"x": 1, "y": 2}) == [2, "c"]
    assert d.spec().tasks["shared"].inputs == (XComRef("ys__1"),)


# ── whole sets of arguments ──


def test_functions_are_mapped_over_sets_of_arguments() -> None:
    with DAG("d") as d:
        use.expand_kwargs([{"x": 1}, {"x": xs(), "y": 2}])
        use.override(task_id="later").partial(y=9).expand_kwargs(
            ys().map(lambda s: {"x": s})
        )
    specs = d.spec().tasks
    assert specs["use"].expansion == Expansion(axes=(Axis(name="**", length=2),))
    assert specs["use"].inputs == (XS,)
    assert specs["later"].expansion == Expansion(axes=(Axis(name="**", source=YS),))
    assert specs["later"].inputs == ()
    assert executed(d.get_task("use"), {"**": 0}) == [1, None]
    assert executed(d.get_task("use"), {"**": 1}) == [[1, 2], 2]
    assert executed(d.get_task("later"), {"**": 2}) == ["c", 9]
    d.check()


def test_operators_are_mapped_over_sets_of_arguments() -> None:
    with DAG("d", default_args={"append_env": True}) as d:
        BashOperator.partial(task_id="a", retries=2).expand_kwargs(
            [
                {"bash_command": "echo 1"},
                {"bash_command": "echo $N", "env": {"N": "2"}},
            ]
        )
        PythonOperator.partial(task_id="b", python_callable=lambda n: n).expand(
            op_args=xs().map(lambda n: [n])
        )
    assert [executed(d.get_task("a"), {"**": i}) for i in (0, 1)] == ["1", "2"]
    assert executed(d.get_task("b"), {"op_args": 1}) == 2
    assert {n: s.retry.retries for n, s in d.spec().tasks.items()} == {
        "a": 2,
        "xs": 0,
        "b": 0,
    }


def test_notebooks_are_mapped_over_sets_of_parameters(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("lr = 1\nn = 2", metadata={"tags": ["parameters"]})
    path = tmp_path / "fit.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    with DAG("d") as d:
        notebook.partial(path, n=3).expand_kwargs([{"lr": 1}, {"lr": 2}])
        notebook.partial(path).expand(lr=xs().map(float))
        with pytest.raises(
            CannotExpand, match=r"n is in .partial\(\) and in .expand_kwargs"
        ):
            notebook.partial(path, n=3).expand_kwargs([{"n": 1}])
    specs = d.spec().tasks
    assert specs["fit"].expansion == Expansion(axes=(Axis(name="**", length=2),))
    assert specs["fit__1"].expansion == Expansion(axes=(Axis(name="lr", source=XS),))
    d.check()
    with DAG("d"), pytest.raises(UnknownParameter, match="Did you mean 'lr'"):
        notebook.partial(path).expand_kwargs([{"lrr": 1}])


# ── what is refused ──


def test_what_cannot_be_mapped_over_is_said_where_it_is_written() -> None:
    with DAG("d") as d:
        with pytest.raises(CannotExpand, match="takes a list of dicts, not a dict"):
            use.expand_kwargs({"x": [1]})
        with pytest.raises(CannotExpand, match="an item of expand_kwargs.* is an int"):
            use.expand_kwargs([1])
        with pytest.raises(CannotExpand, match="has the key 1: names"):
            use.expand_kwargs([{1: 2}])
        with pytest.raises(UnknownParameter):
            use.expand_kwargs([{"x": 1}, {"z": 2}])
        with pytest.raises(CannotExpand, match="x is in .partial.* and in .expand_kwargs"):
            use.partial(x=1).expand_kwargs([{"x": 2}])
        with pytest.raises(CannotExpand, match="retries is an option of the task"):
            BashOperator.partial(task_id="b").expand(retries=[1])
        with pytest.raises(UnknownOption, match="Did you mean 'bash_command'"):
            BashOperator.partial(task_id="b").expand_kwargs([{"bash_comand": "x"}])
    assert d.task_ids == []


def test_what_items_cannot_be_made_of_is_said() -> None:
    with DAG("d", params={"n": [1]}) as d:
        rows = xs()
        with pytest.raises(NotExpandable, match=r"\.zip\(\).*int"):
            rows.zip(3)
        with pytest.raises(NotExpandable, match=r"\.concat\(\).*str"):
            rows.concat("ab")
        with pytest.raises(CannotExpand, match="the parameter 'n' has no items"):
            rows.zip(d.params["n"])
        with pytest.raises(CannotExpand, match="it takes fillvalue=, not fill="):
            rows.zip([1], fill=0)
        with pytest.raises(CannotExpand, match="3 is not a function"):
            rows.map(3)  # type: ignore[arg-type]
        with pytest.raises(NotYetKnown, match="looped over"):
            list(rows.map(str))


def test_a_set_of_arguments_that_does_not_fit_is_an_error_of_its_instance() -> None:
    with DAG("d") as d:
        use.partial(y=1).expand_kwargs(xs())
        use.override(task_id="twice").partial(y=1).expand_kwargs(
            xs().map(lambda n: {"y": n})
        )
        use.override(task_id="wrong").expand_kwargs(xs().map(lambda n: {"z": n}))
    with pytest.raises(CannotExpand, match="is an int, not a dict of arguments"):
        executed(d.get_task("use"), {"**": 0})
    with pytest.raises(CannotExpand, match="y is in .partial.* and in .expand_kwargs"):
        executed(d.get_task("twice"), {"**": 0})
    with pytest.raises(UnknownParameter, match="'z'"):
        executed(d.get_task("wrong"), {"**": 0})


def test_a_list_over_the_limit_is_refused_when_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with DAG("d"):
        with pytest.raises(
            CannotExpand, match="100,001 task instances; the limit is 100,0"
        ):
            use.expand(x=range(100_001))
        with pytest.raises(CannotExpand, match="120,000 task instances"):
            use.expand(x=range(400), y=range(300))
    monkeypatch.setenv("MLFLOWKIT_MAX_MAP_LENGTH", "3")
    with DAG("d") as d:
        use.expand(x=[1, 2, 3])
        with pytest.raises(CannotExpand, match="4 task instances; the limit is 3"):
            use.expand_kwargs([{"x": 1}] * 4)
    assert d.spec().tasks["use"].expansion == Expansion(
        axes=(Axis(name="x", length=3),), limit=3
    )


def test_arguments_still_missing_are_named() -> None:
    @task
    def both(x: int, y: int) -> int:
        return x + y

    with DAG("d"), pytest.raises(MissingParameter, match="'y'"):
        both.expand(x=[1])


TRAVELS = """
import json, sys
from mlflowkit.authoring.axes import values_at
from mlflowkit.authoring.composed import Source
from mlflowkit.authoring.open_bundle import open_bundle
from mlflowkit.authoring.resolve import render
bundle = open_bundle(sys.argv[1])
source = Source(lambda task, key, index: [5, 6][index], lambda task, key: 2)
found = {}
for name in ("use", "g.use"):
    task = bundle.operator(name)
    mapped = values_at(task, {"x": 3}, source, lambda ref: None)
    found[name] = render(task, lambda ref: None, {}, mapped).execute({})
print("VALUE", json.dumps(found))
"""


def test_mapping_functions_and_mapped_groups_travel_with_the_code(project: Project) -> None:
    bundle, _ = project.store(
        """
        from mlflowkit import DAG, task, task_group
        FACTOR = 10
        def more(n): return n * FACTOR
        @task
        def rows(): return [5, 6]
        @task
        def use(x): return [x]
        @task_group
        def g(x): use(x)
        with DAG("d") as d:
            found = rows()
            both = found.concat(found.map(more))
            use.expand(x=both)
            g.expand(x=both.map(str))
        """
    )
    done = project.python("-c", TRAVELS, str(project.home / "bundles" / bundle))
    assert told(done.stdout, "VALUE") == {"use": [60], "g.use": ["60"]}
