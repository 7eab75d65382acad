"""A running notebook in a line, and whether its cell may be stuck."""

from __future__ import annotations

from typing import Any

from mlflowkit.core.notebook_progress import NotebookProgress


def fold(*notes: dict[str, Any]) -> NotebookProgress:
    progress = NotebookProgress()
    for note in ({"kind": "notebook_started", "cells": 23}, *notes):
        progress.take(note)
    return progress


STARTED = {"kind": "cell_started", "cell": 8, "source": "model.fit(x)", "at": 1000.0}


def test_a_line_says_which_cell_how_long_its_source_and_its_last_words() -> None:
    output = {"kind": "cell_output", "cell": 8, "text": "first\n10%\r 20%\n"}
    assert fold(STARTED, output).line(1040.0) == "cell 1 of 23, 40 s: model.fit(x) | 20%"


def test_a_report_says_more_than_the_last_words() -> None:
    report = {"kind": "progress", "cell": 8, "epoch": 3, "epochs": 8, "loss": 0.31}
    output = {"kind": "cell_output", "cell": 8, "text": "noise"}
    line = fold(STARTED, output, report).line(1000.0)
    assert line == "cell 1 of 23: model.fit(x) | epoch 3/8, loss 0.310"


def test_a_cell_without_output_and_cpu_may_be_stuck_and_one_of_them_is_life() -> None:
    def running(quiet: float, idle: float) -> str:
        signs = {"seconds": 300.0, "quiet": quiet, "idle": idle}
        return fold(STARTED, {"kind": "cell_running", "cell": 8, **signs}).line()

    hint = "no output and no CPU for 45 s: stuck?"
    assert running(50.0, 45.0) == f"cell 1 of 23, 5 min 00 s: model.fit(x) | {hint}"
    assert (
        running(200.0, 1.0)
        == running(1.0, 200.0)
        == ("cell 1 of 23, 5 min 00 s: model.fit(x)")
    )


def test_late_words_of_a_thread_do_not_make_a_cell_run_again() -> None:
    ended = {"kind": "cell_ended", "cell": 8, "status": "ok", "seconds": 2.0}
    late = {"kind": "cell_output", "cell": 8, "text": "late"}
    progress = fold(STARTED, ended, late)
    picture = progress.picture()
    assert (picture["current"], picture["cells"][0]["status"]) == (-1, "ok")
    assert picture["cells"][0]["last"] == "late"


def test_before_anything_was_told_there_is_no_line() -> None:
    assert NotebookProgress().line() == ""
    assert fold().line() == ""
