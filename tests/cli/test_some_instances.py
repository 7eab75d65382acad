"""`mlflowkit runs clear|retry|mark|cancel` of single instances of a mapped task."""

from __future__ import annotations

import pytest
import typer

from mlflowkit.cli.targets import target, targets
from mlflowkit.core.machine import replay
from mlflowkit.core.machine.run import Run, RunRow
from mlflowkit.core.spec import RunId
from mlflowkit.errors import NotCleared, TaskNotInRun
from mlflowkit.handles.run import RunHandle
from mlflowkit.home_store import database
from mlflowkit.store import run_log
from mlflowkit.store import runs as stored
from tests.cli.terminal import Terminal, wait_until
from tests.core.drill import differences

#: Instance 1 fails while there is no file `flag`, and waits while there is a file `wait`.
HALVES = """
import time
from pathlib import Path
from mlflowkit import dag, task

HERE = str(Path(__file__).parent)

@task
def half(n: int) -> float:
    with open(f"{HERE}/ran{n}", "a") as file:
        file.write("x")
    while Path(HERE, "wait").exists():
        time.sleep(0.02)
    if n == 1 and not Path(HERE, "flag").exists():
        raise ValueError("there is no flag")
    return n / 2

@task
def total(values: list[float]) -> float:
    print("the sum is", sum(values))
    return sum(values)

@dag
def halves():
    total(half.expand(n=[0, 1, 2, 3]))
"""


def _ran(terminal: Terminal) -> list[int]:
    """How often each of the instances was begun."""
    return [len((terminal.folder / f"ran{n}").read_text()) for n in range(4)]


def test_one_instance_is_cleared_through_a_crash_and_the_log_replays_to_the_same_run(
    terminal: Terminal,
) -> None:
    file = terminal.pipeline(HALVES)
    assert terminal("run", "p.py").status == 1
    file.write_text(HALVES.replace("sum(values)", "1 + sum(values)"))
    told = terminal("runs", "retry", "halves/1", "--dry-run", "--json").json()
    assert told == {"again": ["half[1]", "total"], "lost": [], "changed": ["half", "total"]}
    shown = terminal("runs", "clear", "halves/1", "half[0,2-3]", "--dry-run").out
    assert shown.splitlines() == [
        "would run again: half[0], half[2], half[3]",
        "results that would be replaced: half[0], half[2], half[3]",
        "changed since the run was started: half, total",
    ]
    assert _ran(terminal) == [1, 1, 1, 1], "it was only looked at"

    (terminal.folder / "wait").touch()
    process = terminal.start("runs", "clear", "halves/1", "half[1]")
    wait_until(lambda: _ran(terminal) == [1, 2, 1, 1], "the instance runs again")
    process.kill()
    process.communicate()
    (terminal.folder / "wait").unlink()
    (terminal.folder / "flag").touch()
    resumed = terminal("runs", "resume", "halves/1", "--json")
    assert (resumed.status, set(resumed.json()["tasks"].values())) == (0, {"success"})
    assert _ran(terminal) == [1, 3, 1, 1]
    assert terminal("runs", "logs", "halves/1", "total").out == "the sum is 4.0\n"

    again = terminal("runs", "clear", "halves/1", "half[1]", "half[3]", "--only", "--json")
    assert again.status == 0
    assert _ran(terminal) == [1, 4, 1, 2]
    handle = RunHandle("halves/1", terminal.home)
    assert [i.attempt for i in handle.view().task("total").instances] == [1]
    with database(terminal.home).reading() as tx:
        found = stored.load_run(tx, RunId("halves/1"))
        log = run_log.read(tx, "halves/1")
    assert found is not None
    spec, row = found.run.spec, RunRow(run_id=RunId("halves/1"))
    assert differences(replay(Run(spec, row), log), found.run) == {}

    for name, index, why in (("half", 4, "[0] to [3]"), ("total", 0, "it is not mapped")):
        with pytest.raises(NotCleared) as refused:
            handle[name].clear(indexes=[index])
        assert why in str(refused.value)
    with pytest.raises(NotCleared, match="it has succeeded"):
        handle["half"][1].retry()
    with pytest.raises(TaskNotInRun):
        target(handle, "nobody[1]")
    for wrong in ("half[]", "half[b]", "half[3-1]", "half[-1]"):
        with pytest.raises(typer.BadParameter):
            target(handle, wrong)
    assert targets(handle, ["half[1]", "half[0-1]", "total"]) == (
        ("total",),
        {"half": (1, 0)},
    )
    assert targets(handle, ["half[1]", "half"]) == (("half",), {})


def test_one_instance_is_stopped_while_the_others_go_on(terminal: Terminal) -> None:
    terminal.pipeline(HALVES)
    (terminal.folder / "wait").touch()
    (terminal.folder / "flag").touch()
    process = terminal.start("run", "p.py", "--json")
    wait_until((terminal.folder / "ran0").exists, "the first instance runs")
    assert terminal("runs", "cancel", "halves/1", "half[0]").status == 0
    (terminal.folder / "wait").unlink()
    process.communicate()
    view = RunHandle("halves/1", terminal.home).view()
    assert [(str(i.state), i.reason) for i in view.task("half").instances] == [
        ("failed", "cancelled"),
        ("success", ""),
        ("success", ""),
        ("success", ""),
    ]
