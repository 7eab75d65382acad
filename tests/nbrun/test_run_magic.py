"""`%run`: IPython shows what the file raised and replies that all is well. It is not."""

from __future__ import annotations

from typing import Any

from tests.nbrun.conftest import code

WRITES = """
from pathlib import Path
Path("fine.py").write_text("import sys; made = 1; sys.exit(0)")
Path("fails.py").write_text("print('so far'); 1 / 0")
Path("ends.py").write_text("import mlflowkit; mlflowkit.exit_notebook(9)")
"""


def test_a_file_that_fails_fails_its_cell_with_its_own_error(run: Any) -> None:
    ran = run(
        code(WRITES),
        code("%run fine.py\nmade"),
        code("%run fails.py", "raises-exception"),
        code("%tb"),
        code("%run fails.py"),
        code("print('never')"),
    )
    assert ran.statuses() == ["completed"] * 4 + ["failed", "not run"]
    error = ran.error
    assert (error.cell, error.status, error.ename) == (4, "error", "ZeroDivisionError")
    assert "fails.py" in "".join(error.traceback)
    assert ran.printed(4) == "so far\n"


def test_a_file_may_end_the_notebook(run: Any) -> None:
    ran = run(code(WRITES), code("%run ends.py"), code("print('never')"))
    assert (ran.error, ran.values) == (None, {"exit_value": 9})
    assert ran.statuses() == ["completed", "completed", "not run"]
