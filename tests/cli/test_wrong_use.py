"""Wrong use is answered in a sentence: what is wrong, where, and what to do next."""

from __future__ import annotations

from typing import Final

from tests.cli.terminal import Answer, Terminal, finished

ONE = "from mlflowkit import dag, task\n@task\ndef a(n): ...\n@dag\ndef one(n: int = 1):\n    a(n)\n"
#: What is said, from the arguments and what lies in the folder.
SAID: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("run", "gone.py"): ("gone.py does not exist", "Did you mean 'one.py'?"),
    ("run", "list.ipynb"): ("list.ipynb is not a notebook", "it has no cells"),
    ("run", "cut.ipynb"): ("cut.ipynb, line 1 is not", "not JSON", "save it again"),
    ("run", "text.ipynb"): (
        "text.ipynb defines no DAG",
        "mlflowkit notebook run text.ipynb",
    ),
    ("run", "one.py", "-p", "m=2"): ("DAG 'one' has no parameter 'm'", "it has: n"),
    ("run", "one.py", "-p", "n=x"): ("parameter 'n' of DAG 'one' should be int", "'x'"),
    ("notebook", "to-dag", "one.py"): ("one.py, line 1 is not a notebook", "Give the path"),
    ("notebook", "run", "gone.ipynb"): ("no notebook", "gone.ipynb", "Did you mean"),
    ("runs", "show", "one/1"): ("no DAG run 'one/1'", "none here yet", "runs list"),
    ("runs", "list", "--state", "sucess"): ("'sucess'", "queued, running, success, failed"),
    ("dags", "pause", "one"): ("knows no DAG 'one'", "mlflowkit scheduler FOLDER"),
    ("clean", "--older-than", "3 moons"): ("older_than", '"30d"'),
}


def said(answer: Answer) -> str:
    """What stands on standard error, in one line."""
    return " ".join(answer.err.split())


def test_wrong_use_says_what_is_wrong_where_and_what_to_do(terminal: Terminal) -> None:
    terminal.pipeline(ONE, "one.py")
    terminal.pipeline("[]", "list.ipynb")
    terminal.pipeline('{"cells": [', "cut.ipynb")
    terminal.pipeline('{"cells": [], "nbformat": 4, "metadata": {}}', "text.ipynb")
    started = {args: terminal.start(*args) for args in SAID}
    answers = {args: finished(process) for args, process in started.items()}
    for args, words in SAID.items():
        found = said(answers[args])
        assert [word for word in words if word not in found] == [], (args, found)
        assert answers[args].status == 2, args
        assert "Traceback" not in answers[args].err, args


def test_settings_that_cannot_be_read_are_named_with_what_they_have_to_be(
    terminal: Terminal,
) -> None:
    terminal.pipeline(ONE, "one.py")
    (terminal.folder / "pyproject.toml").write_text(
        "[tool.mlflowkit]\nparallelism = 'two'\n"
    )
    answer = terminal("run", "one.py")
    assert answer.status == 2
    assert "the setting parallelism is 'two' and does not fit" in said(answer)
    assert "it has to be a whole number" in said(answer)
    (terminal.folder / "pyproject.toml").write_text("[tool.mlflowkit\n")
    answer = terminal("run", "one.py")
    assert answer.status == 2
    assert "pyproject.toml cannot be read" in said(answer)
    assert "line 1" in said(answer)


def test_a_home_that_cannot_take_the_code_is_named(terminal: Terminal) -> None:
    terminal.pipeline(ONE, "one.py")
    terminal.home.mkdir(mode=0o700)
    (terminal.home / "bundles").write_text("a file is in the way")
    answer = terminal("run", "one.py")
    assert answer.status == 2
    assert f"the home {terminal.home} cannot be written: Not a directory" in said(answer)
    assert "A file is in its way" in said(answer)
