"""What cells do to their kernel, and what the notebook says of it: every status, no guess."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlflowkit.errors import CellFailed
from tests.nbrun.conftest import Ran, code, execute, save
from tests.nbrun.test_processes import is_gone, wait_until

FORKS = """
import os
pid = os.fork()
if pid == 0:
    print("in the child", flush=True)
    os._exit(7)
os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
FORK_GOES_ON = """
import os, time
left = os.fork()
if left == 0:
    time.sleep(600)
left
"""
THREADS = """
import threading, time
ended = threading.Event()
def forever():
    while True:
        time.sleep(0.05)
for daemon in (False, True):
    threading.Thread(target=forever, daemon=daemon).start()
print(threading.active_count() > 2)
"""
CLOSES = "import os, sys\nsys.stdout.close()"
CLOSES_DEEPER = "os.close(1)\nos.close(2)\nsys.__stdout__ = None"
GROUP = "import os, signal\nprint('last words', flush=True)\nos.killpg(0, signal.SIGKILL)"
QUOTA = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print("before")
with open("big.bin", "wb") as out:
    out.write(b"x" * 1_000_000)
"""


def papermills(ran: Ran) -> dict[str, Any]:
    told = ran.notebook.metadata.papermill
    return {"cells": ran.papermill_statuses(), "exception": told["exception"]}


def test_a_fork_in_a_cell_leaves_the_notebook_whole(run: Any) -> None:
    ran = run(code(FORKS), code(FORK_GOES_ON), code("print('still here')\n1 + 1"))
    assert ran.error is None
    assert ran.statuses() == ["completed"] * 3
    assert ran.notebook.cells[0].outputs[-1].data["text/plain"] == "7"
    assert ran.printed(2) == "still here\n"
    child = int(ran.notebook.cells[1].outputs[-1].data["text/plain"])
    wait_until(lambda: is_gone(child), "a process that a cell forked outlived its kernel")


def test_threads_that_never_end_do_not_keep_the_kernel(run: Any) -> None:
    ran = run(code(THREADS), code("import os\nos.getpid()"))
    assert (ran.error, ran.statuses()) == (None, ["completed"] * 2)
    assert is_gone(int(ran.notebook.cells[1].outputs[0].data["text/plain"]))


def test_a_cell_that_closes_its_output_does_not_stop_the_notebook(run: Any) -> None:
    cells = [code("print('before')"), code(CLOSES), code(CLOSES_DEEPER), code("x = 42\nx")]
    ran = run(*cells, returns=("x",))
    assert (ran.error, ran.values) == (None, {"x": 42})
    assert ran.statuses() == ["completed"] * 4
    assert ran.notebook.cells[3].outputs[0].data["text/plain"] == "42"


def test_a_cell_that_kills_its_process_group_kills_its_kernel_alone(run: Any) -> None:
    before = os.getpid()
    ran = run(code("1"), code(GROUP), code("2"), code("3"))
    assert isinstance(ran.error, CellFailed)
    assert (ran.error.cell, ran.error.status) == (1, "killed")
    assert "was killed by SIGKILL" in ran.error.evalue
    assert ran.statuses() == ["completed", "killed", "not run", "not run"]
    assert papermills(ran) == {
        "cells": ["completed", "failed", "pending", "pending"],
        "exception": True,
    }
    assert psutil.Process(before).is_running()


def test_a_full_quota_is_an_error_of_the_cell_and_the_notebook_is_written(run: Any) -> None:
    ran = run(code("1"), code(QUOTA), code("2"))
    assert (ran.error.cell, ran.error.status, ran.error.ename) == (1, "error", "OSError")
    assert "File too large" in ran.error.evalue
    assert ran.error.stream == "before\n"
    assert ran.statuses() == ["completed", "failed", "not run"]


def test_a_disk_that_fills_up_loses_no_cell_that_ran(tmp_path: Path) -> None:
    """Its folder is full, the one of the executed notebook is not."""
    path = save(
        tmp_path / "source" / "nb.ipynb",
        code("1"),
        code("open('/dev/full', 'w').write('x' * 100_000)"),
        code("2"),
    )
    ran = execute(path, output=tmp_path / "out" / "nb.ipynb")
    assert "No space left on device" in ran.error.evalue
    assert ran.statuses() == ["completed", "failed", "not run"]


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGHUP", "SIGABRT"])
def test_a_kernel_that_is_ended_by_a_signal_names_it(run: Any, signal_name: str) -> None:
    die = f"import os, signal\nos.kill(os.getpid(), signal.{signal_name})\nsignal.pause()"
    ran = run(code("1"), code(die), code("2"))
    assert (ran.error.cell, ran.error.status) == (1, "killed")
    assert signal_name in ran.error.evalue
    assert ran.statuses() == ["completed", "killed", "not run"]
    assert papermills(ran)["cells"] == ["completed", "failed", "pending"]


def test_a_broken_repr_is_told_by_its_own_error(run: Any) -> None:
    broken = (
        "class Broken:\n    def _repr_html_(self):\n        raise RuntimeError('no html')"
    )
    ran = run(code(f"{broken}\nBroken()"), code("2"))
    assert (ran.error.ename, ran.error.evalue) == ("RuntimeError", "no html")
    assert ran.statuses() == ["failed", "not run"]


def test_a_cell_that_ignores_every_signal_is_ended_at_its_timeout(run: Any) -> None:
    deaf = "import signal, time\nfor n in (2, 15, 1): signal.signal(n, signal.SIG_IGN)\n"
    ran = run(
        code("1"),
        code(f"{deaf}while True: time.sleep(1)"),
        code("2"),
        cell_timeout=timedelta(seconds=2),
    )
    assert (ran.error.cell, ran.error.status) == (1, "timeout")
    assert ran.statuses() == ["completed", "timeout", "not run"]
    assert papermills(ran) == {
        "cells": ["completed", "failed", "pending"],
        "exception": True,
    }
