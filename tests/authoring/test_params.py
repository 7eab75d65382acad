"""Parameters of a DAG: nothing that does not fit gets as far as a run."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest

from mlflowkit import DAG, Param, dag
from mlflowkit.authoring.params import params_from_text, validate_params
from mlflowkit.errors import BadOption, MissingParameter, UnknownParameter, WrongType


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
    with pytest.raises(WrongType, match="should be as its schema says"):
        validate_params(d.spec(), {"must": "x", "n": 0})
    with pytest.raises(UnknownParameter, match="Did you mean 'must'"):
        d.params["mast"]
    with pytest.raises(BadOption, match="has a object as default"):
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
