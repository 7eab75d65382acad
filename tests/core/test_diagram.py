"""The picture of the states is drawn from the table, and the page in docs is that picture."""

from __future__ import annotations

from pathlib import Path

from mlflowkit.core.diagram import MEANINGS, run_diagram, states_page, task_diagram
from mlflowkit.core.states import TRANSITIONS, TaskState

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states.md"


def test_the_page_in_docs_is_the_one_that_the_table_draws() -> None:
    """If not: write `states_page()` there (`make docs`)."""
    assert PAGE.read_text() == states_page()


def test_every_state_and_every_cause_is_in_the_picture_and_has_a_meaning() -> None:
    picture = task_diagram()
    for state, row in TRANSITIONS.items():
        for cause, after in row.items():
            lines = [x for x in picture.splitlines() if f" {state} --> {after}: " in x]
            assert len(lines) == 1
            assert str(cause) in lines[0].partition(": ")[2].split(" / ")
    assert MEANINGS.keys() == set(TaskState)


def test_the_life_of_a_run_is_four_arrows() -> None:
    assert run_diagram().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> queued",
        "    queued --> running: opened",
        "    running --> success: succeeded",
        "    running --> failed: failed",
        "    success --> running: cleared",
        "    failed --> running: cleared",
        "    success --> [*]",
        "    failed --> [*]",
    ]
