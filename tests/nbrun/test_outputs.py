# mypy: allow-untyped-calls
"""Outputs grow as a terminal and a notebook show them, within their limit."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_notebook

from mlflowkit.nbrun.outputs import Outputs


def outputs(limit: int = 1000) -> Outputs:
    return Outputs(new_notebook(cells=[new_code_cell("1"), new_code_cell("2")]), limit)


def shown(found: Outputs, cell: int = 0) -> list[str]:
    found.settle()
    return [
        out.text if out.output_type == "stream" else out.data["text/plain"]
        for out in found._notebook.cells[cell].outputs
    ]


def display(text: str) -> dict[str, object]:
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}


def test_text_of_one_stream_is_one_output_and_another_stream_begins_another() -> None:
    found = outputs()
    for name, text in [
        ("stdout", "a"),
        ("stdout", "b\n"),
        ("stderr", "x"),
        ("stdout", "c"),
    ]:
        found.stream(0, name, text)
    assert shown(found) == ["ab\n", "x", "c"]


def test_a_progress_bar_leaves_its_last_state() -> None:
    found = outputs()
    for text in ["start\n", "\r 10%", "\r 50%\r", " 60%", "\b\b\b99%\n", "done\r\n"]:
        found.stream(0, "stderr", text)
    assert shown(found) == ["start\n 99%\ndone\n"]


def test_a_progress_bar_that_redraws_for_hours_never_fills_its_limit() -> None:
    found = outputs(limit=100)
    for step in range(1000):
        found.stream(0, "stderr", f"\rstep {step}")
    assert shown(found) == ["step 999"]


def test_what_is_over_the_limit_is_cut_and_counted() -> None:
    found = outputs(limit=10)
    for _ in range(3):
        found.stream(0, "stdout", "x" * 8)
    [text] = shown(found)
    assert text.startswith("x" * 10 + "\n[mlflowkit: ")
    assert "more were cut; an output may have" in text


def test_a_display_over_the_limit_keeps_its_small_forms_and_says_what_was_cut() -> None:
    found = outputs(limit=100)
    data = {"image/png": "x" * 200, "text/plain": "<Figure>"}
    found.output(0, {"output_type": "display_data", "data": data, "metadata": {}})
    [text] = shown(found)
    assert text.startswith("<Figure>\n[mlflowkit: image/png of")
    assert list(found._notebook.cells[0].outputs[0].data) == ["text/plain"]


def test_a_display_is_updated_wherever_it_stands() -> None:
    found = outputs()
    found.output(0, display("old"), "d1")
    found.output(1, display("old"), "d1")
    found.update("d1", {"text/plain": "new"}, {})
    assert shown(found, 0) + shown(found, 1) == ["new", "new"]


def test_clearing_with_wait_happens_when_the_next_output_comes() -> None:
    found = outputs()
    found.stream(0, "stdout", "old\n")
    found.clear(0, wait=True)
    assert shown(found) == ["old\n"]
    found.stream(0, "stdout", "new\n")
    assert shown(found) == ["new\n"]
