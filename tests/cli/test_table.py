"""A run as a table, in a terminal that is too narrow for what there is to say."""

from __future__ import annotations

from tests.cli.terminal import Terminal

WORDY = """
from mlflowkit import DAG, EmptyOperator, task

@task
def fails():
    raise ValueError("why " * 200)

with DAG("wordy") as d:
    fails() >> EmptyOperator(task_id="after")
"""


def test_a_long_reason_takes_no_room_from_names_and_states(terminal: Terminal) -> None:
    terminal.pipeline(WORDY)
    assert terminal("run", "p.py").status == 1
    lines = terminal("runs", "show", "wordy/1").out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["Task", "State"],
        ["fails", "failed"],
        ["after", "upstream_failed"],
    ]
    assert "ValueError: why why" in lines[2]
