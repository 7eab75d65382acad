# mypy: allow-untyped-calls
"""Outputs that no library should make, and some do: none stops a notebook or is lost."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from tests.nbrun.conftest import Ran, code, execute, save

BUNDLE = """
class Odd:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": 7, "text/html": None, "application/json": {"a": [1]}}
Odd()
"""
UPDATED = """
display({"text/plain": "first"}, raw=True, display_id="one")
display({"text/plain": 5, "text/html": None}, raw=True, display_id="one", update=True);
"""
WIDGET = """
import ipywidgets
out = ipywidgets.Output()
with out:
    display({"text/plain": 3}, raw=True)
"""
TRACEBACK = """
class Silent(Exception):
    def _render_traceback_(self):
        return "a text and no list"
raise Silent("why")
"""
NO_FILES = """
import os
print("loading")
kept = []
try:
    while True:
        kept.append(os.open(os.devnull, os.O_RDONLY))
except OSError as exc:
    print(exc.strerror)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    path = save(
        tmp_path_factory.mktemp("odd") / "odd.ipynb",
        code(BUNDLE),
        code(UPDATED),
        code(WIDGET),
        code("print('before'); print('caf\\udce9.csv')"),
        code("HTML = __import__('IPython').display.HTML; HTML('caf\\udce9')"),
        code(TRACEBACK, "raises-exception"),
        code("raise ValueError('caf\\udce9')", "raises-exception"),
    )
    return execute(path)


def test_what_is_no_text_is_made_one_and_what_is_none_is_left_out(ran: Ran) -> None:
    assert ran.error is None
    [result], [shown] = (ran.notebook.cells[at].outputs for at in (0, 1))
    assert result.data == {"text/plain": "7", "application/json": {"a": [1]}}
    assert shown.data == {"text/plain": "5"}
    widgets = ran.notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]
    [inside] = [
        each["state"]["outputs"]
        for each in widgets["state"].values()
        if each["state"].get("_model_name") == "OutputModel"
    ]
    assert [each["data"] for each in inside] == [{"text/plain": "3"}]


def test_a_file_name_that_is_no_text_is_shown_as_far_as_it_is_one(ran: Ran) -> None:
    assert ran.printed(3) == "before\ncaf\ufffd.csv\n"
    assert ran.notebook.cells[4].outputs[0].data["text/html"] == "caf\ufffd"
    assert ran.notebook.cells[6].outputs[0].evalue == "caf\ufffd"


def test_a_traceback_that_is_no_list_is_one_line(ran: Ran) -> None:
    [error] = ran.notebook.cells[5].outputs
    assert (error.ename, error.traceback) == ("Silent", ["a text and no list"])


def test_a_cell_that_has_used_up_all_files_loses_no_output(run: Any) -> None:
    ran = run(code(NO_FILES), code("print('goes on')"))
    assert ran.error is None
    assert ran.printed(0) == "loading\nToo many open files\n"
    assert ran.printed(1) == "goes on\n"


def test_a_text_of_two_hundred_megabytes_at_once_is_never_whole_in_memory(run: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = run(code("print('x' * 200_000_000)"))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert ran.error is None
    assert len(ran.printed(0)) < 11 * 1024**2
    assert grown * 1024 < 200_000_000
