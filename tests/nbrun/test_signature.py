# mypy: allow-untyped-calls
"""A notebook has a signature: read from its file, and held against what a DAG draws."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Literal, Optional, TypedDict

import pandas as pd
import pytest

import mlflowkit
from mlflowkit import DAG, BashOperator, notebook, task
from mlflowkit.errors import NotebookInvalid, NotebookMissing, UnknownOutput, WrongEdge
from mlflowkit.nbrun.edges import can_be, item_of
from mlflowkit.nbrun.signature import NotebookOutput, signature_of
from tests.nbrun.conftest import code, save, text

PARAMETERS = """
rows: list[int] = []  # what to fit
lr: float = 0.1
start: datetime.date = None
mode: Literal["fast", "slow"] = "fast"
frame: pd.DataFrame = None
n = 3
anything = None
"""
OUTPUTS = """
score: float = compute()
best = 3
best = better()
names = ["a"]
model = fit(rows)
"""


@pytest.fixture
def fit(tmp_path: Path) -> Path:
    return save(
        tmp_path / "fit.ipynb",
        text("# Fit"),
        code(PARAMETERS, "parameters"),
        code("%matplotlib inline\nimport mlflowkit as mk\nmodel.eval()"),
        code("for i in range(3):\n    mk.push('loss', i)\n!ls"),
        code(
            "%%time\nfrom mlflowkit import push as give, exit_notebook\ngive(name='seen', value=1)"
        ),
        code("if not rows:\n    exit_notebook('nothing')"),
        code(OUTPUTS, "outputs"),
    )


def test_a_signature_says_what_a_notebook_takes_and_gives(fit: Path) -> None:
    found = mlflowkit.inspect_notebook(fit)
    assert [p.name for p in found.parameters] == [
        "rows",
        "lr",
        "start",
        "mode",
        "frame",
        "n",
        "anything",
    ]
    assert found.outputs == (
        NotebookOutput("score", "float", "outputs"),
        NotebookOutput("best", "", "outputs"),
        NotebookOutput("names", "list", "outputs"),
        NotebookOutput("model", "", "outputs"),
        NotebookOutput("loss", "", "push"),
        NotebookOutput("seen", "", "push"),
        NotebookOutput("exit_value", "", "exit_notebook"),
    )
    assert not found.is_open
    assert repr(found).splitlines()[:3] == [
        "notebook fit.ipynb (python)",
        "  takes:",
        "    rows: list[int] = []  # what to fit",
    ]
    assert "    score: float  (after the last cell)" in repr(found)
    assert "list[int]" in found._repr_html_()
    assert json.loads(json.dumps(found.as_dict()))["outputs"][0] == {
        "name": "score",
        "annotation": "float",
        "how": "outputs",
    }
    quick = signature_of(fit)
    assert quick is not None and quick == found  # the same, without Jupyter's libraries


def test_a_notebook_that_takes_and_gives_nothing_says_so(tmp_path: Path) -> None:
    found = mlflowkit.inspect_notebook(save(tmp_path / "a.ipynb", text("nothing")))
    assert repr(found) == (
        "notebook a.ipynb (python)\n  takes nothing\n  gives nothing but itself"
    )


OPEN = [
    "import mlflowkit\nfor n in 'ab':\n    mlflowkit.push(n, 1)",
    "import mlflowkit\ngive = mlflowkit.push\ngive('a', 1)",
    "from mlflowkit import *\nlist(map(push, 'ab', [1, 2]))",
    "exec('import mlflowkit')",
    "%run other.ipynb",
    "import helper",
    "from helper.inner import f",
    "%%bash\npush",
    "x = (",
]
CLOSED = [
    "import json, math",
    "model.eval()",
    "stack = []\nstack.push('a')",
    "def push(name, value): ...\npush('a', 1)",
    "%%bash\nls",
    "%%html\n<b>",
    "!pip list",
    "import plain_module",
]


@pytest.mark.parametrize("source", OPEN)
def test_what_may_push_more_than_it_shows_makes_the_outputs_open(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "helper").mkdir()
    (tmp_path / "helper" / "inner.py").write_text("from mlflowkit import push")
    assert mlflowkit.inspect_notebook(save(tmp_path / "a.ipynb", code(source))).is_open


@pytest.mark.parametrize("source", CLOSED)
def test_what_pushes_nothing_leaves_them_closed(tmp_path: Path, source: str) -> None:
    (tmp_path / "plain_module.py").write_text("x = 1")
    found = mlflowkit.inspect_notebook(save(tmp_path / "a.ipynb", code(source)))
    assert (found.outputs, found.is_open) == ((), False)


def test_another_language_has_open_outputs(tmp_path: Path) -> None:
    spec = {"name": "scala", "display_name": "Scala", "language": "scala"}
    path = save(tmp_path / "s.ipynb", code("val n = 3", "parameters"), kernelspec=spec)
    found = mlflowkit.inspect_notebook(path)
    assert (found.language, found.is_open, found.outputs) == ("scala", True, ())


def test_what_is_no_notebook_is_refused_where_it_is_asked_for_and_left_alone_in_a_dag(
    tmp_path: Path,
) -> None:
    with pytest.raises(NotebookMissing):
        mlflowkit.inspect_notebook(tmp_path / "none.ipynb")
    broken = tmp_path / "broken.ipynb"
    for content in (b"{", b"[]", b'{"cells": 3}', b'{"cells": [1]}', b"\xff\xfe", b"null"):
        broken.write_bytes(content)
        with pytest.raises(NotebookInvalid):
            mlflowkit.inspect_notebook(broken)
        assert signature_of(broken) is None
    assert signature_of(tmp_path / "none.ipynb") is None


# ── edges ──

NO = [
    ("str", "int"),
    ("list[str]", "list[int]"),
    ("float", "int"),
    ("None", "int"),
    ("dict[str, int]", "dict[str, str]"),
    ("DataFrame", "list[int]"),
    ("pd.DataFrame", "numpy.ndarray"),
    ("Optional[str]", "float"),
    ("tuple[int, str]", "tuple[int, int]"),
    ("tuple[int, int]", "tuple[int, int, int]"),
    ("str", "Sequence[str]"),
    ("date", "datetime"),
    ("int", 'Literal["a"]'),
    ('Literal["b"]', 'Literal["a", "c"]'),
    ("'list[str]'", "Annotated[int, 'x']"),
    ("Union[str, bytes]", "int | float"),
    ("bool", "int"),
    ("list[int]", "Sequence[str]"),
    ("dict[str, int]", "Mapping[str, str]"),
]
PERHAPS = [
    ("int", "float"),
    ("int | str", "str"),
    ("Any", "int"),
    ("Rows", "list[int]"),
    ("list", "list[int]"),
    ("list[Rows]", "list[int]"),
    ("list[int]", "Iterable[int]"),
    ("Sequence[int]", "list[int]"),
    ("dict", "Mapping[str, int]"),
    ("datetime.datetime", "date"),
    ("List[int]", "list[int]"),
    ("str", 'Literal["a"]'),
    ("Literal[1, 'b']", "Literal['b']"),
    ("tuple[int, ...]", "tuple[int, int]"),
    ("np.float64", "float"),
    ("Path", "pathlib.PurePath"),
    ("~T", "int"),
    ("int (", "str"),
    ("None", "Optional[int]"),
]


@pytest.mark.parametrize(("given", "wanted"), NO)
def test_an_edge_that_cannot_be_is_known(given: str, wanted: str) -> None:
    assert not can_be(given, wanted)


@pytest.mark.parametrize(("given", "wanted"), PERHAPS)
def test_an_edge_that_may_be_is_not_held_against_anybody(given: str, wanted: str) -> None:
    assert can_be(given, wanted)


def test_items_of_what_is_mapped_over() -> None:
    assert [
        item_of(x) for x in ("list[int]", "Sequence[str]", "dict[str, int]", "list")
    ] == [
        "int",
        "str",
        "",
        "",
    ]


class Series:
    """Not the one of pandas."""


class Both(TypedDict):
    n: int
    name: str


def given(annotation: Any, **options: Any) -> Any:
    """The output of a task with this return annotation."""

    def load(): ...  # type: ignore[no-untyped-def]

    load.__annotations__["return"] = annotation
    return task(**options)(load)()


WRONG = [
    ("rows", list[str], None),
    ("rows", "list[str]", None),
    ("lr", str, None),
    ("lr", None, None),
    ("start", str, None),
    ("frame", dict[str, int], None),
    ("mode", Literal["slwo"], None),
    ("n", str, None),
    ("rows", Both, "name"),
    ("lr", dict[str, str], "x"),
]
FINE = [
    ("rows", list[int], None),
    ("rows", Any, None),
    ("lr", int, None),
    ("lr", Optional[float], None),  # noqa: UP045
    ("start", datetime.datetime, None),
    ("frame", pd.DataFrame, None),
    ("frame", Series, None),
    ("n", Series, None),
    ("n", Both, "n"),
    ("anything", str, None),
    ("rows", "Rows", None),
]


@pytest.mark.parametrize(("name", "annotation", "key"), WRONG)
def test_a_wrong_edge_is_an_error_in_the_line_that_draws_it(
    fit: Path, name: str, annotation: Any, key: str | None
) -> None:
    with DAG("d") as d:
        output = given(annotation)
        with pytest.raises(WrongEdge) as caught:
            notebook(fit, **{name: output[key] if key else output})
    assert f"parameter {name!r} of notebook fit.ipynb should be" in str(caught.value)
    assert "the output of task 'load'" in str(caught.value)
    assert "(the return annotation says so)" in str(caught.value)
    assert [one.task_id for one in d.tasks] == ["load"]  # nothing was half made


@pytest.mark.parametrize(("name", "annotation", "key"), FINE)
def test_an_edge_that_nobody_can_know_is_drawn(
    fit: Path, name: str, annotation: Any, key: str | None
) -> None:
    with DAG("d"):
        output = given(annotation)
        notebook(fit, **{name: output[key] if key else output})


def test_edges_between_notebooks_and_over_mapped_tasks_are_checked(
    fit: Path, tmp_path: Path
) -> None:
    after = save(
        tmp_path / "after.ipynb", code("s: str = ''\nall: list[int] = []", "parameters")
    )
    with DAG("d"):
        fitted = notebook(fit)
        with pytest.raises(WrongEdge, match=r"\['score'\] is float \(notebook fit.ipynb"):
            notebook(after, s=fitted["score"])
        notebook(after, s=fitted["model"])
        mapped = task(lambda x: str(x)).override(task_id="texts")
        mapped.function.__annotations__["return"] = str
        texts = mapped.expand(x=[1, 2])
        with pytest.raises(WrongEdge, match=r"is list\[str\]"):
            notebook(after, all=texts)
        with pytest.raises(
            WrongEdge, match="each item of the output of task 'texts' is str"
        ):
            notebook.partial(fit).expand(lr=texts)
        notebook.partial(after).expand(s=texts)
        notebook.partial(fit, lr=0.5).expand(anything=texts)
        notebook(fit, lr=BashOperator("sh", bash_command="true").output)


def test_an_output_that_a_notebook_never_gives_is_named_with_the_nearest_one(
    fit: Path, tmp_path: Path
) -> None:
    loose = save(tmp_path / "loose.ipynb", code(OPEN[0]))
    with DAG("d"):
        fitted = notebook(fit, returns=["i"])
        for name in ("score", "loss", "i", "exit_value", "return_value"):
            assert fitted[name].key == name
        with pytest.raises(UnknownOutput) as caught:
            fitted["modle"]
        assert "notebook fit.ipynb gives no 'modle' (it gives: best, exit_value, i" in str(
            caught.value
        )
        assert "Did you mean 'model'?" in str(caught.value)
        assert notebook(loose)["whatever"].key == "whatever"
        assert notebook(fit, kernel_name="ir")["whatever"].key == "whatever"
        assert notebook("{{ ds }}.ipynb")["whatever"].key == "whatever"


def test_a_notebook_that_was_changed_is_read_again(fit: Path) -> None:
    before = signature_of(fit)
    save(fit, code("other: int = 1", "parameters"))
    after = signature_of(fit)
    assert before is not None and after is not None
    assert [p.name for p in after.parameters] == ["other"]
