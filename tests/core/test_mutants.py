"""The laws can fail: planted bugs are caught. `scripts/mutants.py` plants many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "mutants.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["old-mail-counts", "an-attempt-twice", "met-too-early"])
def test_a_planted_bug_is_caught_by_the_laws(name: str) -> None:
    done = _run(name, "--laws")
    assert done.stdout.splitlines()[0].split() == [name, "laws"]
    assert done.returncode == 0


def test_each_planted_bug_still_fits_the_code() -> None:
    """Its text stands exactly once where it is to be replaced."""
    assert _run("--check").stdout.strip() == "all of them fit"


def test_a_bug_that_is_not_known_is_refused() -> None:
    done = _run("no-such-bug")
    assert done.returncode == 2
    assert "no such bug: no-such-bug" in done.stderr
