# mypy: allow-untyped-calls
"""Going on in the very kernel that failed, which was held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.nbrun import held
from mlflowkit.nbrun.checkpoint.partly import why_not_again
from mlflowkit.nbrun.held import HeldKernel
from tests.nbrun.conftest import Ran, code, execute, save
from tests.nbrun.kernels import is_gone, say, wait_until

Attempt = Callable[..., Ran]


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    """Attempts of one task instance, one after another."""
    number = [0]

    def run(*cells: str, **order: Any) -> Ran:
        number[0] += 1
        owner: dict[str, Any] = {
            "home": str(tmp_path.resolve()),
            "run_id": "r/1",
            "task_id": "fit",
        }
        owner |= {"map_index": None, "attempt": number[0]}
        given = {"keep_failed_kernel": timedelta(seconds=240), "owner": owner}
        given |= {"checkpoint": "never", "resume": number[0] > 1}
        head = [code("n = 1; table = None", "parameters")] if "parameters" in order else []
        path = save(tmp_path / "fit.ipynb", *head, *map(code, cells))
        return execute(path, **{**given, **order})

    yield run
    for one in held.held_kernels(tmp_path):
        one.release()


def only(folder: Path) -> HeldKernel:
    (kernel,) = held.held_kernels(folder)
    return kernel


def client_of(kernel: HeldKernel) -> Any:
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=str(kernel.connection_file()))
    client.load_connection_file()
    client.start_channels(hb=False)
    client.wait_for_ready(timeout=60)
    return client


MADE = """
import mlflowkit, os, socket, threading
lock, pair = threading.Lock(), socket.socketpair()
os.environ["OF_CELL"] = "cell"
os.environ["BOTH"] = "cell"
mlflowkit.push("early", 41)
print("made", table.sum())
"""
SEEN = """
print(os.environ["ATTEMPT"], os.environ["OF_CELL"], os.environ["BOTH"], "GONE" in os.environ)
print(os.path.isdir(os.environ["MLFLOWKIT_NOTEBOOK_IO"]), pair[0].fileno() > 0, pid == os.getpid())
os.system("echo by the process")
"""


def test_another_attempt_goes_on_from_the_mended_cell_in_the_held_kernel(
    attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    table = {"table": np.arange(4)}
    for name, value in {"ATTEMPT": "one", "BOTH": "one", "GONE": "one"}.items():
        monkeypatch.setenv(name, value)
    fails = 'mlflowkit.push("late", 1)\n1 / 0'
    first = attempt(MADE, "pid = os.getpid(); pid", fails, parameters=table)
    kernel = only(tmp_path)
    assert first.error.values == {"early": 41, "late": 1}
    monkeypatch.setenv("ATTEMPT", "two")
    monkeypatch.setenv("BOTH", "two")
    monkeypatch.delenv("GONE")
    again = attempt(MADE, "pid = os.getpid(); pid", SEEN + "1 / 0", parameters=table)
    assert again.error.ename == "ZeroDivisionError"
    assert again.statuses() == ["kept"] * 4 + ["failed"]
    assert again.printed(2) == first.printed(2) == "made 6\n"
    assert again.notebook.cells[3].outputs == first.notebook.cells[3].outputs != []
    assert again.printed(4).startswith("two cell cell False\nTrue True True\n")
    done = {"keep": 4, "restore": 0, "replay": 0, "run": 1, "of_attempt": 1}
    assert again.notebook.metadata.mlflowkit["resumed"] == done
    assert again.error.values == {"early": 41}
    later = only(tmp_path)
    assert (later.pid, later.attempt, later.cell) == (kernel.pid, 2, kernel.cell)
    mended = ("y = len(table)", "z = y")
    given: dict[str, Any] = {"parameters": table, "returns": ("z", "pid")}
    last = attempt(MADE, "pid = os.getpid(); pid", *mended, **given)
    assert last.error is None
    assert last.values == {"early": 41, "z": 4, "pid": kernel.pid}
    assert held.held_kernels(tmp_path) == []
    wait_until(lambda: is_gone(kernel.pid), "it lives")


BEGIN = "import time; time.sleep(0.4); x = [1]"


@pytest.mark.parametrize(
    "change", ["looked at", "prefix", "parameter", "twice", "module", "file"]
)
def test_where_it_is_not_for_sure_what_it_was_the_checkpoint_is_taken_or_all_runs(
    attempt: Attempt, tmp_path: Path, change: str
) -> None:
    (tmp_path / "helped.py").write_text("def f(): return 1\n")
    data = tmp_path / "data.txt"
    data.write_text("one")
    cells = [f"{BEGIN}; import helped", "m = n; text = open('data.txt').read()"]
    fails = "x.append(7)\nhelped.f() / 0" if change == "twice" else "helped.f() / 0"
    stored: dict[str, Any] = {"checkpoint": "always", "state_dir": tmp_path / "state"}
    stored["parameters"] = {"n": 1}
    attempt(*cells, fails, **stored)
    kernel = only(tmp_path)
    why = ""
    if change == "looked at":
        client = client_of(kernel)
        say(client, "x.append(2)")
        client.stop_channels()
        why = "somebody ran code in it since it failed"
    elif change == "prefix":
        cells[1] = cells[1].replace("m = n", "m = n + 1")
        why = "cell 4 of those that run has changed"
    elif change == "parameter":
        stored["parameters"] = {"n": 2}
        why = "cell 2 of those that run has changed"
    elif change == "module":
        (tmp_path / "helped.py").write_text("def f(): return 2\n")
        why = f"the module {tmp_path / 'helped.py'} has changed"
    elif change == "file":
        data.write_text("mended")
        why = f"the file {data} has changed since"
    else:
        why = "its failed cell may have changed x, and would do so twice"
    ran = attempt(*cells, "print(len(x), helped.f(), text)", **stored)
    reasons = ran.notebook.metadata.mlflowkit["reasons"]
    assert reasons[0] == f"not in the kernel that failed: {why}"
    assert "kept" not in ran.statuses()
    assert "restored" in ran.statuses()
    text = data.read_text()
    assert ran.printed(4) == f"1 {1 + (change == 'module')} {text}\n"
    wait_until(lambda: is_gone(kernel.pid), "the earlier one lives")


def test_a_kernel_that_was_taken_and_dies_leaves_the_checkpoints_of_both_attempts(
    attempt: Attempt, tmp_path: Path
) -> None:
    stored: dict[str, Any] = {"checkpoint": "always", "state_dir": tmp_path / "state"}
    attempt("x = [1]", "1 / 0", "y = 2", **stored)
    pid = only(tmp_path).pid
    dies = "import os, time; time.sleep(0.5); os.kill(0, 9)"
    killed = attempt("x = [1]", "z = x", dies, **stored)
    assert killed.statuses() == ["kept", "completed", "killed"]
    assert held.held_kernels(tmp_path) == []
    assert is_gone(pid)
    last = attempt("x = [1]", "z = x", "z.append(x is z); print(x)", **stored)
    assert last.statuses() == ["restored", "restored", "completed"]
    assert last.printed(2) == "[1, True]\n"


def test_a_busy_kernel_is_left_to_who_uses_it(
    attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflowkit.nbrun import going_on, kernel_forked

    attempt("x = 1", "1 / 0")
    kernel = only(tmp_path)
    client = client_of(kernel)
    client.execute("import time; time.sleep(60)")
    busy = client.get_iopub_msg(timeout=60)
    while busy["content"].get("execution_state") != "busy":
        busy = client.get_iopub_msg(timeout=60)
    monkeypatch.setattr(kernel_forked, "_WELCOME_SECONDS", 0.1)
    monkeypatch.setattr(going_on, "_ANSWER_SECONDS", 0.5)
    ran = attempt("x = 1", "print(x)")
    client.stop_channels()
    assert ran.statuses() == ["completed", "completed"]
    assert "somebody runs code in it" in ran.notebook.metadata.mlflowkit["reasons"][0]


@pytest.mark.parametrize(
    ("source", "line", "name"),
    [
        ("total += 1\n1 / 0", 2, "total"),
        ("df = df.dropna()\n1 / 0", 2, "df"),
        ("rows = []\nrows.append(1)\n1 / 0", 3, ""),
        ("rows.append(1 / 0)", 1, ""),
        ("1 / 0\nrows.append(1)", 1, ""),
        ("for n in a:\n    rows.append(n)\n    1 / n", 3, "rows"),
        ("for n in a:\n    n += 1\n    1 / n", 3, ""),
        ("with open(p) as out:\n    out.write('x')\n    1 / 0", 3, ""),
        ("d['x'] = d['x'] / 2\n1 / 0", 2, "d"),
        ("d['x'] = 5\n1 / 0", 2, ""),
        ("def f():\n    global n\n    n += 1\nf", 4, ""),
        ("first = next(numbers)\n1 / 0", 2, "numbers"),
        ("a, b = b, a\n1 / 0", 2, "a"),
        ("del x\n1 / 0", 2, "x"),
        ("x = (\n", 1, ""),
        ("%matplotlib inline\n1 / 0", 2, ""),
    ],
)
def test_what_a_cell_would_do_twice_is_seen(source: str, line: int, name: str) -> None:
    why = f"its failed cell may have changed {name}, and would do so twice"
    assert why_not_again(source, line) == (why if name else "")


def test_a_module_that_was_missing_is_found_once_it_is_there(
    attempt: Attempt, tmp_path: Path
) -> None:
    cells = ("import os; pid = os.getpid()", "import mended_later; y = mended_later.y")
    failed = attempt(*cells, returns=("y", "pid"))
    assert failed.error.ename == "ModuleNotFoundError"
    pid = only(tmp_path).pid
    (tmp_path / "mended_later.py").write_text("y = 5\n")
    assert attempt(*cells, returns=("y", "pid")).values == {"y": 5, "pid": pid}
