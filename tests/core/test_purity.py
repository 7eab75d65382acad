"""`mlflowkit.core` imports nothing that can do I/O, tell the time or roll dice."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlflowkit.core

FOLDER = Path(mlflowkit.core.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
HARMLESS = {
    "__future__",
    "base64",
    "bisect",
    "calendar",
    "collections",
    "copy",
    "croniter",  # the schedules of cron
    "dataclasses",
    "datetime",
    "dateutil",  # relativedelta: months and years
    "enum",
    "functools",
    "graphlib",
    "hashlib",
    "html",
    "unicodedata",
    "heapq",
    "itertools",
    "json",
    "math",
    "re",
    "types",
    "typing",
    "urllib.parse",  # text in, text out
    "zoneinfo",  # its data is the one thing that core may read
}
OURS = ("mlflowkit.core", "mlflowkit.errors")
#: Calls that ask the world something, whatever they are called on.
QUESTIONS = {"now", "utcnow", "today", "time", "monotonic", "urandom", "getenv", "uuid4"}
BUILTINS = {"open", "input", "print", "exec", "eval", "__import__"}


def names(paths: list[Path]) -> list[str]:
    return [str(p.relative_to(FOLDER)) for p in paths]


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say where from"
            found.add(node.module or "")
    return found


def test_there_is_something_to_look_at() -> None:
    assert {"spec.py", "states.py", "machine/finish.py"} <= set(names(FILES))


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_core_imports_only_harmless_modules(file: Path) -> None:
    found = imports(ast.parse(file.read_text()))
    bad = {
        name
        for name in found - HARMLESS
        if name.split(".")[0] not in HARMLESS and not name.startswith(OURS)
    }
    assert bad == set()


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_core_asks_neither_the_clock_nor_the_system(file: Path) -> None:
    asked: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked |= {node.func.attr} & QUESTIONS
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            asked |= {node.func.id} & BUILTINS
    assert asked == set()


def test_the_machine_loads_no_library_beside_the_standard_one() -> None:
    """In a fresh interpreter, since here the tests have loaded all sorts of things."""
    program = (
        "import sys; before = set(sys.modules); import mlflowkit.core.machine; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['mlflowkit']"
