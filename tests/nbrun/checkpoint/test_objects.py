"""Objects that are hard to have again: each is as it was, or its cells have run again."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

import matplotlib.pyplot  # noqa: F401 - what an import does is not what is tested here
import numpy as np  # noqa: F401
import pandas as pd  # noqa: F401
import pytest
import sklearn.ensemble  # noqa: F401
import torch

from mlflowkit.nbrun.checkpoint import inside
from mlflowkit.nbrun.checkpoint.memory import Blocks
from mlflowkit.nbrun.checkpoint.pickles import canonical, to_bytes
from mlflowkit.nbrun.checkpoint.plan import ResumePlan
from mlflowkit.nbrun.checkpoint.store import Store
from tests.nbrun.checkpoint.shells import Run, in_this_process

#: torch sets variables of the environment when it is first used.
torch.optim.Adam(torch.nn.Linear(1, 1).parameters())
NUMPY = "import numpy as np; x = np.arange(2000.); y = x[::2]; z = x.reshape(40, 50).T"
CLASSES = "class A:\n    def __init__(self, v=0): self.v = v\n    def one(self): return late\na = A()"

#: name → (cells, what is true afterwards, what happens to the cells)
CASES: dict[str, tuple[list[str], str, str]] = {
    "two names of one list": (["a = [1]; b = (a, 2)"], "b[0] is a", "restore"),
    "a list in itself": (["a = []; a.append(a)"], "a[0] is a", "restore"),
    "one set with two holders": (
        ["s = {'x', 'y'}; h = [s]"],
        "h[0] is s and s == {'x', 'y'}",
        "restore",
    ),
    "a function with the live namespace": (
        ["def f(): return late", "g = lambda: f(); late = 1"],
        "(globals().update(late=5), g())[1] == 5 and f.__globals__ is globals()",
        "restore restore",
    ),
    "a closure shares its cell": (
        [
            "def make():\n    n = [0]\n    def up(): n[0] += 1; return n[0]\n    return up, n\nup, n = make()"
        ],
        "up() == 1 and n == [1]",
        "restore",
    ),
    "a class and what is of it": (
        [CLASSES, "late = 7"],
        "type(a) is A and a.one() == 7 and A.one.__globals__ is globals()",
        "restore restore",
    ),
    "a class that was defined again": (
        [CLASSES, "class A: pass"],
        "type(a) is not A and type(a).__name__ == 'A' and a.v == 0",
        "restore restore",
    ),
    "members of an enum": (
        ["import enum\nclass E(enum.Enum):\n    A = 1\ne = E.A"],
        "e is E.A and E(1) is e",
        "restore",
    ),
    "a sentinel": (
        ["missing = object(); d = {'k': missing}"],
        "d['k'] is missing",
        "restore",
    ),
    "views of an array": (
        [NUMPY],
        "(x.__setitem__(0, -1), y[0], z[0, 0])[1:] == (-1, -1) and x.flags.owndata"
        " and z.flags.f_contiguous and z.base is x",
        "restore",
    ),
    "arrays of every make": (
        [
            "import numpy as np\n"
            "k = [np.zeros((0, 3)), np.array(5), np.asfortranarray(np.ones((30, 40))),"
            " np.array(['2026-01-01'], 'M8[D]').repeat(300), np.array([True, False] * 600),"
            " np.array([(1, 2.)] * 200, [('a', 'i4'), ('b', 'f8')]), np.array(['é'] * 500),"
            " np.array([{}, None], object)]\n"
            "k[0].flags.writeable = False; s = repr([(a.dtype, a.shape, a.tolist()) for a in k])"
        ],
        "repr([(a.dtype, a.shape, a.tolist()) for a in k]) == s and k[2].flags.f_contiguous"
        " and not k[0].flags.writeable and k[1].flags.writeable",
        "restore",
    ),
    "an array that masks another": (
        ["import numpy as np\nm = np.ma.masked_array([1, 2], [0, 1])"],
        "m.sum() == 1",
        "replay",
    ),
    "a frame and one that was taken from it": (
        [
            "import pandas as pd\nf = pd.DataFrame({'a': range(500), 's': 'x'}); g = f[['a']]; i = f.index"
        ],
        "(f.iloc.__setitem__((0, 0), 9), g.iloc[0, 0])[1] == 0 and f.index is i",
        "restore",
    ),
    "a frame over an array that others hold": (
        [
            "import pandas as pd, numpy as np\nx = np.zeros(500)",
            "f = pd.DataFrame({'a': x}, copy=False)",
        ],
        "bool((x.__setitem__(0, 4), f.a[0])[1] == x[0] or np.shares_memory(x, f.a.to_numpy()) is False)",
        "",
    ),
    "a forest of scikit-learn's trees": (
        [
            "from sklearn.ensemble import RandomForestRegressor\nfrom sklearn.pipeline import make_pipeline\n"
            "from sklearn.preprocessing import StandardScaler\nX = [[n] for n in range(60)]",
            "m = RandomForestRegressor(3, random_state=0)\n"
            "p = make_pipeline(StandardScaler(), m).fit(X, range(60)); y = p.predict(X)",
        ],
        "p[1] is m and (p.predict(X) == y).all() and p.fit(X, range(60)) is p",
        "restore restore",
    ),
    "a look into a tree": (
        [
            "from sklearn.tree import DecisionTreeRegressor\nimport numpy as np",
            "m = DecisionTreeRegressor().fit([[1], [2], [3]], [1, 2, 4])",
            "v = m.tree_.threshold",
            "n = v.size",
        ],
        "np.shares_memory(v, m.tree_.threshold) and n == 5",
        "restore restore replay replay",
    ),
    "a model and its optimizer": (
        [
            "import torch\nm = torch.nn.Linear(40, 20); o = torch.optim.Adam(m.parameters(), lr=.1)\n"
            "m(torch.ones(1, 40)).sum().backward(); o.step(); w = m.weight; v = w.detach()[3]"
        ],
        "o.param_groups[0]['params'][0] is w is m.weight and w.grad is not None"
        " and (v.fill_(7), float(w[3, 0].detach()))[1] == 7 and o.state[w]['step'] == 1",
        "restore",
    ),
    "a tensor with a history": (
        ["import torch\nw = torch.ones(3, requires_grad=True)", "loss = (w * 2).sum()"],
        "(loss.backward(), w.grad.tolist())[1] == [2, 2, 2]",
        "",
    ),
    "an array and a tensor over it": (
        ["import torch, numpy as np\nx = np.zeros(3)", "t = torch.from_numpy(x)"],
        "(t.fill_(3), x.tolist())[1] == [3, 3, 3]",
        "",
    ),
    "a generator that was half used": (
        ["n = 1", "g = (i for i in range(5)); next(g)", "m = [g]", "next(m[0])"],
        "next(g) == 2 and m[0] is g",
        "restore replay replay replay",
    ),
    "an iterator over a list that is changed through it": (
        ["data = [1, 2, 3]", "it = iter(data)", "data.append(4)"],
        "list(it) == [1, 2, 3, 4]",
        "restore replay replay",
    ),
    "a file at a position": (
        ["open('f.txt', 'w').write('abc')", "f = open('f.txt')", "f.read(1)"],
        "f.read(1) == 'b'",
        "restore replay replay",
    ),
    "two ends of a socket": (
        ["import socket\na, b = socket.socketpair()", "n = 1", "a.send(b'x') + n"],
        "b.recv(1) == b'x' and _ == 2 == Out[3]",
        "replay restore replay",
    ),
    "a module under two names, and what holds it": (
        ["import json as j; k = j; h = {'m': j}"],
        "k is j is h['m']",
        "restore",
    ),
    "a lock inside of an object, and what it holds": (
        [
            "import threading\nrows = [1]",
            "class H: pass\nh = H(); h.lock = threading.Lock(); h.rows = rows",
        ],
        "h.rows is rows and not h.lock.locked()",
        "restore replay",
    ),
    "a function with a cache": (
        [
            "import functools\ncalls = []",
            "@functools.cache\ndef f(n): calls.append(n); return n",
            "f(1)",
        ],
        "f(1) == 1 and calls == [1]",
        "restore replay replay",
    ),
    "a weak reference": (
        ["import weakref\nclass A: pass\na = A(); r = weakref.ref(a)"],
        "r() is a",
        "replay",
    ),
    "a folder that ends with its process": (
        ["import tempfile, os\nt = tempfile.TemporaryDirectory()"],
        "os.path.isdir(t.name)",
        "replay",
    ),
    "a variable that was deleted": (
        ["a = 1; b = 2", "del a"],
        "'a' not in globals()",
        "restore restore",
    ),
    "a variable that a replayed cell made, and that was deleted later": (
        ["a = 1; g = iter([1])", "del a"],
        "'a' not in globals() and next(g) == 1",
        "replay restore",
    ),
    "random states": (
        [
            "import random, numpy as np\nrandom.seed(4); np.random.seed(4)",
            "random.random(); np.random.rand()",
        ],
        "(lambda r, n: (r.random(), n.rand()) and (random.random(), np.random.rand())"
        " == (r.random(), n.rand()))(random.Random(4), np.random.RandomState(4))",
        "restore restore",
    ),
    "a generator of its own": (
        ["import numpy as np\nr = np.random.default_rng(1); q = [r]; r.random()"],
        "q[0] is r and r.random() == np.random.default_rng(1).random(2)[1]",
        "restore",
    ),
    "the generator of the whole module": (
        ["import numpy as np\nr = np.random.mtrand._rand"],
        "r is np.random.mtrand._rand",
        "restore",
    ),
    "names that begin with a line": (
        ["_df = [1]; __version__ = '2'; _i7 = 3; __x = 4", "n: int = 1"],
        "(_df, __version__, _i7, __x, __annotations__) == ([1], '2', 3, 4, {'n': int})",
        "restore restore",
    ),
    "a name of the shell with another value": (
        ["In = 5; __name__ = 'mine'", "n = 1"],
        "In == 5 and __name__ == 'mine'",
        "restore restore",
    ),
    "closures that share a number": (
        [
            "def make():\n    n = 0\n    def up():\n        nonlocal n; n += 1\n"
            "    return up, lambda: n\nup, see = make(); up()"
        ],
        "(up(), see())[1] == 2",
        "restore",
    ),
    "closures that know themselves and each other": (
        [
            "def make():\n    def a(n): return n and b(n - 1)\n    def b(n): return n and a(n - 1)\n"
            "    def late(): return never\n    if not a: never = 1\n    return a, b, late\n"
            "a, b, late = make()"
        ],
        "a(5) == 0 and a.__closure__[0].cell_contents is b and late.__closure__ is not None",
        "restore",
    ),
    "what stands for an object without holding it": (
        [
            "import weakref\nclass A: x = 3\na = A(); said = []; p = weakref.proxy(a)\n"
            "f = weakref.finalize(a, said.append, 1)"
        ],
        "(setattr(a, 'x', 4), p.x)[1] == 4 and (f(), said)[1] == [1]",
        "replay",
    ),
    "a look into bytes": (
        [
            "import ctypes\nb = bytearray(b'abc'); m = memoryview(b)\n"
            "c = bytearray(b'abc'); d = (ctypes.c_char * 3).from_buffer(c)"
        ],
        "(m.__setitem__(0, 65), b)[1] == b'Abc' and (d.__setitem__(0, b'A'), c)[1] == b'Abc'",
        "replay",
    ),
    "a look into a dictionary": (
        [
            "import types, collections\nd = {'a': 1}; k = d.keys(); v = d.items()\n"
            "p = types.MappingProxyType(d); o = collections.OrderedDict(); q = o.values()"
        ],
        "(d.update(b=2), o.update(c=3), len(k), len(v), p['b'], list(q))[2:] == (2, 2, 2, [3])",
        "restore",
    ),
    "a look into a class": (
        ["class A: x = 1\np = A.__dict__"],
        "(setattr(A, 'x', 2), p['x'])[1] == 2",
        "replay",
    ),
    "the decimal context": (
        ["import decimal\nc = decimal.getcontext()"],
        "c is decimal.getcontext()",
        "replay",
    ),
    "objects that a module goes on with": (
        [
            "import os, sys\nfrom matplotlib import rcParams\nfrom os import environ",
            "inside = [rcParams]; path = sys.path; m = sys.modules['matplotlib']",
        ],
        "rcParams is m.rcParams is inside[0] and environ is os.environ and path is sys.path",
        "restore restore",
    ),
    "history": (
        ["5", "[1]", "x = 3"],
        "_ == [1] == _2 and Out[1] == 5 and __ == 5 and In[3] == 'x = 3' and _2 is Out[2]",
        "restore restore restore",
    ),
    "a function of a module that was replaced": (
        ["import json, textwrap", "textwrap.dedent = len", "x = 1"],
        "textwrap.dedent is len",
        "",
    ),
    "an alias that is gone": (
        ["a = [1]; d = a", "d.append((i for i in 'ab')); del d", "n = 1"],
        "next(a[1]) == 'a'",
        "restore replay restore",
    ),
    "a module that a cell made": (
        ["import types, sys\nm = types.ModuleType('made'); m.x = 1"],
        "m.x == 1",
        "replay",
    ),
    "a class that pickles itself by its name": (
        ["class N:\n    def __reduce__(self): return 'n'\nn = N()"],
        "type(n) is N",
        "doubt",
    ),
    "an object that cannot be had again": (
        [
            "def no(*a): raise ValueError('no')\nclass B:\n    def __reduce__(self): return no, ()",
            "b = B()",
        ],
        "True",
        "doubt",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_as_it_was(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, then, actions = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("textwrap.dedent", __import__("textwrap").dedent)
    check = f"held = {then}\nassert held"
    with in_this_process():
        Run([*cells, "1 / 0"], tmp_path / "c").begin()
        resumed = Run([*cells, check], tmp_path / "c")
        try:
            plan: ResumePlan | None = resumed.resume()
        except inside.Doubt:
            plan = None
    assert [step.at for step in Store(tmp_path / "c").steps()][: len(cells)] == [
        *range(len(cells))
    ]
    assert resumed.error == "", json.dumps(resumed.outputs)
    assert (plan is None) == (actions == "doubt")
    if plan is not None and actions:
        assert " ".join(plan.actions[: len(cells)]) == actions, plan.reasons


def test_what_is_no_number_and_slices_that_are_one_object_do_not_make_a_difference() -> (
    None
):
    one = slice(1, 2)

    def said(value: object) -> list[object]:
        namespace: dict[str, Any] = {"a": value}
        return canonical(to_bytes(["a"], namespace, Blocks(), monotonic() + 60).body)

    assert said([float("nan"), one, one]) == said([float("nan"), slice(1, 2), slice(1, 2)])
    assert said([slice(1, 2)]) != said([slice(1, 3)])
    assert said([0.5]) != said([0.25])
