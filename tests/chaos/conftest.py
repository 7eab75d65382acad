"""A home, a driver in it, and the lines that its attempts leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflowkit.artifacts import serializers
from mlflowkit.artifacts.files import FileArtifacts
from mlflowkit.store import xcoms
from mlflowkit.store.database import open_database
from tests.chaos.checks import check_home
from tests.chaos.pipeline import expected
from tests.homes import fresh_home

ROOT = Path(__file__).parents[2]


class Arena:
    """A home whose engine is killed."""

    def __init__(self, home: Path) -> None:
        self.home, self.marks = home, home.parent / "marks"

    def start(self, what: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a driver. What it and its engine say lies in `driver.log`."""
        around = {
            **os.environ,
            "MLFLOWKIT_HOME": str(self.home),
            "MLFLOWKIT_PARALLELISM": "3",
            "MLFLOWKIT_KILL_GRACE": "PT0.5S",
            "CHAOS_FILE": str(self.marks),
            **env,
        }
        with (self.home.parent / "driver.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.driver", what],
                cwd=ROOT,
                env=around,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def go(self, what: str, **env: str) -> int:
        """A driver from start to end. Returns how it ended."""
        process = self.start(what, **env)
        try:
            return process.wait(120)
        finally:
            process.kill()
            process.wait()

    def said(self) -> str:
        return (self.home.parent / "driver.log").read_text()

    def check(self) -> None:
        """All promises, and the right result."""
        check_home(self.home, self.marks)
        assert self.result("chaos/1") == expected()

    def result(self, run_id: str) -> object:
        database = open_database(self.home)
        try:
            with database.reading() as tx:
                key = xcoms.run_key_of(tx, run_id)
                assert key is not None
                value = xcoms.get_xcom(tx, key, "total", "return_value", -1)
            assert value is not None
            return serializers.load(value, FileArtifacts(self.home / "artifacts"))
        finally:
            database.close()


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    with fresh_home(tmp_path) as home:
        yield Arena(home)
