"""A connection is tried by one small question to what is really behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mlflowkit.core.connection import Connection
from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import ConnectionMissing
from mlflowkit.hooks.trying import Tried, try_connection


class _Cluster(BaseHTTPRequestHandler):
    """The version of a cluster, for whoever has the token."""

    def do_GET(self) -> None:
        fine = self.headers.get("Authorization") == "Bearer right"
        version = {"major": "1", "minor": "31", "gitVersion": "v1.31.2"}
        body = json.dumps(version if fine else {"message": "who are you?"}).encode()
        self.send_response(200 if fine else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cluster() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Cluster)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))


def defined(monkeypatch: pytest.MonkeyPatch, connection: Connection) -> None:
    name = f"MLFLOWKIT_CONN_{connection.conn_id.upper()}"
    monkeypatch.setenv(name, connection.to_json())


def kubeconfig(server: str, token: str) -> dict[str, object]:
    return {
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }


def test_a_cluster_is_asked_for_its_version(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, token in (("right", "right"), ("wrong", "wrong-token")):
        extra = {"kube_config": kubeconfig(cluster, token)}
        defined(monkeypatch, Connection(name, "kubernetes", extra=extra))
    assert try_connection("right") == Tried(True, "Kubernetes v1.31.2 answers")
    refused = try_connection("wrong")
    assert refused.works is False
    assert "The credentials are missing, wrong or expired" in refused.told
    assert "wrong-token" not in refused.told


def test_s3_is_asked_for_its_buckets(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = try_connection("aws_default")
    assert tried.works is True and tried.told.startswith("S3 answers: ")
    good = Connection.from_uri("c", s3.connection_uri)
    bad = Connection("bad", "aws", login="nobody", password="wrong-one", extra=good.extra)
    defined(monkeypatch, bad)
    refused = try_connection("bad")
    assert refused.works is False and "wrong-one" not in refused.told


def test_a_server_that_is_not_there_is_said_not_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "x"}
    defined(monkeypatch, Connection("away", "aws", login="k", password="s", extra=extra))
    defined(monkeypatch, Connection("db", "sqlite", "/nowhere/at/all.db"))
    assert [try_connection(name).works for name in ("away", "db")] == [False, False]


def test_what_cannot_be_tested_is_not_said_to_be_fine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defined(monkeypatch, Connection("odd", "ftp", "h"))
    told = "a connection of type ftp cannot be tested"
    assert try_connection("odd") == Tried(None, told)
    with pytest.raises(ConnectionMissing):
        try_connection("nowhere")
