# mypy: allow-untyped-calls
"""What a notebook can be given is known, and said, before it runs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlflowkit.errors import (
    BadParameterName,
    NoKernel,
    NoParametersCell,
    NotebookInvalid,
    NotebookMissing,
    UnknownParameter,
    WrongType,
)
from mlflowkit.nbrun import source
from mlflowkit.nbrun.parameters import COMPUTED, NotebookParameter, check, infer
from tests.nbrun.conftest import code, save, text

CELL = """
epochs: int = 3  # how often
lr: float | None = 0.1
name = "resnet"  # type: str which network
sizes = [1,
         2]  # widths
when = make(a=1, b=2)
rows = None
"""


def test_names_types_defaults_and_help_are_read_without_running_the_cell(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "a.ipynb", text("# a"), code(CELL, "parameters"), code("1/0"))
    assert infer(path) == (
        NotebookParameter("epochs", "int", "3", 3, "how often"),
        NotebookParameter("lr", "float | None", "0.1", 0.1, ""),
        NotebookParameter("name", "str", "'resnet'", "resnet", "which network"),
        NotebookParameter("sizes", "", "[1, 2]", [1, 2], "widths"),
        NotebookParameter("when", "", "make(a=1, b=2)", COMPUTED, ""),
        NotebookParameter("rows", "", "None", None, ""),
    )


ODD = """
low, (high, *rest) = 1, (2, 3)
first, second = make()
sizes = {}  # type: dict[str, int] | None how many of each
wrong = 1  # type: list[int how
try:
    import os as system
    lr: float = given()
except ImportError:
    lr = 0.1
rate: Final = 3
rate_of: typing.Final[int] = 3
"""


def test_whatever_way_the_cell_assigns_a_name_it_is_a_parameter(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ipynb", code(ODD, "parameters"))
    assert infer(path) == (
        NotebookParameter("low", "", "1", 1, ""),
        NotebookParameter("high", "", "...", COMPUTED, ""),
        NotebookParameter("rest", "", "...", COMPUTED, ""),
        NotebookParameter("first", "", "...", COMPUTED, ""),
        NotebookParameter("second", "", "...", COMPUTED, ""),
        NotebookParameter("sizes", "dict[str, int] | None", "{}", {}, "how many of each"),
        NotebookParameter("wrong", "list[int", "1", 1, "how"),
        NotebookParameter("lr", "float", "", COMPUTED, ""),
        NotebookParameter("rate", "", "3", 3, ""),
        NotebookParameter("rate_of", "typing.Final[int]", "3", 3, ""),
    )
    check(path, {"high": "any", "lr": 1, "sizes": None, "wrong": "any"})
    for name, value in (("low", "x"), ("rate", "x"), ("rate_of", "x"), ("sizes", [])):
        with pytest.raises(WrongType):
            check(path, {name: value})
    with pytest.raises(UnknownParameter):
        check(path, {"system": 1})


def test_we_read_at_least_what_papermill_reads(tmp_path: Path) -> None:
    from papermill.inspection import (
        inspect_notebook,
    )

    path = save(tmp_path / "a.ipynb", code(CELL, "parameters"))
    ours = {each.name: each for each in infer(path)}
    for name, theirs in inspect_notebook(str(path)).items():
        assert ours[name].help == theirs["help"], name
        assert ours[name].annotation == theirs["inferred_type_name"].replace("None", ""), (
            name
        )


def test_a_cell_with_magics_and_one_with_a_slip_are_still_read(tmp_path: Path) -> None:
    magic = save(tmp_path / "m.ipynb", code("%matplotlib inline\nx = 1", "parameters"))
    slip = save(tmp_path / "s.ipynb", code("x = 1\ny = (", "parameters"))
    assert [each.name for each in infer(magic)] == ["x"]
    assert "x" in [each.name for each in infer(slip)]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    cell = """
n: int = 1
lr: float = 0.1
mode: Literal["fast", "slow"] = "fast"
names: list[str] = []
shape: tuple[int, ...] = ()
pair: tuple[int, str] = (1, "a")
start: datetime.date = None
frame: pd.DataFrame = None
config: Config = None
flag = False
count = 10
anything = None
items = []
folder = Path("x")
"""
    return save(tmp_path / "fit.ipynb", code(cell, "parameters"))


FITS = [
    {
        "n": 2,
        "lr": 1,
        "mode": "slow",
        "names": ["a"],
        "shape": (1, 2),
        "pair": (1, "b"),
    },
    {"lr": np.float32(0.5), "n": np.int64(3), "start": date(2026, 1, 1), "flag": True},
    {
        "start": datetime.now(UTC),
        "frame": pd.DataFrame(),
        "config": object(),
        "folder": 3,
    },
    {"start": None, "anything": {1, 2}, "items": pd.DataFrame(), "count": 11},
    {"items": (1, 2), "anything": None},
]


@pytest.mark.parametrize("given", FITS)
def test_values_that_fit_pass(notebook: Path, given: dict[str, object]) -> None:
    check(notebook, given)


WRONG = [
    ("n", "2", "int"),
    ("n", True, "int"),
    ("n", None, "int"),
    ("lr", "0.1", "float"),
    ("mode", "slwo", "Literal"),
    ("names", [1], "list[str]"),
    ("names", "abc", "list[str]"),
    ("shape", (1, "x"), "tuple[int, ...]"),
    ("pair", (1,), "tuple[int, str]"),
    ("start", "2026-01-01", "datetime.date"),
    ("frame", [1], "pd.DataFrame"),
    ("flag", 1, "bool"),
    ("count", 0.5, "annotate it to take others"),
    ("items", "abc", "list"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_value_of_another_type_is_named(
    notebook: Path, name: str, value: object, expected: str
) -> None:
    with pytest.raises(WrongType) as caught:
        check(notebook, {name: value})
    assert expected in caught.value.expected
    assert f"parameter {name!r} of notebook fit.ipynb should be" in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest_one(notebook: Path) -> None:
    with pytest.raises(UnknownParameter, match=r"no parameter 'mdoe'.*Did you mean 'mode'"):
        check(notebook, {"mdoe": "fast"})


@pytest.mark.parametrize("name", ["class", "my-name", "1st"])
def test_a_name_that_no_variable_can_have_is_refused(notebook: Path, name: str) -> None:
    with pytest.raises(BadParameterName, match=name):
        check(notebook, {name: 1})


def test_a_notebook_without_a_parameters_cell_takes_none_and_says_how_to_tag_one(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "a.ipynb", code("x = 1"))
    check(path, {})
    with pytest.raises(NoParametersCell, match=r"given x, but .* tag 'parameters'"):
        check(path, {"x": 2})


def test_of_two_parameters_cells_the_first_counts_and_a_warning_says_so(
    tmp_path: Path,
) -> None:
    path = save(
        tmp_path / "a.ipynb", code("x = 1", "parameters"), code("y = 1", "parameters")
    )
    with pytest.warns(UserWarning, match="the first is used"):
        check(path, {"x": 2})


def test_a_missing_notebook_says_where_it_was_looked_for(tmp_path: Path) -> None:
    save(tmp_path / "finetune.ipynb")
    with pytest.raises(NotebookMissing) as caught:
        check(tmp_path / "fine_tune.ipynb", {})
    assert str(tmp_path / "fine_tune.ipynb") in str(caught.value)
    assert "Did you mean 'finetune.ipynb'?" in str(caught.value)


def _with_cell(cell: dict[str, object]) -> bytes:
    body = {"cells": [cell], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    return json.dumps(body).encode()


def test_broken_files_are_named_with_the_line(tmp_path: Path) -> None:
    broken = tmp_path / "a.ipynb"
    whole = json.dumps(
        {"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}, indent=1
    )
    cases = {
        whole.replace(
            '"nbformat": 4,', '"nbformat": 4'
        ).encode(): "a.ipynb, line 4 .*not JSON",
        b'{\n "cells": [\n "caf\xe9"]}': "line 3 .*0xe9 is not UTF-8.*iconv -f latin1",
        b"": "the file is empty",
        b"[1]": "it has no cells",
        b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}': "cannot|damaged|cells",
        _with_cell(
            {"cell_type": "code", "metadata": {}, "source": "1", "outputs": []}
        ): "cell 1",
        _with_cell({"cell_type": "odd"}): "missing an expected key",
    }
    for data, expected in cases.items():
        broken.write_bytes(data)
        with pytest.raises(NotebookInvalid, match=expected):
            check(broken, {})
    with pytest.raises(NotebookInvalid, match="it is a folder"):
        check(tmp_path, {})


def test_a_python_file_is_not_a_notebook(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import os\n")
    with pytest.raises(NotebookInvalid, match=r"not JSON.*Give the path of an .ipynb file"):
        check(script, {})


def test_an_unknown_kernel_is_named_with_those_that_are_installed(
    tmp_path: Path,
) -> None:
    spec = {"name": "python33", "display_name": "x", "language": "python"}
    path = save(tmp_path / "a.ipynb", code("1"), kernelspec=spec)
    with pytest.raises(
        NoKernel, match=r"'python33'.*installed: .*python3.*Did you mean 'python3'"
    ):
        check(path, {})
    check(path, {}, kernel_name="python3")


def test_a_notebook_that_names_no_kernel_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ipynb", code("1"), kernelspec=None)
    with pytest.raises(NoKernel, match="does not say which kernel"):
        check(path, {})


def test_old_formats_are_upgraded_and_cells_get_the_same_ids_every_time(
    tmp_path: Path,
) -> None:
    old = tmp_path / "v3.ipynb"
    cell = {
        "cell_type": "code",
        "input": ["x = 1"],
        "outputs": [],
        "language": "python",
    }
    sheet = {"cells": [cell], "metadata": {}}
    old.write_text(json.dumps({"worksheets": [sheet], "metadata": {}, "nbformat": 3}))
    assert source.load(old).cells[0].source == "x = 1"
    plain: dict[str, object] = {"cell_type": "code", "source": "1", "metadata": {}}
    plain |= {"outputs": [], "execution_count": None}
    body = {"cells": [plain], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}
    old.write_text(json.dumps(body))
    assert [cell.id for cell in source.load(old).cells] == ["cell-0"]
