"""Helpers for bundles: scripts that are run in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

#: Opens a bundle in a fresh process, executes a task without inputs, prints its value.
OPEN = """
import json, sys
from mlflowkit.authoring.open_bundle import open_bundle
from mlflowkit.authoring.resolve import render
bundle = open_bundle(sys.argv[1])
given = json.loads(sys.argv[3])
task = render(bundle.operator(sys.argv[2]), lambda ref: given[ref.task_id], given, {})
print("VALUE", json.dumps(task.execute({})))
"""
#: Ends a script: stores the bundle of `d` and tells what came of it.
STORE = """
import json as _json, pathlib as _pathlib
from mlflowkit.authoring.bundle import make_bundle as _make
_made = _make(d, _pathlib.Path({home!r}))
print("BUNDLE", _json.dumps([_made.id, list(_made.notes)]))
"""

Script = Callable[..., tuple[str, list[str]]]


class Project:
    """A folder with a person's files, and a home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / ".mlflowkit"
        self.home.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    def python(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *args],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def store(self, text: str, name: str = "main.py") -> tuple[str, list[str]]:
        """Run a script that defines `d`; gives the id of its bundle, and notes."""
        path = self.write(name, dedent(text) + STORE.format(home=str(self.home)))
        return told(self.python(str(path)).stdout, "BUNDLE")

    def execute(self, bundle: str, task_id: str, **given: object) -> Any:
        """Execute a task of a bundle in a fresh process, elsewhere."""
        folder = str(self.home / "bundles" / bundle)
        return told(
            self.python("-c", OPEN, folder, task_id, json.dumps(given)).stdout, "VALUE"
        )


def told(output: str, word: str) -> Any:
    lines = [line for line in output.splitlines() if line.startswith(f"{word} ")]
    return json.loads(lines[-1].removeprefix(f"{word} "))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
