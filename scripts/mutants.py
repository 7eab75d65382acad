"""Plant small bugs in the machine, one at a time, and see whether the laws catch each.

    python scripts/mutants.py                 all of them
    python scripts/mutants.py old-mail …      only these
    python scripts/mutants.py --list          their names
    python scripts/mutants.py --check         whether each still fits the code
    python scripts/mutants.py --laws          see what the laws alone catch

A law that no bug can break proves nothing. Each bug is a replacement of text that must
match exactly once, made in a copy of the core in a temporary folder. The stories are tried
first, since they take a second, then the laws (no shrinking, the `mutant` profile). Leaves
with 1 if a bug survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from planted_bugs import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent
MACHINE = Path("mlflowkit/core/machine")
#: What a copy needs to run the tests of the core.
PARTS = (
    "mlflowkit/__init__.py",
    "mlflowkit/errors",
    "mlflowkit/core",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/core",
)
SUITES = {"stories": "stories", "laws": "test_machine_laws.py"}
LONGEST_SECONDS = 300


def plant(mutant: Mutant, folder: Path) -> None:
    """A copy of the core and its tests in `folder`, with one bug."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (folder / MACHINE / mutant.file).write_text(planted(mutant))


def planted(mutant: Mutant) -> str:
    """The text of its file, with the bug."""
    text = (ROOT / MACHINE / mutant.file).read_text()
    found = text.count(mutant.old)
    if found != 1:
        sys.exit(f"{mutant.name}: its text stands {found} times in {mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


def caught_by(mutant: Mutant, suites: Iterable[str]) -> str:
    """The first of the suites that fails, or "" if nobody noticed."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        plant(mutant, folder)
        for suite in suites:
            if not _passes(folder, f"tests/core/{SUITES[suite]}"):
                return suite
    return ""


def _passes(folder: Path, tests: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", tests]
    settings = {
        "HYPOTHESIS_PROFILE": "mutant",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False  # it runs in circles: noticed
    if done.returncode not in (0, 1):
        sys.exit(f"pytest could not run:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--list", action="store_true", help="say their names")
    parser.add_argument("--check", action="store_true", help="only see whether they fit")
    parser.add_argument("--laws", action="store_true", help="try the laws alone")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    if options.list:
        print("\n".join(m.name for m in MUTANTS))
        return 0
    if options.check:
        compiled = [compile(planted(m), m.file, "exec") for m in MUTANTS]
        print("all of them fit" if len(compiled) >= 45 else "too few")
        return 0
    unknown = set(options.names) - {m.name for m in MUTANTS}
    if unknown:
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    chosen = [m for m in MUTANTS if not options.names or m.name in options.names]
    return _try_all(chosen, options.jobs, ["laws"] if options.laws else [*SUITES])


def _try_all(chosen: list[Mutant], jobs: int, suites: list[str]) -> int:
    began, survivors = time.monotonic(), list[str]()
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(partial(caught_by, suites=suites), chosen)
        for mutant, suite in zip(chosen, found, strict=True):
            print(f"{mutant.name:40} {suite or 'SURVIVED'}", flush=True)
            if not suite:
                survivors.append(mutant.name)
    took = time.monotonic() - began
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught in {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
