"""A real S3 server for a whole test session: import its fixtures into a conftest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from mlflowkit.demo.s3_server import S3Server

CONN_VARIABLE = "MLFLOWKIT_CONN_AWS_DEFAULT"


#: The one that this process has started. Each conftest that imports the fixture has a
#: fixture of its own, and all of them are for the whole session.
_running: list[S3Server] = []


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """SeaweedFS on loopback, started once."""
    if _running:
        yield _running[0]
        return
    with S3Server() as server:
        _running.append(server)
        yield server
        _running.clear()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The same server, which `aws_default` now stands for, and nothing else of AWS."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv(CONN_VARIABLE, s3_server.connection_uri)
    return s3_server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """The URI of a new, empty bucket."""
    return s3.create_bucket(f"test-{uuid.uuid4().hex[:12]}")
