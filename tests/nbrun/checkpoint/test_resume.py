"""Going on from the failed cell: real kernels, and an engine between them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlflowkit import Connection, RunFailed, dag, home_store, notebook
from mlflowkit.nbrun.checkpoint import outside
from mlflowkit.nbrun.checkpoint.outside import FOLDER
from mlflowkit.nbrun.checkpoint.store import Store
from tests.homes import fresh_home
from tests.nbrun.conftest import Ran, code, execute, save

#: A cell that is worth a checkpoint, by its time.
COSTLY = "import time; time.sleep(0.4)"
LONG = [
    "import numpy as np, random, sqlite3, enum\nnp.random.seed(3)",
    "class Colour(enum.Enum):\n    RED = 1\ncount = 0\ndef bump():\n    global count\n    count += 1",
    "conn = sqlite3.connect(':memory:')\nconn.execute('create table t (n)').fetchall()",
    f"{COSTLY}\nx = np.arange(1e5); view = x[10:20]; red = Colour.RED; pair = [view, red]\n'shown'",
    "numbers = iter(range(10)); next(numbers)\nconn.execute('insert into t values (7)').rowcount",
    f"{COSTLY}\nbump(); drawn = np.random.rand(); print('costly', count)",
]
#: A cell that kills its kernel as soon as the checkpoint of the cell before it is whole.
KILLED_WHEN_KEPT = """
import os, time
from pathlib import Path
deadline = time.monotonic() + 120
def kept():
    names = [path.name for path in Path({kept!r}, "steps").glob("[!.]*")]
    return names and not [name for name in names if name.endswith("begun")]
while not kept() and time.monotonic() < deadline:
    time.sleep(0.02)
os.kill(os.getpid(), 9)
"""
CHECK = """
view[0] = -1
bump()
print(x[10] == pair[0][0] == -1, red is Colour.RED, Colour(1) is pair[1], count)
print(next(numbers), conn.execute('select n from t').fetchall(), _4, Out[4], len(In))
print(np.random.rand() == again)
"""
AGAIN = "_r = np.random.RandomState(3); _r.rand(); again = _r.rand()"


def attempt(folder: Path, *cells: str, **order: Any) -> Ran:
    path = save(folder / "nb.ipynb", *map(code, cells))
    given = {"checkpoint": "auto", "state_dir": folder / "state", **order}
    return execute(path, **given)


def store(folder: Path) -> Store:
    return Store(folder / "state" / FOLDER)


def test_a_second_attempt_has_what_the_first_one_had_before_its_failed_cell(
    tmp_path: Path,
) -> None:
    failed = attempt(tmp_path, *LONG, "1 / 0", AGAIN, CHECK, checkpoint="always")
    assert failed.statuses() == ["completed"] * 6 + ["failed", "not run", "not run"]
    kept = [p for p in (tmp_path / "state").rglob("*") if FOLDER in str(p)]
    assert {stat.S_IMODE(p.stat().st_mode) for p in kept if p.is_dir()} == {0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in kept if p.is_file()} == {0o600}

    mended = attempt(tmp_path, *LONG, "1 / 1", AGAIN, CHECK, resume=True)
    assert mended.error is None
    said = mended.notebook.metadata.mlflowkit
    # The connection and the iterator do not travel: the cells that made and used them run.
    again = ["restored", "restored", "completed", "restored", "completed", "restored"]
    assert mended.statuses() == [*again, "completed", "completed", "completed"]
    assert [c.metadata.mlflowkit.get("replayed", False) for c in mended.notebook.cells] == [
        *(False, False, True, False, True, False, False, False, False)
    ]
    assert said["resumed"] == {"restore": 4, "replay": 2, "run": 3}
    assert [reason for reason in said["reasons"] if "replayed" not in reason] == [
        "cell 7 of those that run has changed"
    ]
    assert mended.printed(5) == failed.printed(5) == "costly 1\n"
    assert mended.notebook.cells[3].outputs == failed.notebook.cells[3].outputs
    assert mended.printed(8) == ("True True True 2\n1 [(7,)] shown shown 10\nTrue\n")
    assert [cell.execution_count for cell in mended.notebook.cells] == list(range(1, 10))
    assert not store(tmp_path).folder.exists()


def test_a_kernel_that_was_killed_is_no_hindrance_and_what_was_pushed_is_there(
    tmp_path: Path,
) -> None:
    push = f"{COSTLY}\nimport mlflowkit, os; mlflowkit.push('n', 41)\nx = list(range(1000))"
    # The checkpoint of a cell is written while the next one runs.
    cells = [push, KILLED_WHEN_KEPT.format(kept=str(store(tmp_path).folder))]
    killed = attempt(tmp_path, *cells)
    assert killed.statuses() == ["completed", "killed"]
    mended = attempt(tmp_path, push, "y = len(x)", resume=True, returns=("y",))
    assert (mended.statuses(), mended.values) == (
        ["restored", "completed"],
        {"n": 41, "y": 1000},
    )


def test_a_change_before_the_failed_cell_is_where_it_starts(tmp_path: Path) -> None:
    cells = [f"{COSTLY}\nn = 1", f"{COSTLY}\nm = n + 1", f"{COSTLY}\nk = m", "1 / 0"]
    attempt(tmp_path, *cells)
    cells[1] = f"{COSTLY}\nm = n + 10"
    changed = attempt(tmp_path, *cells[:3], "print(n, m, k)", resume=True)
    assert changed.statuses() == ["restored", "completed", "completed", "completed"]
    assert changed.printed(3) == "1 11 11\n"
    assert changed.notebook.metadata.mlflowkit["reasons"] == [
        "cell 2 of those that run has changed"
    ]


def test_cells_that_took_no_time_are_not_stored_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "_WORTH_SECONDS", 20)  # on a busy machine all takes time
    cells = ["n = 1", "m = n + 1"]
    attempt(tmp_path, *cells, "1 / 0")
    again = attempt(tmp_path, *cells, "print(m)", resume=True)
    assert again.statuses() == ["completed", "completed", "completed"]
    assert again.printed(2) == "2\n"


def test_another_parameter_runs_all_that_comes_after_it(tmp_path: Path) -> None:
    folder = tmp_path
    given: dict[str, Any] = {"checkpoint": "always", "state_dir": tmp_path / "state"}
    cells = [code("n = 1", "parameters"), code(f"{COSTLY}\nm = n"), code("1 / 0")]
    path = save(folder / "nb.ipynb", *cells)
    execute(path, parameters={"n": 2}, **given)
    path = save(folder / "nb.ipynb", *cells[:2], code("print(m)"))
    ran = execute(path, parameters={"n": 3}, resume=True, **given)
    assert ran.statuses() == ["restored", "completed", "completed", "completed"]
    assert ran.printed(3) == "3\n"


def test_what_comes_out_differently_when_it_is_replayed_is_not_trusted(
    tmp_path: Path,
) -> None:
    doubtful = (
        "import sqlite3, time\nat = time.perf_counter(); conn = sqlite3.connect(':memory:')"
    )
    cells = [doubtful, f"{COSTLY}\nprint('long')"]
    attempt(tmp_path, *cells, "1 / 0", checkpoint="always")
    ran = attempt(tmp_path, *cells, "conn.close()", resume=True)
    assert ran.statuses() == ["completed"] * 3
    assert ran.notebook.metadata.mlflowkit["reasons"] == [
        "all cells ran: at came out differently when it was made again"
    ]


def test_settings_that_a_cell_changes_are_changed_again(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(
        "CALLS = []\ndef note(x):\n    CALLS.append(x)\n    return x\n"
    )
    cells = [
        "import os, sys, warnings\nimport pandas as pd, helper",
        "pd.set_option('display.max_rows', 7)\nos.environ['MODE'] = 'fast'",
        f"{COSTLY}\nframe = pd.DataFrame({{'a': range(20)}}); part = frame[['a']]",
        "noted = helper.note(5)",
        f"{COSTLY}\nframe.iloc[0, 0] = 100",
    ]
    attempt(tmp_path, *cells, "1 / 0", checkpoint="always")
    check = (
        "print(pd.get_option('display.max_rows'), os.environ['MODE'], helper.CALLS)\n"
        "part.iloc[1, 0] = 50; print(part.a[:2].tolist(), frame.a[:2].tolist())"
    )
    ran = attempt(tmp_path, *cells, check, resume=True)
    assert ran.statuses()[1:4] == ["completed", "restored", "completed"]
    assert ran.printed(5) == "7 fast [5]\n[0, 50] [100, 1]\n"


def test_settings_that_no_name_in_a_cell_gives_away_are_set_again(tmp_path: Path) -> None:
    (tmp_path / "setting.py").write_text(
        "def third(m): m.ONE_THIRD = 0.5\ndef numpy(m): m.seterr(all='ignore')\n"
        "def size(m): m.rcParams['font.size'] = 20\n"
    )
    cells = [
        "import colorsys, numpy as np, pandas as pd, setting\n%load_ext autoreload",
        "setting.third(colorsys)\nnone = None",
        "import matplotlib; none = setting.size(matplotlib)",
        f"{COSTLY}\nx = np.arange(5)",
        "m = colorsys; m.ONE_SIXTH = 0.25",
        "options, one = pd.options.display, 1; options.max_rows = 7",
        "none = setting.numpy(np)",
        f"{COSTLY}\nseed = np.random.seed; seed(5)\nimport warnings; warnings.simplefilter('error')",
    ]
    shows = "print(colorsys.ONE_THIRD, colorsys.ONE_SIXTH, pd.get_option('display.max_rows'), " \
        "matplotlib.rcParams['font.size'], np.geterr()['over'], warnings.filters[0][0])\n" \
        "print(np.random.RandomState(5).rand() == np.random.rand())"  # fmt: skip
    attempt(tmp_path, *cells, "1 / 0", checkpoint="always")
    ran = attempt(tmp_path, *cells, shows, resume=True)
    assert ran.error is None
    assert ran.printed(8) == "0.5 0.25 7 20.0 ignore error\nTrue\n"
    said = [*ran.notebook.metadata.mlflowkit["reasons"]]
    again = ["completed", "completed", "completed", "restored", *["completed"] * 3]
    assert ran.statuses() == [*again, "restored", "completed"], said
    assert said[1:] == [
        f"cell {at} of those that run: replayed, because it {why}"
        for at, why in {
            1: "uses %load_ext",
            2: "calls setting.third",
            3: "changed matplotlib's settings",
            5: "sets colorsys.ONE_SIXTH",
            6: "sets pandas.options.display.max_rows",
            7: "changed numpy's settings",
        }.items()
    ]


MODULE = """
CONFIG = {"rate": 1}
CALLS = []
class State:
    n = 0
    def bump(self):
        self.n += 1
        return self.n
STATE = State()
def add(x):
    CALLS.append(x)
    return x
def seen():
    return CONFIG["rate"], STATE.n, CALLS
def gathered(x, all=[]):
    all.append(x)
    return len(all)
class Made:
    count = 0
    def __init__(self):
        Made.count += 1
import abc, dataclasses, enum, functools, typing
class Colour(enum.Enum):
    RED = 1
class Bits(enum.Flag):
    ON = 1
class Point(typing.NamedTuple):
    x: int = 0
class Told(typing.TypedDict):
    x: int
class Spoken(typing.Protocol):
    def say(self): ...
class Slotted(abc.ABC):
    __slots__ = ("x",)
    new = object.__new__
    join = staticmethod(str.join)
    made = classmethod(print)
    part = functools.partialmethod(print)
    whole = property(len)
    def __class_getitem__(cls, item): return cls
@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    x: list = dataclasses.field(default_factory=list)
class Meta(type):
    def mro(cls): return super().mro()
class Metered(metaclass=Meta): pass
T = typing.TypeVar("T")
class Holder(typing.Generic[T]): pass
cached = functools.lru_cache(add)
double = functools.singledispatch(add)
"""


def test_what_a_module_or_the_process_goes_on_with_is_shared_or_set_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "helped.py").write_text(MODULE)
    cells = [
        "import logging, os, sys\nfrom helped import CALLS, CONFIG, STATE, add, seen",
        "logger = logging.getLogger('of.mine'); logger.setLevel(10)",
        "none = logger.addFilter(lambda record: False)",
        f"{COSTLY}\nmany = list(range(1000))",
        "bumped = STATE.bump()",
        "added = add(5)",
        "arguments = sys.argv; none = arguments.append('more')",
        "finders = sys.meta_path; none = finders.append(finders[-1])",
        "old = os.umask(0o027)",
        "from helped import Made, gathered",
        "first = gathered(1)",
        "second = Made()",
    ]
    check = (
        "CONFIG['rate'] = 7; add(6); print(*seen(), CALLS is seen()[2], bumped, len(many))\n"
        "print(logger.level, len(logger.filters), logging.getLogger('of.mine') is logger)\n"
        "print(sys.argv[-1], len(sys.meta_path) - before, os.umask(0o027) == 0o027)\n"
        "print(first, gathered(2), Made.count)"
    )
    cells[0] += "; before = len(sys.meta_path)"
    attempt(tmp_path, *cells, "1 / 0", checkpoint="always")
    ran = attempt(tmp_path, *cells, check, resume=True)
    assert ran.error is None
    printed = "7 1 [5, 6] True 1 1000\n10 1 True\nmore 1 True\n1 2 1\n"
    assert ran.printed(12) == printed, ran.notebook.metadata.mlflowkit
    again = {at for at, status in enumerate(ran.statuses()) if status == "completed"}
    assert again == {1, 2, 4, 5, 6, 7, 8, 10, 11, 12}, ran.notebook.metadata.mlflowkit[
        "reasons"
    ]


def test_a_file_that_was_mended_is_read_again_and_one_that_cells_write_is_not(
    tmp_path: Path,
) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "out.txt"
    rows.write_text("1,2")
    cells = [
        f"{COSTLY}\nn = 1",
        "log = open('log.txt', 'a')",
        f"{COSTLY}\nwritten = open('out.txt', 'w').write('one')",
        f"{COSTLY}\nwritten = open('out.txt', 'w').write('two')",
        f"{COSTLY}\nrows = [int(n) for n in open('rows.csv').read().split(',')]",
    ]
    fails = "log.write('x' * 9000); 1 / (sum(rows) - 3)"
    attempt(tmp_path, *cells, fails, checkpoint="always")
    rows.write_text("1,2,3")
    ran = attempt(tmp_path, *cells, "print(rows, open('out.txt').read())", resume=True)
    assert ran.printed(5) == "[1, 2, 3] two\n"
    again = ["restored", "completed", "restored", "restored", "completed", "completed"]
    assert ran.statuses() == again
    said = ran.notebook.metadata.mlflowkit["reasons"]
    assert said[0] == f"the file {rows} has changed since"
    assert out.read_text() == "two"


def test_what_a_cell_shows_has_to_come_out_the_same_only_where_another_one_reads_it(
    tmp_path: Path,
) -> None:
    draws = (
        "import time\nnumbers = iter(range(9))\ndef draw():\n"
        "    for _ in range(2): next(numbers)\n    return time.perf_counter()\ndraw()"
    )
    for binds, reads in (("for _ in range(3): pass", "next(numbers)"), ("", "print(_)")):
        cells = [draws, f"{COSTLY}\n{binds}\nn = 1", "n"]
        failed = attempt(tmp_path, *cells, "1 / 0", reads, checkpoint="always")
        assert failed.statuses()[3:] == ["failed", "not run"]
        ran = attempt(tmp_path, *cells, "'more'", f"{reads}\nprint(_)", resume=True)
        said = ran.notebook.metadata.mlflowkit["reasons"]
        if binds:  # the shell leaves a name alone that a cell has bound
            restored = ["completed", "restored", "restored", "completed", "completed"]
            assert (ran.statuses(), ran.printed(4)) == (restored, "2\n"), said
        else:
            why = "_ came out differently when it was made again"
            assert (ran.statuses(), said) == (["completed"] * 5, [f"all cells ran: {why}"])


def test_a_checkpoint_that_was_damaged_costs_a_run_of_all_cells(tmp_path: Path) -> None:
    cells = [f"{COSTLY}\nx = bytes(100_000)", f"{COSTLY}\nprint('again')"]
    attempt(tmp_path, *cells, "1 / 0")
    for blob in (store(tmp_path).folder / "blobs").iterdir():
        os.truncate(blob, blob.stat().st_size // 2)
    ran = attempt(tmp_path, *cells, "len(x)", resume=True)
    assert (ran.statuses(), ran.error) == (["completed"] * 3, None)
    assert "a checkpoint is damaged" in str(ran.notebook.metadata.mlflowkit["reasons"])


def test_a_disk_that_is_full_breaks_no_notebook(tmp_path: Path) -> None:
    full = (
        "import shutil\nfrom mlflowkit.nbrun.checkpoint import store\n"
        "store._SPARE_BYTES = 1 << 60"
    )
    cells = [full, f"{COSTLY}\nx = list(range(1000))"]
    failed = attempt(tmp_path, *cells, "1 / 0")
    assert failed.statuses() == ["completed", "completed", "failed"]
    assert failed.notebook.metadata.mlflowkit["checkpoints"] == [
        "not kept: No space left on device"
    ]


# ── with an engine ──


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_home(tmp_path) as home:
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        monkeypatch.chdir(tmp_path)
        yield home


def test_a_retry_goes_on_from_the_failed_cell_of_the_notebook_as_it_is_now(
    home: Path, tmp_path: Path
) -> None:
    cells = ["import random", f"{COSTLY}\nx = [1, 2]; alias = x\nprint('costly')"]
    path = tmp_path / "fit.ipynb"
    save(path, *map(code, [*cells, "y = 1 / 0"]))

    @dag
    def training() -> None:
        notebook(str(path), returns=["y"])

    run = training().run(wait=False)
    with pytest.raises(RunFailed):
        run.wait(timeout=120)
    assert [p.name for p in home.rglob(FOLDER)] == [FOLDER]

    save(path, *map(code, [*cells, "alias.append(3); y = x"]))
    run.retry(resume="cell").wait(timeout=120)
    assert run["fit"].result("y") == [1, 2, 3]
    executed = nbformat.read(run.path / "fit.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # untyped
    assert [c.metadata.mlflowkit["status"] for c in executed.cells] == [
        *("restored", "restored", "completed")
    ]
    assert executed.cells[1].outputs[0].text == "costly\n"
    assert "resume: 2 cells restored, 0 replayed, 1 to run" in run.log("fit")
    assert [*home.rglob(FOLDER)] == []


def test_an_automatic_retry_goes_on_where_the_task_is_told_to(
    home: Path, tmp_path: Path
) -> None:
    from datetime import timedelta

    flag = tmp_path / "flag"
    fails_once = f"import os\nif not os.path.exists({str(flag)!r}):\n    open({str(flag)!r}, 'w'); 1 / 0"
    path = tmp_path / "fit.ipynb"
    save(path, code(f"{COSTLY}\nx = 5"), code(fails_once), code("print(x)"))

    @dag
    def training() -> None:
        notebook(str(path), resume="cell", retries=1, retry_delay=timedelta(seconds=0.1))

    run = training().run(wait=False)
    run.wait(timeout=120)
    executed = nbformat.read(run.path / "fit.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # untyped
    assert [c.metadata.mlflowkit["status"] for c in executed.cells] == [
        *("restored", "completed", "completed")
    ]


def test_a_secret_is_in_no_checkpoint_and_is_asked_for_again(
    home: Path, tmp_path: Path
) -> None:
    from mlflowkit.store.vault import Vault

    password = "-".join(["correct", "horse", "ZUX9"])
    Vault(home_store.database(home), home).put_connection(
        Connection("db", "postgres", "h", "me", password, 5, "s")
    )
    path = tmp_path / "fit.ipynb"
    asks = "from mlflowkit.hooks.base import BaseHook\nword = BaseHook.get_connection('db').password\nmore = ['x', word]"
    cells = [asks, f"{COSTLY}\nlength = len(word)"]
    save(path, *map(code, [*cells, "ok = 1 / 0"]))

    @dag
    def training() -> None:
        notebook(str(path), returns=["ok"], checkpoint="always")

    run = training().run(wait=False)
    with pytest.raises(RunFailed):
        run.wait(timeout=120)
    files = [p for p in home.rglob("*") if p.is_file()]
    assert any("blobs" in str(p) for p in files)
    assert [p for p in files if password.encode() in p.read_bytes()] == []

    save(
        path, *map(code, [*cells, f"ok = more[1] is word and len(word) == {len(password)}"])
    )
    run.retry(resume="cell").wait(timeout=120)
    assert run["fit"].result("ok") is True
