"""The kernel of a failed notebook, at a terminal, after its engine was killed."""

from __future__ import annotations

import signal
from pathlib import Path

from mlflowkit.nbrun.held import held_kernels
from tests.cli.terminal import Terminal, wait_until
from tests.nbrun.conftest import code, save
from tests.nbrun.kernels import is_gone

PIPELINE = """
from mlflowkit import dag, notebook

@dag
def d():
    notebook("fit.ipynb", keep_failed_kernel=120, retries=0)
    notebook("other.ipynb", retries=0)
"""


def test_a_held_kernel_is_listed_opened_and_released_when_its_engine_is_gone(
    tmp_path: Path,
) -> None:
    terminal = Terminal(tmp_path)
    for name in ("fit", "other"):
        save(tmp_path / f"{name}.ipynb", code("x = 41"), code("1 / 0"))
    terminal.pipeline(PIPELINE)
    assert terminal("run", "p.py").status == 1
    (kernel,) = held_kernels(terminal.home)
    assert (kernel.run_id, kernel.task, kernel.cell) == ("d/1", "fit", 1)
    for process in terminal.left_running():
        if "mlflowkit.engine" in " ".join(process.cmdline()):
            process.send_signal(signal.SIGKILL)
    listed = terminal("notebook", "held", "--json").json()
    assert [one["task"] for one in listed if one["id"] == kernel.id] == ["fit"]
    opened = terminal("notebook", "open", "d/1", "fit", "--print")
    assert "cell 2 failed with ZeroDivisionError: division by zero" in opened.out
    assert f"jupyter console --existing {terminal.home}" in opened.out
    assert terminal("notebook", "open", "d/1", "other", "--print").status != 0
    again = terminal("runs", "retry", "d/1", "--task", "fit", "--resume", "cell")
    assert again.status == 1
    (later,) = held_kernels(terminal.home)
    assert (later.pid, later.attempt) == (kernel.pid, 2)
    released = terminal("notebook", "release", "d/1", "fit")
    assert released.out == f"ended {later.id}\n"
    assert terminal("notebook", "release", later.id).status != 0
    wait_until(lambda: is_gone(kernel.pid), "the kernel ends")
    assert held_kernels(terminal.home) == []

    assert terminal("runs", "retry", "d/1", "--task", "fit").status == 1
    (third,) = held_kernels(terminal.home)
    said = "d/1 had ended already: failed"
    cancelled = terminal("runs", "cancel", "d/1")
    assert cancelled.out == f"{said}; held kernels that ended: 1\n"
    wait_until(lambda: is_gone(third.pid), "the kernel ends with its run's cancellation")
    assert terminal("runs", "cancel", "d/1").out == f"{said}\n"
    terminal.close()
