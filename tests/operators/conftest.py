"""What the tests of operators share: a clock that moves when told, a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operators.waiting_world import World
from tests.s3 import bucket, s3, s3_server

__all__ = ["bucket", "s3", "s3_server", "world"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
