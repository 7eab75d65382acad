"""What the tests of operators share: a clock that moves when told, a real S3 server, a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operators.kubernetes_tasks import Cluster, cluster_with
from tests.operators.waiting_world import World
from tests.s3 import bucket, s3, s3_server

__all__ = ["bucket", "s3", "s3_server", "world"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_with(tmp_path) as found:
        yield found
