# mypy: allow-untyped-calls
"""A forked kernel is a cold one as far as cells can see; the same cells run in both."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.nbrun import kernel_forked
from tests.nbrun.conftest import Ran, code, execute, save

#: All that a cell can ask of the process it runs in, short of addresses and times.
FACTS = r"""import asyncio, gc, json, locale, logging, os, resource, signal, stat, sys, tempfile, threading, warnings, faulthandler, builtins, multiprocessing.process
def handler(n):
    try: return repr(signal.getsignal(n)).split(' at 0x')[0]
    except ValueError: return None
facts = {
 'argv': [os.path.basename(sys.argv[0]), sys.argv[1], os.path.basename(sys.argv[2]), *sys.argv[3:]],
 'path': sys.path, 'cwd': os.getcwd(), 'name': __name__,
 'main': sorted(k for k in vars(sys.modules['__main__']) if k.startswith('__')),
 'ns': sorted(k for k in get_ipython().user_ns if not k.startswith('_i') and k not in ('facts','handler')),
 'dh': get_ipython().user_ns['_dh'], 'start': get_ipython().starting_dir,
 'signals': {s.name: handler(s) for s in signal.Signals},
 'mask': sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
 'env': {k: v for k, v in os.environ.items() if not k.startswith(('JPY_', 'MLFLOWKIT_', 'PYTEST_'))},
 'umask': [os.umask(0o22)], 'group': os.getpgrp() == os.getpid(), 'session': os.getsid(0) == os.getpid(),
 'threads': sorted(t.name for t in threading.enumerate()),
 'flags': str(sys.flags), 'xoptions': sys._xoptions, 'warnoptions': sys.warnoptions, 'nice': os.nice(0),
 'filters': [str(f[:3]) for f in warnings.filters], 'root': [repr(type(h)) for h in logging.getLogger().handlers], 'level': logging.getLogger().level,
 'gc': [gc.isenabled(), gc.get_threshold()], 'recursion': sys.getrecursionlimit(), 'limits': [resource.getrlimit(r) for r in range(10)],
 'loop': repr(type(asyncio.get_event_loop())), 'policy': repr(type(asyncio.get_event_loop_policy())), 'locale': locale.setlocale(locale.LC_ALL), 'tmp': tempfile.gettempdir(),
 'original_dir': multiprocessing.process.ORIGINAL_DIR, 'proc': multiprocessing.process.current_process().name,
 'excepthook': repr(sys.excepthook).split(' at 0x')[0], 'displayhook': type(sys.displayhook).__name__, 'streams': [type(sys.stdin).__name__, type(sys.stdout).__name__, type(sys.__stdout__).__name__],
 'fds': sorted(stat.S_IFMT(os.fstat(int(f)).st_mode) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+f)),
 'switch': sys.getswitchinterval(), 'hooks': len(sys.meta_path), 'affinity': len(os.sched_getaffinity(0)), 'trace': [sys.gettrace(), sys.getprofile()],
 'prefix': [sys.prefix, sys.executable], 'builtins': sorted(vars(builtins)),'ctx': sys.getdefaultencoding(), 'exe': os.readlink('/proc/self/exe'),
 'cloexec': sorted(int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+f) and os.get_inheritable(int(f))),
 'tz': __import__('time').tzname,
}
modules = sorted(sys.modules)
print(json.dumps([facts, modules], default=str))
"""
IMPORTS = """import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
from sklearn.linear_model import LinearRegression"""
#: Cells whose outputs must be the same, whatever made the kernel.
CELLS = (
    IMPORTS,
    "pd.DataFrame([range(25)] * 3)",
    "plt.plot([1, 2], [3, 4]);",
    "print(plt.get_backend(), pd.get_option('display.max_columns'))",
    "import asyncio\nawait asyncio.sleep(0.01, 'awaited')",
    "async def f():\n    return 7\nawait f()",
    "!echo from a shell; pwd",
    "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True)",
    "import os\nos.system('echo to descriptor 1'); import time; time.sleep(0.1)",
    "import warnings\nwarnings.warn('seen once')",
    "import warnings\nwarnings.warn('old', DeprecationWarning)",
    "import logging\nlogging.warning('from logging'); logging.getLogger('x').error('to x')",
    "import threading\nt = threading.Thread(target=print, args=('in a thread',)); t.start(); t.join()",
    "import multiprocessing as mp\nwith mp.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))",
    "with mp.get_context('spawn').Pool(1) as p: print(p.map(abs, [-3]))",
    "np.linalg.svd(np.ones((200, 200)))[1].round(6)[:3]",
    "LinearRegression().fit([[0], [1]], [0, 2]).predict([[3]]).round(6)",
    "%load_ext autoreload\n%autoreload 2",
    "print(__name__, __builtin__.__name__, os.path.basename(os.getcwd()))",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))",
    "import ipywidgets\nipywidgets.IntSlider(3).value",
    "def g(): return 1 / 0\ntry:\n    g()\nexcept ZeroDivisionError as e: print(repr(e))",
    "getpass = __import__('getpass'); print(sys.stdin.read())",
    "input('?')",
)


def both(monkeypatch: pytest.MonkeyPatch, path: Path, **order: Any) -> tuple[Ran, Ran]:
    """The same notebook in a cold kernel and in a forked one."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)  # ipykernel looks at it
    monkeypatch.setenv(kernel_forked.ENV_FORKED, "off")
    cold = execute(path, **order)
    monkeypatch.setenv(kernel_forked.ENV_FORKED, "on")
    return cold, execute(path, **order)


def test_a_cell_finds_the_same_process_around_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = save(tmp_path / "nb.ipynb", code(IMPORTS), code(FACTS))
    cold, forked = both(monkeypatch, path)
    (seen, modules), (ours, our_modules) = (
        json.loads(r.printed(1)) for r in (cold, forked)
    )
    # A cold kernel has a thread that watches its parent, and is told so; a keeper does it here.
    seen["threads"].remove("Thread-1")
    assert ours["fds"].count(8192) == 1, "stdin is nothing"
    assert len(ours.pop("fds")) <= len(seen.pop("fds"))
    assert ours == seen
    assert set(modules) - set(our_modules) == set()
    more = {name.partition(".")[0] for name in set(our_modules) - set(modules)}
    assert more <= {"ipykernel_launcher", "mlflowkit", "msgspec", "cryptography"}


def test_outputs_are_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = save(tmp_path / "nb.ipynb", *(code(each, "raises-exception") for each in CELLS))
    cold, forked = both(monkeypatch, path)
    for source, one, other in zip(CELLS, shown(cold), shown(forked), strict=True):
        assert one == other, source
    assert not cold.error
    assert not forked.error


def shown(ran: Ran) -> list[Any]:
    cells = [[dict(out) for out in cell.outputs] for cell in ran.notebook.cells]
    text = json.dumps(cells)
    text = re.sub(r"ipykernel_\d+[/\\]+\d+|0x[0-9a-f]+|\d+(\.\d+)? [nµm]?s\b", "…", text)
    found: list[Any] = json.loads(re.sub(r"\\u00b5s|\d+(\.\d+)? ns", "…", text))
    return found


def test_what_a_cell_sets_before_an_import_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = (
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nos.environ['OPENBLAS_NUM_THREADS'] = '1'",
        "import sys\nbefore = len(os.listdir('/proc/self/task'))\nprint('numpy' in sys.modules)\nimport numpy\nprint(len(os.listdir('/proc/self/task')) == before)",
        "import matplotlib\nmatplotlib.use('agg')\nprint('matplotlib.pyplot' in sys.modules)",
        "import matplotlib.pyplot as plt\nprint(plt.get_backend())\nplt.plot([1])\nplt.show()",
    )
    for ran in both(monkeypatch, save(tmp_path / "nb.ipynb", *map(code, cells))):
        assert [ran.printed(at) for at in (1, 2, 3)] == [
            "False\nTrue\n",
            "False\n",
            "agg\n",
        ]


def test_the_environment_of_the_order_counts_also_where_modules_read_it_when_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "svg")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    source = "import numpy, os\nimport matplotlib.pyplot as plt\nprint(plt.get_backend(), hash('x'), os.environ['OPENBLAS_NUM_THREADS'])"
    cold, forked = both(monkeypatch, save(tmp_path / "nb.ipynb", code(source)))
    assert cold.printed(0) == forked.printed(0)
    assert forked.printed(0).startswith("svg ")


def test_a_local_module_hides_an_installed_one_as_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "msgspec.py").write_text("LOCAL = True")
    (tmp_path / "mine.py").write_text("import os\nos.environ['OMP_NUM_THREADS'] = '3'")
    cells = (
        "import mine\nimport msgspec\nprint(msgspec.LOCAL)",
        "import os\nprint(os.environ['OMP_NUM_THREADS'])",
    )
    for ran in both(monkeypatch, save(tmp_path / "nb.ipynb", *map(code, cells))):
        assert (ran.printed(0), ran.printed(1)) == ("True\n", "3\n")


def test_a_persons_start_up_files_run_in_the_notebooks_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start_up = tmp_path / "ipython/profile_default/startup"
    start_up.mkdir(parents=True)
    (start_up / "00.py").write_text("import os\nstarted_in = os.getcwd()")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    path = save(tmp_path / "work/nb.ipynb", code("print(started_in)"))
    for ran in both(monkeypatch, path):
        assert ran.printed(0) == f"{tmp_path / 'work'}\n"


def test_the_start_says_how_and_why_cold(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def how(ran: Ran) -> tuple[Any, Any]:
        facts = next(e.facts for e in ran.events if e.kind == "notebook_started")
        return facts.get("cold"), facts.get("not_imported_ahead")

    assert how(run(code("1"))) == (None, None)
    assert how(run(code("import polars"))) == (
        None,
        {"polars": "its thread pool does not survive a fork"},
    )
    monkeypatch.setenv("PYTHONPATH", "here")
    assert how(run(code("1"))) == ("PYTHONPATH depends on the working folder", None)
    assert os.environ["PYTHONPATH"] == "here"
