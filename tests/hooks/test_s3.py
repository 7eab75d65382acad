"""The S3 hook against a real server that checks what it is told."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from urllib.parse import quote

import obstore
import pytest

from mlflowkit.demo.s3_server import S3Server
from mlflowkit.errors import (
    BucketMissing,
    ConnectionMissing,
    CredentialsMissing,
    CredentialsRefused,
    EndpointUnreachable,
    InvalidConnection,
    InvalidS3Url,
    UserError,
)
from mlflowkit.hooks.s3 import S3Hook, parse_s3_url
from tests.s3 import CONN_VARIABLE


def test_boto3_and_obstore_see_the_same_bucket(bucket: str) -> None:
    name = bucket.removeprefix("s3://")
    hook = S3Hook()
    hook.get_conn().put_object(Bucket=name, Key="a b/ü+%20.txt", Body=b"hello")
    assert bytes(obstore.get(hook.object_store(name), "a b/ü+%20.txt").bytes()) == b"hello"


def test_a_url_is_split_into_bucket_and_key_as_they_stand() -> None:
    assert parse_s3_url("s3://b/a b/../c?d#e/") == ("b", "a b/../c?d#e/")
    assert parse_s3_url("s3a://b") == ("b", "")
    for wrong in ("http://b/k", "s3:///k", "b/k", ""):
        with pytest.raises(InvalidS3Url, match="s3://bucket/prefix"):
            parse_s3_url(wrong)


def test_a_missing_bucket_is_named_with_its_server_and_connection(s3: S3Server) -> None:
    with pytest.raises(BucketMissing) as caught:
        S3Hook().object_store("no-such-bucket")
    error = caught.value
    assert (error.bucket, error.endpoint, error.conn_id) == (
        "no-such-bucket",
        s3.endpoint,
        "aws_default",
    )


@pytest.mark.parametrize(
    ("login", "password", "reason"),
    [
        ("nobody", "hunter2hunter2", "InvalidAccessKeyId"),
        (None, "hunter2hunter2", "SignatureDoesNotMatch"),
    ],
)
def test_wrong_credentials_are_refused_and_never_shown(
    s3: S3Server,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    login: str | None,
    password: str,
    reason: str,
) -> None:
    endpoint = quote(s3.endpoint, safe="")
    uri = f"aws://{login or s3.access_key}:{password}@/?endpoint_url={endpoint}"
    monkeypatch.setenv("MLFLOWKIT_CONN_WRONG", uri)
    caplog.set_level(logging.INFO)
    with pytest.raises(CredentialsRefused) as caught:
        S3Hook("wrong").bucket_region(bucket.removeprefix("s3://"))
    assert (caught.value.conn_id, caught.value.reason) == ("wrong", reason)
    assert password not in str(caught.value) + caplog.text


def test_credentials_refused_later_by_obstore_are_told_alike(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket.removeprefix("s3://")
    endpoint = quote(s3.endpoint, safe="")
    monkeypatch.setenv(
        "MLFLOWKIT_CONN_LATE", f"aws://{s3.access_key}:no@/?endpoint_url={endpoint}"
    )
    hook = S3Hook("late")
    monkeypatch.setattr(hook, "bucket_region", lambda _bucket: None)
    with pytest.raises(CredentialsRefused, match="connection 'late'"), hook.errors(name):
        obstore.get(hook.object_store(name), "x")


def test_a_server_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nothing answers
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv(
            "MLFLOWKIT_CONN_AWAY", f"aws://a:b@/?endpoint_url={quote(url, safe='')}"
        )
        with pytest.raises(EndpointUnreachable, match="endpoint_url") as caught:
            S3Hook("away").bucket_region("bucket")
    assert caught.value.endpoint == url


def test_without_any_credentials_the_variable_is_named(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(CONN_VARIABLE)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    with pytest.raises(CredentialsMissing, match=CONN_VARIABLE):
        S3Hook().bucket_region("bucket")


def test_without_a_connection_awss_own_credentials_are_used(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(CONN_VARIABLE)
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    lines = ["[team]", *(f"{name} = {value}" for name, value in keys.items())]
    (tmp_path / "credentials").write_text("\n".join(lines))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "team")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    store = S3Hook().object_store(bucket.removeprefix("s3://"))
    obstore.put(store, "x", b"1")
    assert bytes(obstore.get(store, "x").bytes()) == b"1"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("aws://?endpoint_url=garbage", "Invalid endpoint: garbage"),
        ("aws://onlykey@", "only one of login"),
        ("aws://?profile_name=nowhere", "nowhere"),
        ("aws://a:b@/?config_kwargs=%7B", "must be JSON objects"),
        ("aws://a:b@/?role_arn=arn", "role_arn"),
    ],
)
def test_a_connection_that_makes_no_sense_is_named(
    monkeypatch: pytest.MonkeyPatch, uri: str, says: str
) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_ODD", uri)
    with pytest.raises(InvalidConnection, match="'odd'") as caught:
        S3Hook("odd").get_conn()
    assert says in str(caught.value)
    assert isinstance(caught.value, UserError)


def test_a_connection_of_another_name_must_be_defined() -> None:
    with pytest.raises(ConnectionMissing, match="MLFLOWKIT_CONN_ELSEWHERE"):
        S3Hook("elsewhere").get_conn()


def test_extras_reach_both_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = (
        "aws://k:s@/?region_name=eu-west-1"
        "&config_kwargs=%7B%22s3%22%3A%7B%22addressing_style%22%3A%22virtual%22%7D%7D"
    )
    monkeypatch.setenv("MLFLOWKIT_CONN_EU", uri)
    client = S3Hook("eu").get_conn()
    assert client.meta.region_name == "eu-west-1"
    assert client.meta.config.s3 == {"addressing_style": "virtual"}
