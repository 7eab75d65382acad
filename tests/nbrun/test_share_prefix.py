# mypy: allow-untyped-calls
"""Mapped notebooks that share their prefix: real kernels, and an engine between them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from mlflowkit import dag, notebook, secret
from mlflowkit.errors import BadOption
from mlflowkit.nbrun import kernel_place
from mlflowkit.nbrun.kernel_client import NoForkedKernel
from mlflowkit.nbrun.prefix.analysis import Source, Split, split, why_not
from mlflowkit.ports import Shared
from mlflowkit.worker import masking
from tests.homes import fresh_home
from tests.nbrun.conftest import Ran, code, execute, save, text
from tests.nbrun.kernels import OwnServer, wait_until

DEFAULTS = "lr = 0.1\nrows = [1]"
#: Says in a file how often it ran.
LOADS = "open('count', 'a').write('x')\ndata = [r * 2 for r in rows]"
SCORES = "score = lr * sum(data)\nscore"


@pytest.fixture(autouse=True)
def _whole_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative entry would make every kernel a cold one; an edit of our code, while a test
    runs, has its second instance served by another server."""
    monkeypatch.setattr(kernel_place, "_SEEN_SECONDS", 1e9)
    entries = os.environ.get("PYTHONPATH", "")
    if entries:
        absolute = [str(Path(each).absolute()) for each in entries.split(os.pathsep)]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(absolute))


class Sweep:
    """The instances of one mapped notebook in one run."""

    def __init__(self, folder: Path, *cells: Any, defaults: str = DEFAULTS) -> None:
        self.folder = folder
        self.path = save(folder / "nb.ipynb", code(defaults, "parameters"), *cells)

    def run(self, lr: float, *, shared: bool = True, **order: Any) -> Ran:
        given = Shared(mapped=("lr",), run=str(self.folder), instance=f"lr {lr}")
        order.setdefault("parameters", {"lr": lr, "rows": (1, 2, 3)})
        output = self.folder / f"out-{lr}-{shared}.ipynb"
        return execute(self.path, output=output, shared=given if shared else None, **order)

    def times(self) -> int:
        """How often the prefix ran."""
        return len((self.folder / "count").read_text())


def told(ran: Ran) -> Any:
    return ran.notebook.metadata.mlflowkit["shared_prefix"]


def shown(ran: Ran) -> list[Any]:
    """What a reader sees of an executed notebook."""
    return [
        (cell.source, cell.get("execution_count"), cell.get("outputs"))
        for cell in ran.notebook.cells
    ]


def test_instances_share_what_ran_once_and_look_and_end_as_if_they_had_run_it_alone(
    tmp_path: Path,
) -> None:
    sweep = Sweep(
        tmp_path,
        text("# Data"),
        code(f"import sys\n{LOADS}\nprint('a'); print('b', file=sys.stderr); print('c')\ndata"),
        code("import random, logging; random.seed(4); rows = rows[:2]; same = data\n"
             "from IPython.display import HTML, clear_output\nprint('gone'); clear_output()\n"
             "display(HTML('<b>1</b>')); print('after')\n"
             "log = logging.getLogger('x'); log.addHandler(logging.StreamHandler())\n"
             "def fit(lr):\n    return lr * len(data)"),
        code(SCORES),
        code("drawn = random.random(); log.warning('heard'); same.append(9)\n"
             "print(rows, data, In[2], _3, sorted(Out), len(In), fit(lr=1), __name__)"),
        code("import asyncio\nawait asyncio.sleep(0)\n"
             "kernel = get_ipython().kernel\nkernel.shell is get_ipython()"),
    )  # fmt: skip
    returns = ("score", "drawn", "rows", "data")
    with ThreadPoolExecutor(4) as pool:
        rates = [0.5, 0.25, 0.125, 2.0]
        together = list(pool.map(lambda lr: sweep.run(lr, returns=returns), rates))
    assert [ran.error for ran in together] == [None] * 4
    assert sweep.times() == 1
    restored = ["restored"] * 4 + ["completed"] * 3
    assert [ran.statuses() for ran in together] == [restored] * 4
    [maker] = {told(ran)["run_by"] for ran in together}
    assert maker in {f"lr {lr}" for lr in rates}
    assert [told(ran) for ran in together] == [{"cells": 4, "run_by": maker}] * 4
    for lr, ran in zip(rates[:2], together, strict=False):
        alone = sweep.run(lr, shared=False, returns=returns)
        assert dict(ran.values) == dict(alone.values)
        assert shown(ran) == shown(alone)
    assert sweep.times() == 3


UNSAFE = {
    "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()": (
        "it leaves Python threads running ("
    ),
    "import socket; left = socket.socket()": "it left a socket open",
    "left = open('count')": "it left a file open",
    "import subprocess; left = subprocess.Popen(['sleep', '60'])": "it left a process running",
    "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)": "it set a signal handler",
    "import tempfile; left = tempfile.TemporaryDirectory()": "it made a temporary folder",
    "import os; os.write(1, b'raw')": "it wrote to the process's own streams",
    "import ipywidgets; left = ipywidgets.IntSlider()": "cell 3: it made a widget",
    "shown = display(1, display_id=True)": "cell 3: it made a display that may change later",
    "from ask_helper import ask\nask()": "cell 3: it asked for input",
    "from push_helper import hand_on\nhand_on()": "it pushed a value",
}


@pytest.mark.parametrize(("source", "why"), UNSAFE.items(), ids=range(len(UNSAFE)))
def test_what_a_fork_could_not_have_is_run_by_each_instance_and_it_is_said_why(
    tmp_path: Path, source: str, why: str
) -> None:
    (tmp_path / "ask_helper.py").write_text(
        "def ask():\n    try:\n        input()\n    except Exception:\n        pass\n"
    )
    (tmp_path / "push_helper.py").write_text(
        "def hand_on():\n    import mlflowkit\n    mlflowkit.push('early', 1)\n"
    )
    sweep = Sweep(tmp_path, code(f"{LOADS}\n{source}; 'fine'"), code(SCORES))
    ran = sweep.run(0.5, returns=("score",))
    assert (ran.error, ran.values["score"]) == (None, 6.0)
    assert ran.statuses() == ["completed"] * 4
    assert told(ran)["cells"] == 0
    assert why in told(ran)["why"]


def test_a_cell_that_may_depend_on_a_mapped_name_ends_the_prefix() -> None:
    mapped = ["lr"]
    assert why_not("data = load()\nfit(lr=2)\ndef f(lr): return lr", mapped) == ""
    assert why_not("x = mlflowkit.input('rows')\nimport mlflowkit", mapped) == ""
    ending = {
        "lr * 2": "uses 'lr'",
        "def f():\n    return lr": "uses 'lr'",
        "[x for x in y if x > lr]": "uses 'lr'",
        "lr = 3": "uses 'lr'",
        "print(f'{lr}')": "uses 'lr'",
        "%run other.py": "is not plain Python (a magic, await, or an error)",
        "x = !ls": "is not plain Python (a magic, await, or an error)",
        "await x": "is asynchronous",
        "def f(:": "is not plain Python (a magic, await, or an error)",
        "exec(code)": "uses exec",
        "globals()[n]": "uses globals",
        "get_ipython().user_ns": "uses get_ipython",
        "sys.modules['x']": "uses .modules",
        "import __main__": "imports __main__",
        "df.query('x > @lr')": "has a text that names 'lr'",
        "mlflowkit.input(name)": "uses mlflowkit",
        "mlflowkit.input('lr')": "has a text that names 'lr'",
        "mlflowkit.push('a', 1)": "uses mlflowkit",
        "from mlflowkit import push": "imports from mlflowkit",
        "import mlflowkit as m": "imports from mlflowkit",
        "async def f(): pass": "is asynchronous",
        "os.environ['MLFLOWKIT_STATE_DIR']": "reads what differs from attempt to attempt",
    }
    found = {source: why_not(source, mapped) for source in ending}
    assert found == ending


def test_the_injected_cell_is_parted_into_what_all_share_and_what_differs() -> None:
    injected = "# Parameters\nlr = 0.5\nrows = [1,\n  2]\n"
    cells = [Source(0, "lr = 1\nrows = []"), Source(2, injected, injected=True)]
    found = split([*cells, Source(3, "sum(rows)"), Source(5, "lr")], ["lr"])
    shared = "# Parameters\n\nrows = [1,\n  2]"
    ran = ((0, "lr = 1\nrows = []"), (2, shared), (3, "sum(rows)"))
    assert found == Split(ran, "lr = 0.5", (2, injected), "cell 6 uses 'lr'")
    assert split(cells[1:], ["lr"]) == Split(why="no other cell is before it")
    early = [Source(0, "half = lr / 2\nlr = 1"), *cells[1:], Source(3, "1")]
    assert split(early, ["lr"]) == Split(why="cell 1 uses 'lr'")


def test_a_prefix_that_fails_fails_each_instance_with_its_own_cell(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, code(f"{LOADS}\n1 / 0"), code(SCORES))
    for lr in (0.5, 0.25):
        ran = sweep.run(lr)
        assert ran.statuses() == ["completed", "completed", "failed", "not run"]
        assert (ran.error.ename, told(ran)) == (
            "ZeroDivisionError",
            {"cells": 0, "why": "cell 3 failed (ZeroDivisionError)"},
        )
    assert sweep.times() == 3  # once for both, and once in each


def test_instances_go_on_alone_when_the_prefix_is_killed_half_way(tmp_path: Path) -> None:
    pid, once = (
        tmp_path / "pid",
        "import os, time, pathlib\nfirst = not pathlib.Path('pid').exists()",
    )
    waits = f"{once}\nif first:\n    pathlib.Path('pid').write_text(str(os.getpid()))\n    time.sleep(60)"
    sweep = Sweep(tmp_path, code(LOADS), code(waits), code(SCORES))
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(sweep.run, lr, returns=("score",)) for lr in (0.5, 0.25)]
        wait_until(lambda: pid.exists() and bool(pid.read_text()), "no prefix ran", 120)
        os.kill(int(pid.read_text()), signal.SIGKILL)
        done = [each.result(120) for each in running]
    assert [ran.values["score"] for ran in done] == [6.0, 3.0]
    why = "the process that ran them ended before it was done"
    assert [told(ran) for ran in done] == [{"cells": 0, "why": why}] * 2


WAITS = "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)"


def test_a_prefix_stays_with_its_server_when_new_kernels_come_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(tmp_path, code(LOADS), code(WAITS), code(SCORES))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sweep.run, 0.5, returns=("score",))
        wait_until((tmp_path / "count").exists, "no prefix ran")
        with monkeypatch.context() as edited:
            edited.setattr(kernel_place, "_working_tree", lambda *_: "edited")
            (tmp_path / "go").touch()
            ran = running.result(120)
    assert (ran.values["score"], told(ran)["cells"], sweep.times()) == (6.0, 4, 1)


def test_no_prefix_that_runs_is_let_go_for_another_one_when_nobody_asks_for_a_moment(
    tmp_path: Path,
) -> None:
    server = OwnServer()

    def ask(number: int) -> str:
        for folder in ("pushed", "inputs"):
            (tmp_path / folder).mkdir(exist_ok=True)
        cells = [[0, f"open('ran-{number}', 'a').write('x')\n{WAITS}"]]
        wanted = {"env": dict(os.environ), "late_env": {}, "umask": 0o022, "args": []}
        wanted |= {"cells": cells, "io": str(tmp_path), "cwd": str(tmp_path)}
        told, files = server.server.prefix(wanted | {"key": str(number), "label": ""})
        for each in files:
            os.close(each)
        return str(told["state"])

    try:
        assert [ask(number) for number in range(4)] == ["running"] * 4
        wait_until(lambda: len(list(tmp_path.glob("ran-*"))) == 4, "they do not run")
        time.sleep(1.2)  # nobody asks
        with pytest.raises(NoForkedKernel, match="4 other shared prefixes are in use"):
            ask(4)
        (tmp_path / "go").touch()
        wait_until(lambda: {ask(number) for number in range(4)} == {"ready"}, "not ready")
        assert [each.read_text() for each in tmp_path.glob("ran-*")] == ["x"] * 4
    finally:
        server.close()


def test_a_kernel_outlives_the_prefix_it_came_from_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    sweep = Sweep(tmp_path, code(f"{LOADS}\nimport os, pathlib\npid = os.getpid()"),
                  code("pathlib.Path('pids').write_text(f'{pid} {os.getpid()} {lr}')"),
                  code(f"{WAITS}\nlr"), code(SCORES))  # fmt: skip
    pids = tmp_path / "pids"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sweep.run, 0.5, returns=("score",))
        wait_until(
            lambda: pids.exists() and pids.read_text().count(" ") == 2, "no cell", 60
        )
        prefix, kernel = map(int, pids.read_text().split()[:2])
        os.kill(prefix, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(prefix), "the prefix does not end")
        (tmp_path / "go").touch()
        ran = running.result(60)
    assert (ran.values["score"], told(ran)["cells"]) == (6.0, 3)
    wait_until(lambda: not psutil.pid_exists(kernel), "the kernel was left behind")


def test_nothing_is_shared_between_runs_other_inputs_or_where_a_secret_is_given(
    tmp_path: Path,
) -> None:
    sweep = Sweep(tmp_path, code(LOADS), code(SCORES))
    assert sweep.run(0.5).error is None
    assert sweep.run(0.25, parameters={"lr": 0.25, "rows": (4,)}).error is None
    other = Shared(mapped=("lr",), run="another run", instance="lr 1")
    given = {"lr": 1.0, "rows": (1, 2, 3)}
    ran = execute(sweep.path, parameters=given, shared=other)
    assert (told(ran)["run_by"], sweep.times()) == ("lr 1", 3)

    asks = Sweep(tmp_path / "s", code("x = 1"), code("lr"), defaults="lr = 1\nword = None")
    ran = asks.run(2, parameters={"lr": 2, "word": secret("var:no_such")})
    assert told(ran) == {
        "cells": 0,
        "why": "a secret is given to it, which each instance asks for itself",
    }


def test_what_is_hidden_is_hidden_in_what_the_prefix_put_out(tmp_path: Path) -> None:
    masking.hide(["sword-fish-of-the-prefix"], "the test")
    says = "word = 'sword-' + 'fish-of-the-prefix'\nprint(word)\nword"
    ran = Sweep(tmp_path, code(says), code(SCORES)).run(0.5)
    assert told(ran)["cells"] == 3
    assert ran.printed(2) == "***\n"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"sword-fish" in path.read_bytes()] == []


# ── with an engine ──


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_home(tmp_path) as made:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(made))
        yield made


def test_a_sweep_of_eight_loads_once_and_a_retry_runs_its_notebook_alone(
    home: Path, tmp_path: Path
) -> None:
    fails = "import pathlib\nmark = pathlib.Path(f'failed-{lr}')\nif lr == 3 and not mark.exists():\n    mark.touch(); 1 / 0"
    path = save(tmp_path / "fit.ipynb", code(DEFAULTS, "parameters"), code(LOADS),
                code(fails), code(SCORES))  # fmt: skip

    @dag
    def training() -> None:
        fit = notebook.partial(str(path), rows=[1, 2], returns=["score"], share_prefix=True,
                               retries=1, retry_delay=timedelta(seconds=0.1))  # fmt: skip
        fit.expand(lr=[1, 2, 3, 4, 5, 6, 7, 8])

    run = training().run(wait=False)
    run.wait(timeout=120)
    assert list(run["fit"].result("score")) == [6 * lr for lr in range(1, 9)]
    assert len((tmp_path / "count").read_text()) == 2  # once for all, once for the retry
    found = [nbformat.read(each, as_version=4) for each in run.path.rglob("fit*.ipynb")]
    kinds = [tuple(c.metadata.mlflowkit["status"] for c in nb.cells) for nb in found]
    shared, failed = ("restored",) * 3, ("restored",) * 3 + ("failed", "not run")
    assert kinds.count((*shared, "completed", "completed")) >= 7
    assert kinds.count(failed) >= 1
    assert kinds.count(("completed",) * 5) >= 1


def test_sharing_is_for_mapped_notebooks_and_not_for_checkpoints(tmp_path: Path) -> None:
    path = save(tmp_path / "fit.ipynb", code(DEFAULTS, "parameters"))

    @dag
    def plain() -> None:
        notebook(str(path), share_prefix=True)

    @dag
    def stored() -> None:
        notebook.partial(str(path), share_prefix=True, checkpoint="always").expand(lr=[1])

    with pytest.raises(BadOption, match="is for mapped notebooks"):
        plain()
    with pytest.raises(BadOption, match='does not go with checkpoint="always"'):
        stored()
