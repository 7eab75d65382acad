# mypy: allow-untyped-calls
"""What this process knows to be a secret is in no executed notebook, wherever it stood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflowkit import secret
from mlflowkit.core.masking import Masker
from mlflowkit.home_store import vault
from mlflowkit.nbrun import asking
from mlflowkit.worker import masking
from tests.nbrun.conftest import Ran, code, text

SECRET = "param-SECRET-42"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(masking, "_masker", Masker([SECRET]))
    return


def test_a_secret_is_hidden_in_parameters_code_text_and_outputs(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = run(
        code("pw = ''", "parameters"),
        text(f"Log in with {SECRET}."),
        code(f"for c in pw:\n    print(c, end='', flush=True)\nassert pw == '{SECRET}'"),
        code(
            "from IPython.display import display, HTML\ndisplay(HTML(f'<b>{pw}</b>'))\npw"
        ),
        code("h = display(pw, display_id='x')\nh.update({'again': pw})"),
        code("size = len(pw)"),
        parameters={"pw": SECRET},
        returns=("size",),
    )
    assert ran.error is None
    assert ran.values == {"size": len(SECRET)}  # the code had the real one
    cells = ran.notebook.cells
    assert cells[1].source == '# Parameters\npw = "***"\n'
    assert cells[2].source == "Log in with ***."
    assert ran.printed(3) == "***"
    assert cells[4].outputs[0]["data"]["text/html"] == "<b>***</b>"
    assert cells[4].outputs[1]["data"]["text/plain"] == "'***'"
    assert cells[5].outputs[0]["data"]["text/plain"] == "{'again': '***'}"
    assert ran.notebook.metadata.papermill["parameters"] == {"pw": "***"}
    files = [p for p in tmp_path.iterdir() if p.name != "nb.ipynb"]
    assert [p.name for p in files if SECRET in p.read_text()] == []


def test_a_notebook_that_a_person_runs_reads_the_store_of_the_home(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    cell = (
        "from mlflowkit import Variable\n"
        "print(Variable.get('x', 'none yet'))\n"
        "Variable.set('x', 'kept')\nprint(Variable.get('x'))"
    )
    assert run(code(cell)).printed(0) == "none yet\nkept\n"
    assert vault().variable("x") == "kept"
    assert not asking.in_kernel()


def test_a_kernel_that_has_met_a_secret_still_tells_where_it_crashed(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    word = "-".join(["crash", "WORD", "77"])
    monkeypatch.setenv("MLFLOWKIT_VAR_WORD", word)
    ran = run(
        code("word = ''", "parameters"),
        code("import ctypes, os, time\nos.write(2, word.encode())\ntime.sleep(0.3)"),
        code("ctypes.string_at(0)"),
        parameters={"word": secret("var:word")},
    )
    assert "Segmentation fault" in str(ran.error) and "string_at" in str(ran.error)
    assert word not in str(ran.error)
    assert ran.printed(2) == "***"


def test_only_connections_and_variables_can_be_asked_for(
    run: Callable[..., Ran],
) -> None:
    ran = run(
        code(
            "from mlflowkit.nbrun.asking import ask\n"
            "for what in ('service_start', 'xcom', ''):\n"
            "    try:\n        ask(what)\n    except Exception as exc:\n        print(exc)"
        )
    )
    assert ran.printed(0).splitlines() == [
        "there is no answer to 'service_start' here",
        "there is no answer to 'xcom' here",
        "there is no answer to '' here",
    ]
