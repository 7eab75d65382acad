# mypy: allow-untyped-calls
"""What a person types for a parameter of a notebook becomes what its annotation says."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest

from mlflowkit.errors import WrongType
from mlflowkit.nbrun.parameters import check, infer
from mlflowkit.nbrun.typed_text import from_text
from tests.nbrun.conftest import code, save

CELL = """
n = 3
rate: float = 0.1
name: str = "a"
label = "a"
flag = False
either: int | str = 1
maybe: Optional[str] = None
level: Literal["1", "2"] = "1"
day: date = today()
moment: datetime | None = None
hour: time = time()
price: Decimal = Decimal(0)
place: Path = Path()
pair: tuple[int, int] = (0, 0)
tags: set[str] = set()
names: frozenset[str] = frozenset()
more: dict = {}
rows = []
own: Config = None
anything = None
"""
#: Parameter, what is typed, what is meant.
MEANT = [
    ("n", "5", 5),
    ("rate", "1e-3", 0.001),
    ("name", "5", "5"),
    ("name", "null", "null"),
    ("label", "5", "5"),
    ("flag", "true", True),
    ("flag", "True", True),
    ("either", "5", 5),
    ("either", "five", "five"),
    ("maybe", "5", "5"),
    ("maybe", "null", None),
    ("maybe", "None", "None"),
    ("level", "2", "2"),
    ("day", "2026-02-01", date(2026, 2, 1)),
    ("moment", "2026-02-01", datetime(2026, 2, 1)),  # noqa: DTZ001
    ("moment", "None", None),
    ("hour", "06:30", time(6, 30)),
    ("price", "0.10", Decimal("0.10")),
    ("place", "data/5.csv", Path("data/5.csv")),
    ("place", "5", Path("5")),
    ("pair", "[1, 2]", (1, 2)),
    ("pair", "(1, 2)", (1, 2)),
    ("tags", '["a"]', {"a"}),
    ("names", '["a"]', frozenset({"a"})),
    ("more", "{'a': 1}", {"a": 1}),
    ("rows", "[1]", [1]),
    ("own", '{"a": 1}', {"a": 1}),
    ("anything", "text", "text"),
    ("unknown", "5", 5),
]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return save(tmp_path / "fit.ipynb", code(CELL, "parameters"))


@pytest.mark.parametrize(("name", "typed", "meant"), MEANT)
def test_a_text_is_what_its_parameter_takes(
    notebook: Path, name: str, typed: str, meant: object
) -> None:
    known = {p.name: p for p in infer(notebook)}
    found = from_text(known.get(name), typed)
    assert (type(found), found) == (type(meant), meant)
    if name in known:
        check(notebook, {name: found})


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        *(("n", "5.5"), ("n", "five"), ("day", "soon"), ("pair", "[1]"), ("tags", "[[]]")),
        *(("rows", "abc"), ("flag", "yes"), ("level", "3"), ("price", "cheap")),
    ],
)
def test_what_is_nothing_of_the_kind_is_refused(
    notebook: Path, name: str, typed: str
) -> None:
    known = {p.name: p for p in infer(notebook)}
    with pytest.raises(WrongType, match=name):
        check(notebook, {name: from_text(known[name], typed)})
