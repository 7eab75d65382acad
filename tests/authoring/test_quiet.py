"""Which modules may be imported once for many runs."""

from __future__ import annotations

import pytest

from mlflowkit.authoring.quiet import is_quiet

QUIET = '''
"""Steps."""
from __future__ import annotations
import os, re, numpy as np
from dataclasses import dataclass, field
from mlflowkit import task
RATES: dict[str, float] = {"a": 0.1, "b": -2.0}
WORDS = re.compile("x|y")
Table = dict[str, list[int]]
if __name__ == "__main__":
    pass
@dataclass(frozen=True)
class Row:
    names: list[str] = field(default_factory=list)
    @property
    def first(self): return open(self.names[0])
@task(retries=2)
def work(n: int = 3, kind=np.float32): return os.environ["A"]
'''


def test_a_module_of_imports_definitions_and_plain_values_is_quiet() -> None:
    assert is_quiet(QUIET.encode())


@pytest.mark.parametrize(
    "line",
    [
        "CFG = open('cfg.json').read()",
        "import json\nCFG = json.load(open('cfg.json'))",
        "from pathlib import Path\nSQL = Path('q.sql').read_text()",
        "import time\nNOW = time.time()",
        "import os\nKEY = os.environ['KEY']",
        "from os import environ\nKEY = environ['KEY']",
        "import os\nHAS = 'KEY' in os.environ",
        "def now(at=print()): ...",
        "def mine(f): return f\n@mine\ndef work(): ...",
        "def dict(): return open('x')\nA = dict()",
        "class A:\n    text = open('x').read()",
        "for i in range(3): pass",
        "with open('x') as f: pass",
        "try:\n    A = 1\nexcept ValueError:\n    pass",
        "print('hi')",
        "A = [open(p) for p in 'ab']",
        "A = f'{open(1)}'",
        "from other import *",
        "import a.b as c\nc.x = 3",
        "if open('x'):\n    pass",
        "not python at all",
    ],
)
def test_a_module_that_does_something_when_it_is_imported_is_not(line: str) -> None:
    assert not is_quiet(line.encode())
