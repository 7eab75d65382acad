"""Which modules are imported ahead of a notebook: read from its code, which is never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflowkit.nbrun.preload import wanted


def test_installed_distributions_in_the_order_of_the_cells(tmp_path: Path) -> None:
    cells = (
        "import json, numpy as np\nfrom pandas.io import json as pj",
        "x = 1\ndef f():\n    import torch\nprint(f)",
        "try:\n    import sklearn.linear_model\nexcept ImportError:\n    import polars",
        "%load_ext autoreload\n%autoreload 2\n%time import matplotlib.pyplot",
    )
    assert wanted(cells, tmp_path) == ("numpy", "pandas.io", "sklearn.linear_model")


@pytest.mark.parametrize(
    "barrier",
    [
        "os.environ['OMP_NUM_THREADS'] = '1'",
        "os.environ.update(A='1')",
        "os.environ.setdefault('A', '1')",
        "del os.environ['A']",
        "from os import environ\nenviron['A'] = '1'",
        "os.putenv('A', '1')",
        "def f():\n    os.environ['A'] = '1'\nf()",
        "if True:\n    os.environ['A'] = '1'",
        "os.chdir('/')",
        "sys.path.insert(0, 'x')",
        "sys.path += ['x']",
        "sys.modules['a'] = None",
        "import matplotlib\nmatplotlib.use('agg')",
        "torch.set_num_threads(1)",
        "load_dotenv()",
        "exec('import os')",
        "importlib.import_module('x')",
        "import no_such_module",
        "from . import x",
        "import local",
        "%env A=1",
        "%matplotlib inline",
        "%run other.ipynb",
        "%cd /",
        "%pip install x",
        "%load_ext dotenv",
        "!export A=1",
        "%%bash\nexport A=1",
        "this is no Python",
    ],
)
def test_nothing_is_imported_ahead_of_what_may_change_an_import(
    barrier: str, tmp_path: Path
) -> None:
    (tmp_path / "local.py").touch()
    found = wanted(("import numpy", barrier, "import pandas"), tmp_path)
    assert found in (("numpy",), ("numpy", "matplotlib"))


def test_what_lies_beside_the_notebook_comes_first(tmp_path: Path) -> None:
    (tmp_path / "pandas").mkdir()
    assert wanted(("import pandas",), tmp_path) == ("pandas",)
    (tmp_path / "pandas/__init__.py").touch()
    assert wanted(("import numpy, pandas", "import torch"), tmp_path) == ()
