"""Parameters of a DAG: nothing that does not fit gets as far as a run."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from mlflowkit import DAG, Param, PythonOperator, dag
from mlflowkit.authoring.params import params_from_text, validate_params
from mlflowkit.errors import (
    BadOption,
    BadRule,
    MissingParameter,
    RuleBroken,
    ScheduledWithoutDefault,
    UnknownParameter,
    WrongType,
)


class Size(Enum):
    SMALL = "small"
    BIG = "big"


@dag
def train(
    path: str,
    n: int = 10,
    lr: float = 0.1,
    fast: bool = False,
    names: list[str] = ["a"],
    kind: Literal["x", "y"] = "x",
    size: Size = Size.BIG,
    limit: int | None = None,
    table: dict[str, int] | None = None,
    anything: Any = None,
) -> None: ...


DEFAULTS = {"n": 10, "lr": 0.1, "fast": False, "names": ["a"], "kind": "x", "size": "big"}
REST = {"limit": None, "table": None, "anything": None}


def test_defaults_fill_what_is_not_given() -> None:
    spec = train().spec()
    assert validate_params(spec, {"path": "p"}) == {"path": "p", **DEFAULTS, **REST}
    given = {"path": "p", "n": 2, "lr": 1, "size": Size.SMALL, "names": ("b",), "limit": 3}
    assert validate_params(spec, given) == {
        **DEFAULTS,
        **REST,
        **given,
        "size": "small",
        "names": ["b"],
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("n", "20", "int"),
        ("n", True, "int"),
        ("n", 1.5, "int"),
        ("lr", "fast", "float"),
        ("fast", 1, "bool"),
        ("names", ["a", 1], r"list\[str\]"),
        ("kind", "z", "Literal"),
        ("size", "medium", "Size"),
        ("limit", "many", "int | None"),
        ("table", {"a": "b"}, "dict"),
        ("path", None, "str"),
    ],
)
def test_a_value_of_another_type_is_refused(
    name: str, value: object, expected: str
) -> None:
    with pytest.raises(WrongType, match=f"'{name}' of DAG 'train' should be .*{expected}"):
        validate_params(train().spec(), {"path": "p", name: value})


def test_unknown_and_missing_parameters_are_named() -> None:
    with pytest.raises(UnknownParameter, match=r"no parameter 'paht'.*Did you mean 'path'"):
        validate_params(train().spec(), {"paht": "p"})
    with pytest.raises(MissingParameter, match=r"DAG 'train' needs a value for .*'path'"):
        validate_params(train().spec(), {})


def test_a_dag_function_s_arguments_are_new_defaults() -> None:
    spec = train("q", n=3).spec()
    assert validate_params(spec, {}) == {"path": "q", **DEFAULTS, **REST, "n": 3}
    with pytest.raises(UnknownParameter, match="Did you mean 'names'"):
        train(nams=["b"])
    with pytest.raises(WrongType):
        train(n="many")


def test_params_of_a_dag_may_say_more() -> None:
    n = Param(5, type="integer", minimum=1, description="how many")
    d = DAG("d", params={"n": n, "must": Param(type="string"), "free": [1]})
    assert validate_params(d.spec(), {"must": "x"}) == {"n": 5, "must": "x", "free": [1]}
    rule = "'n' of DAG 'd' was given 0, which breaks its rule minimum=1: 0 is less than"
    with pytest.raises(RuleBroken, match=rule):
        validate_params(d.spec(), {"must": "x", "n": 0})
    with pytest.raises(WrongType, match="should be as its schema says"):
        validate_params(d.spec(), {"must": "x", "n": "0"})
    with pytest.raises(UnknownParameter, match="Did you mean 'must'"):
        d.params["mast"]
    with pytest.raises(BadOption, match="has an object as default"):
        DAG("d", params={"x": object()})


def test_texts_of_a_terminal_become_what_the_parameter_is() -> None:
    texts = {"path": "7", "n": "7", "lr": "1e-3", "fast": "true", "names": '["b"]'}
    more = {"kind": "y", "limit": "none", "anything": "word", "size": "small"}
    assert params_from_text(train().spec(), {**texts, **more}) == {
        "path": "7",
        "n": 7,
        "lr": 1e-3,
        "fast": True,
        "names": ["b"],
        "kind": "y",
        "limit": None,
        "anything": "word",
        "size": "small",
    }


def test_running_refuses_bad_parameters_before_anything_starts() -> None:
    d = train()
    with pytest.raises(WrongType):
        d.run(path="p", n="x")
    with pytest.raises(UnknownParameter, match="Did you mean 'retries'"):
        d.run(path="p", retrys=3)
    with pytest.raises(BadOption, match="is given as a keyword and in params"):
        d.run({"path": "p"}, path="q")

    reserved = DAG("d", params={"retries": 3})
    with pytest.raises(BadOption, match=r"an option of run.. and a parameter of the DAG"):
        reserved.run(retries=1)
    assert reserved.check({"retries": 1}).dag_id == "d"


def test_formats_of_texts_are_checked_and_take_what_they_name() -> None:
    day = Param("2024-01-31", type="string", format="date")
    at = Param(datetime(2024, 1, 1, 5, tzinfo=UTC), type="string", format="date-time")
    where = Param(Path("/data"), type="string", format="path")
    spec = DAG("d", params={"day": day, "at": at, "where": where}).spec()
    assert validate_params(spec, {}) == {
        "day": "2024-01-31",
        "at": "2024-01-01T05:00:00+00:00",
        "where": "/data",
    }
    given = {
        "day": date(2024, 2, 29),
        "where": Path("x") / "y",
        "at": "2024-05-05T01:02:03Z",
    }
    assert validate_params(spec, given) == {
        "day": "2024-02-29",
        "where": "x/y",
        "at": "2024-05-05T01:02:03Z",
    }
    for name, wrong in (("day", "31.1.2024"), ("day", "2023-02-29"), ("at", "noon")):
        with pytest.raises(RuleBroken, match=f"'{name}' of DAG 'd'.*format='date"):
            validate_params(spec, {name: wrong})


def test_a_broken_rule_is_told_with_the_name_the_value_and_the_rule() -> None:
    schema = {"type": "object", "properties": {"k": {"maximum": 3}}}
    d = DAG(
        "d",
        params={
            "n": Param(5, type="integer", minimum=1, maximum=9),
            "name": Param("abc", type="string", pattern="^[a-z]+$", description="a name"),
            "deep": Param({"k": 1}, schema=schema),
            "kind": Param("a", enum=["a", "b"], title="Kind"),
        },
    )
    with pytest.raises(RuleBroken) as caught:
        validate_params(d.spec(), {"n": 10})
    assert str(caught.value) == (
        "parameter 'n' of DAG 'd' was given 10, which breaks its rule maximum=9: "
        "10 is greater than the maximum of 9."
    )
    with pytest.raises(RuleBroken, match="rule pattern="):
        validate_params(d.spec(), {"name": "A1"})
    with pytest.raises(RuleBroken, match=r"at \['k'\], 4 is greater"):
        validate_params(d.spec(), {"deep": {"k": 4}})
    with pytest.raises(WrongType, match="should be one of"):
        validate_params(d.spec(), {"kind": "c"})
    with pytest.raises(RuleBroken):
        DAG("d", params={"n": Param(0, minimum=1)})


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"minimum": "x"}, "minimum='x', which nothing can be checked against: minimum has to "
         "be a number."),
        ({"enum": 5}, "enum=5, which nothing can be checked against: enum has to be a list."),
        ({"pattern": "("}, "pattern='(', which nothing can be checked against: pattern has to "
         "be a regular expression."),
        ({"maxLength": -1}, "maxLength=-1, which nothing can be checked against: maxLength has "
         "to be at least 0."),
        ({"type": "intger"}, "type='intger', which nothing can be checked against: type has to "
         "be one of array, boolean, integer, null, number, object, string, or a list of them."),
        ({"items": {"minimum": []}}, "items.minimum=[], which nothing can be checked against: "
         "items.minimum has to be a number."),
    ],
)  # fmt: skip
def test_a_rule_that_nothing_can_be_checked_against_is_named_with_what_it_has_to_be(
    rule: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadRule) as caught:
        DAG("d", params={"n": Param(5, **rule)})
    assert str(caught.value) == (
        f"parameter 'n' of DAG 'd' has the rule {says} Mend it in its Param(...)."
    )


def test_a_default_of_none_that_the_schema_does_not_allow_means_that_it_must_be_given() -> (
    None
):
    d = DAG("d", params={"a": Param(None, type="string"), "b": Param(None), "c": None})
    with pytest.raises(MissingParameter, match="'a'"):
        validate_params(d.spec(), {})
    assert validate_params(d.spec(), {"a": "x"}) == {"a": "x", "b": None, "c": None}
    nullable = DAG("d", params={"a": Param(None, type=["string", "null"])})
    assert validate_params(nullable.spec(), {}) == {"a": None}


def test_a_dag_with_a_schedule_needs_a_default_for_every_parameter() -> None:
    d = DAG("d", schedule="@daily", params={"day": Param(type="string")})
    with pytest.raises(
        ScheduledWithoutDefault, match="'day'.*give the parameter a default"
    ):
        d.check_graph()

    @dag(schedule="@daily")
    def daily(n: int) -> None: ...

    with pytest.raises(ScheduledWithoutDefault, match="'n'"):
        daily()
    assert daily(n=3).param_specs[0].default_json == "3"


def test_parameters_of_a_task_are_checked_where_they_are_written() -> None:
    def made(**params: object) -> object:
        with DAG("d") as d:
            PythonOperator(task_id="t", python_callable=lambda: None, params=params)
        return vars(d.get_task("t"))["params"]

    assert made(a=1, b=Param("x", type="string")) == {"a": 1, "b": "x"}
    with pytest.raises(RuleBroken, match="'n' of task 't'"):
        made(n=Param(0, minimum=1))
    with pytest.raises(MissingParameter, match="task 't' needs a value .*'n'"):
        made(n=Param(type="integer"))


def test_a_param_resolves_values_by_itself() -> None:
    n = Param(5, minimum=1)
    assert (n.value, n.resolve(), n.resolve(7), n.description) == (5, 5, 7, None)
    with pytest.raises(RuleBroken):
        n.resolve(0)
    with pytest.raises(MissingParameter):
        Param(type="string").resolve()
