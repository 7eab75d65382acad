"""Sensors of outside systems, against real ones: S3, a database, a web server."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.core.connection import Connection
from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import BadOption, BadS3Place, BucketMissing, SensorFailed
from mlflowkit.hooks.s3 import S3Hook
from mlflowkit.operators.sensors import (
    HttpSensor,
    PokeReturnValue,
    S3KeySensor,
    SqlSensor,
)
from tests.operators.waiting_world import World

# ── S3 ──────────────────────────────────────────────────────────────────────


def _put(bucket: str, *keys: str) -> None:
    client, name = S3Hook().get_conn(), bucket.removeprefix("s3://")
    for number, key in enumerate(keys):
        client.put_object(Bucket=name, Key=key, Body=b"x" * (number + 1))


def _there(key: Any, **options: Any) -> bool:
    return S3KeySensor("s", bucket_key=key, **options).poke({"ds": "2026-03-02"})


def test_a_key_is_there_or_not(bucket: str) -> None:
    name = bucket.removeprefix("s3://")
    assert not _there(f"{bucket}/in/a.csv")
    _put(bucket, "in/a.csv")
    assert _there(f"{bucket}/in/a.csv")
    assert _there("in/a.csv", bucket_name=name)
    assert not _there("in/a", bucket_name=name)
    with pytest.raises(BucketMissing):
        _there(f"{bucket}-other/in/a.csv")


def test_all_of_several_keys_must_be_there(bucket: str) -> None:
    _put(bucket, "a")
    assert not _there([f"{bucket}/a", f"{bucket}/b"])
    _put(bucket, "b")
    assert _there([f"{bucket}/a", f"{bucket}/b"])


def test_one_key_that_fits_the_pattern_will_do(bucket: str) -> None:
    name = bucket.removeprefix("s3://")
    _put(bucket, "in/2026/a.csv", "in/2026/b.txt")
    assert _there(f"{bucket}/in/*/a.csv", wildcard_match=True)
    assert _there(f"{bucket}/in/2026/?.t[xy]t", wildcard_match=True)
    assert not _there(f"{bucket}/in/*.json", wildcard_match=True)
    assert not _there(f"{bucket}/in/*/a.csv")
    assert _there(r"in/\d{4}/.*\.csv", bucket_name=name, use_regex=True)
    assert not _there(r"\d{4}/.*\.csv", bucket_name=name, use_regex=True)


def test_a_function_sees_what_was_found_and_decides(bucket: str) -> None:
    _put(bucket, "a.csv", "b.csv")
    seen: list[object] = []

    def check(files: list[dict[str, Any]]) -> bool:
        seen.append(files)
        return all(one["Size"] > 1 for one in files)

    def check_with(files: list[dict[str, Any]], **context: Any) -> bool:
        seen.append(context)
        return bool(files)

    def check_named(files: list[dict[str, Any]], ds: str) -> bool:
        return bool(files) and ds == "2026-03-02"

    assert not _there(f"{bucket}/*.csv", wildcard_match=True, check_fn=check)
    assert seen.pop() == [{"Size": 1, "Key": "a.csv"}, {"Size": 2, "Key": "b.csv"}]
    assert _there(f"{bucket}/b.csv", check_fn=check)
    assert seen.pop() == [{"Size": 2, "Key": "b.csv"}]
    assert _there(f"{bucket}/b.csv", check_fn=check_with)
    assert seen.pop() == {"ds": "2026-03-02"}
    assert _there(f"{bucket}/b.csv", check_fn=check_named)
    assert not _there(f"{bucket}/none", check_fn=check_with)
    assert seen == []


def test_a_function_is_told_the_metadata_that_it_asks_for(bucket: str) -> None:
    _put(bucket, "a.csv")
    seen: list[dict[str, Any]] = []

    def check(files: list[dict[str, Any]]) -> bool:
        seen.extend(files)
        return True

    keys = ["Key", "ContentType", "Nothing"]
    assert _there(f"{bucket}/a*", wildcard_match=True, check_fn=check, metadata_keys=keys)
    assert sorted(seen[0]) == sorted(keys)
    assert (seen[0]["Nothing"], bool(seen[0]["ContentType"])) == (None, True)
    assert _there(f"{bucket}/a.csv", check_fn=check, metadata_keys=["*"])
    assert {"Key", "Size", "ETag", "LastModified"} <= set(seen[1])


def test_a_place_that_cannot_be_is_refused_when_the_dag_is_written() -> None:
    with pytest.raises(BadS3Place, match="was given too: leave one out"):
        S3KeySensor("s", bucket_key="s3://b/a", bucket_name="b")
    with pytest.raises(BadS3Place, match="it has no key after the bucket"):
        S3KeySensor("s", bucket_key=["s3://b/a", "s3://b"])
    with pytest.raises(BadOption, match="cannot be used together with wildcard_match"):
        S3KeySensor("s", bucket_key="s3://b/a", use_regex=True, wildcard_match=True)
    S3KeySensor("s", bucket_key="{{ params.key }}")


def test_the_bucket_may_be_that_of_the_connection(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(bucket, "a")
    found = Connection.from_uri("aws_default", s3.connection_uri)
    settings = {"s3": {"bucket_name": bucket.removeprefix("s3://")}}
    extra = {**found.extra, "service_config": settings}
    text = replace(found, extra=extra).to_json()
    monkeypatch.setenv("MLFLOWKIT_CONN_AWS_DEFAULT", text)
    assert _there("a")
    assert not _there("b")


# ── SQL ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    place = tmp_path / "data.db"
    monkeypatch.setenv("MLFLOWKIT_CONN_DATA", f"sqlite:///{place}")
    opened = sqlite3.connect(place, isolation_level=None)
    opened.execute("CREATE TABLE rows (day TEXT, n)")
    return opened


def _row(sql: str, **options: Any) -> bool:
    return SqlSensor("s", conn_id="data", sql=sql, **options).poke({})


@pytest.mark.parametrize(
    ("cell", "there"),
    [
        ("0", False),
        ("'0'", False),
        ("''", False),
        ("NULL", False),
        ("1", True),
        ("'a'", True),
    ],
)
def test_the_first_cell_says_whether_it_is_there(
    database: sqlite3.Connection, cell: str, there: bool
) -> None:
    assert _row("SELECT n FROM rows") is False
    database.execute(f"INSERT INTO rows VALUES ('d', {cell})")
    assert _row("SELECT n, day FROM rows") is there


def test_parameters_are_bound(database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO rows VALUES (?, 3)", ["it's"])
    sql = "SELECT n FROM rows WHERE day = :day"
    assert _row(sql, parameters={"day": "it's"})
    assert not _row(sql, parameters={"day": "' OR 1=1 --"})


def test_functions_decide_on_the_cell_failure_first(database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO rows VALUES ('d', 5)")
    sql = "SELECT n, day FROM rows"
    assert _row(sql, success=lambda n: n == 5)
    assert not _row(sql, success=lambda n: n == 6)
    assert _row(sql, selector=lambda row: row[1], success=lambda day: day == "d")
    with pytest.raises(SensorFailed, match="its failure condition holds for 5"):
        _row(sql, failure=lambda n: n == 5, success=lambda n: n == 5)
    with pytest.raises(BadOption, match="must be a function of the cell"):
        _row(sql, success=5)


def test_no_row_may_be_a_failure(database: sqlite3.Connection) -> None:
    with pytest.raises(SensorFailed, match="the query gave no row"):
        _row("SELECT n FROM rows", fail_on_empty=True)


# ── HTTP ────────────────────────────────────────────────────────────────────


class _Server(ThreadingHTTPServer):
    statuses: list[int]
    seen: list[tuple[str, str, dict[str, str]]]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        body = b'{"ready": true}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.statuses, server.seen = [200], []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv(
            "MLFLOWKIT_CONN_WEB", f"http://me:word@127.0.0.1:{server.server_port}/?X-Own=1"
        )
        yield server
        server.shutdown()
        thread.join()


def test_404_means_not_yet_and_an_answer_ends_the_wait(web: _Server, world: World) -> None:
    web.statuses = [404, 404, 200]
    sensor = HttpSensor(
        "s",
        endpoint="/ready",
        http_conn_id="web",
        request_params={"q": 1},
        headers={"A": "b"},
    )
    assert world.run(sensor) is None
    assert len(web.seen) == 3
    method, path, headers = web.seen[0]
    assert (method, path, headers["A"], headers["X-Own"]) == ("GET", "/ready?q=1", "b", "1")
    assert headers["Authorization"].startswith("Basic ")


def test_other_statuses_fail_unless_they_are_allowed(web: _Server) -> None:
    web.statuses = [503]
    sensor = HttpSensor("s", endpoint="ready?token=abc", http_conn_id="web")
    with pytest.raises(
        SensorFailed, match="answered with 503 Service Unavailable"
    ) as caught:
        sensor.poke({})
    assert "abc" not in str(caught.value)
    assert "word" not in str(caught.value)
    allowed: dict[str, Any] = {"response_error_codes_allowlist": ["503"]}
    assert not HttpSensor("s", endpoint="r", http_conn_id="web", **allowed).poke({})
    web.statuses = [404]
    with pytest.raises(SensorFailed):
        HttpSensor(
            "s", endpoint="r", http_conn_id="web", response_error_codes_allowlist=[]
        ).poke({})


def test_a_function_reads_the_answer(web: _Server) -> None:
    def check(response: Any, ds: str) -> object:
        return PokeReturnValue(response.json()["ready"], ds)

    options: dict[str, Any] = {"endpoint": "r", "http_conn_id": "web", "method": "post"}
    sensor = HttpSensor("s", response_check=check, **options)
    assert sensor.execute({"ds": "2026-03-02"}) == "2026-03-02"
    assert web.seen[0][0] == "POST"
    web.statuses = [500]
    sensor = HttpSensor(
        "s",
        response_check=lambda response: response.status_code == 500,
        extra_options={"check_response": False},
        **options,
    )
    assert sensor.poke({})


def test_nobody_at_the_address_is_a_failure_that_names_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_WEB", "http://127.0.0.1:9")
    with pytest.raises(SensorFailed, match="See that connection 'web' has the right host"):
        HttpSensor("s", endpoint="r", http_conn_id="web").poke({})
