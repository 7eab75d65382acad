"""What is read from the code of cells: names, and what they change beside them."""

from __future__ import annotations

import pytest

from mlflowkit.nbrun.checkpoint.analysis import analyse, read_of_shown

IMPORTS = "import numpy as np, pandas as pd, os, sys\nimport matplotlib.pyplot as plt"


@pytest.mark.parametrize(
    ("cell", "effects"),
    [
        ("x = np.zeros(3); x[0] = 1; x.sort()", ()),
        ("frame = pd.DataFrame(); frame['a'] = 1; frame.to_csv('a.csv')", ()),
        ("np.random.seed(1); print(1); os.makedirs('a')", ()),
        ("plt.plot([1]); plt.show()", ()),
        ("%time y = 3", ()),
        ("%%time\ny = 3", ()),
        ("!ls", ()),
        ("pd.set_option('a', 1)", ("calls pandas.set_option",)),
        ("pd.options.display.width = 3", ("sets pandas.options.display.width",)),
        ("os.environ['A'] = '1'", ("sets os.environ",)),
        ("del os.environ['A']", ("sets os.environ",)),
        ("sys.path.append('x')", ("calls sys.path.append",)),
        ("np.mean = max", ("sets numpy.mean",)),
        ("plt.style.use('ggplot')", ("calls matplotlib.pyplot.style.use",)),
        ("plt.rcParams['a'] = 1", ("sets matplotlib.pyplot.rcParams",)),
        ("setattr(np, 'mean', max)", ("calls setattr",)),
        ("m = np; m.mean = max", ("sets numpy.mean",)),
        ("rc = plt.rcParams; rc['a'] = 1", ("sets matplotlib.pyplot.rcParams",)),
        ("a, b = np, pd; b.set_option('a', 1)", ("calls pandas.set_option",)),
        ("if (m := pd): m.options.width = 3", ("sets pandas.options.width",)),
        ("seed = np.random.seed; seed(1)", ()),
        ("ax = plt.gca(); ax.x = 1", ()),
        ("run = pd.start_run()", ("calls pandas.start_run",)),
        ("with np.errstate(all='ignore'): x = pd.read_csv('a').set_index('b')", ()),
        (
            "@pd.api.extensions.register_dataframe_accessor('geo')\nclass Geo: pass",
            ("calls pandas.api.extensions.register_dataframe_accessor",),
        ),
        ("import atexit\n@atexit.register\ndef bye(): pass", ("calls atexit.register",)),
        ("import csv; csv.field_size_limit(9)", ("calls csv.field_size_limit",)),
        ("import time; time.tzset()", ("calls time.tzset",)),
        ("state = np.random.seed(3); x = np.add(1, 2); y = np.setdiff1d(x, x)", ()),
        ("%load_ext autoreload", ("uses %load_ext",)),
        ("%matplotlib inline", ("uses %matplotlib",)),
        ("%%cython\nx", ("uses %%cython",)),
        ("!pip install x", ("installs something",)),
        ("from os.path import *", ("imports all of os.path",)),
        ("def f(:", ("its code could not be read",)),
    ],
)
def test_a_cell_changes_more_than_its_variables(
    cell: str, effects: tuple[str, ...]
) -> None:
    assert analyse([IMPORTS, cell])[1].effects == effects


def test_a_function_that_changes_settings_does_so_in_the_cell_that_calls_it() -> None:
    cells = [
        "def prepare():\n    pd.set_option('a', 1)",
        "def all_():\n    prepare()",
        "all_()",
    ]
    found = analyse([IMPORTS, *cells, "other = 1"])
    assert [bool(facts.effects) for facts in found] == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a = b", {"a", "b"}),
        ("def f(x, y=d):\n    return g + x", {"f", "d", "g", "x"}),
        ("import os.path as p, sys", {"p", "sys"}),
        ("for i in r:\n    del t", {"i", "r", "t"}),
        ("match v:\n    case {'k': w, **z}: pass", {"v", "w", "z"}),
        ("with o() as q: q.s = 1", {"o", "q"}),
    ],
)
def test_names_are_those_that_it_reads_binds_and_deletes(
    cell: str, names: set[str]
) -> None:
    assert analyse([cell])[0].names == names


def test_shown_values_are_read_until_a_cell_binds_their_name() -> None:
    cells = ["for _ in range(3): pass", "print(_, _2)"]
    assert read_of_shown(analyse(cells)) == {"_2"}
    assert read_of_shown(analyse(["Out[1]", "print(_)", *cells])) == {"Out", "_", "_2"}
    assert read_of_shown(analyse(["globals()"])) == {"Out"}


@pytest.mark.parametrize(
    "cell", ["exec('x = 1')", "globals()['x'] = 1", "%run other.py", "(("]
)
def test_code_that_is_not_there_to_read_may_touch_anything(cell: str) -> None:
    facts = analyse([cell])[0]
    assert facts.sweeping or facts.effects
