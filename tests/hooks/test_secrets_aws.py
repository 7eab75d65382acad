"""The back end on AWS Secrets Manager, against a real server of its protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mlflowkit import Connection, Variable
from mlflowkit.errors import SecretsBackendFailed
from mlflowkit.hooks.secrets_aws import SecretsManagerBackend

SECRETS = {
    "mlflowkit/connections/db": "postgres://me:p%2Fw@h:5432/s",
    "mlflowkit/connections/js": json.dumps(
        {"conn_type": "http", "host": "h", "extra": {"a": 1}}
    ),
    "mlflowkit/connections/rds": json.dumps(
        {
            "engine": "postgres",
            "username": "me",
            "password": "p/w",
            "host": "h",
            "port": 5432,
            "dbname": "s",
            "dbInstanceIdentifier": "one",
        }
    ),
    "mlflowkit/variables/region": "eu",
    "airflow-connections-db": "http://other",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Moto's server on loopback, with `SECRETS`."""
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    started.start()
    host, port = started.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "secretsmanager",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )
    for name, text in SECRETS.items():
        client.create_secret(Name=name, SecretString=text)
    yield url
    started.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))


def test_connections_and_variables_are_secrets_below_their_prefixes(
    aws: None, server: str
) -> None:
    backend = SecretsManagerBackend(endpoint_url=server)
    names = ("db", "js", "rds", "none")
    assert {name: backend.get_connection(name) for name in names} == {
        "db": Connection("db", "postgres", "h", "me", "p/w", 5432, "s"),
        "js": Connection("js", "http", "h", extra={"a": 1}),
        "rds": Connection(
            "rds", "postgres", "h", "me", "p/w", 5432, "s", {"dbInstanceIdentifier": "one"}
        ),
        "none": None,
    }
    assert [backend.get_variable("region"), backend.get_variable("none")] == ["eu", None]


def test_prefixes_and_patterns_may_be_chosen(aws: None, server: str) -> None:
    def backend(**more: Any) -> SecretsManagerBackend:
        return SecretsManagerBackend(endpoint_url=server, **more)

    other = backend(
        connections_prefix="airflow-connections", sep="-", variables_prefix=None
    )
    assert other.get_connection("db") == Connection("db", "http", "other")
    assert other.get_variable("region") is None
    assert backend(connections_lookup_pattern="^js$").get_connection("db") is None
    assert backend(variables_lookup_pattern="^x").get_variable("region") is None


def test_the_settings_choose_it_and_the_store_comes_after_it(
    aws: None, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = json.dumps({"endpoint_url": server})
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND", "aws")
    monkeypatch.setenv("MLFLOWKIT_SECRETS_BACKEND_KWARGS", arguments)
    Variable.set("region", "the store's")
    Variable.set("mine", "the store's")
    found = [Variable.get("region"), Variable.get("mine"), Connection.get("db").host]
    assert found == ["eu", "the store's", "h"]


def test_a_server_that_does_not_answer_is_no_missing_secret(aws: None) -> None:
    from botocore.config import Config

    quick = Config(connect_timeout=1, retries={"max_attempts": 0})
    backend = SecretsManagerBackend(endpoint_url="http://127.0.0.1:9", config=quick)
    with pytest.raises(SecretsBackendFailed, match="mlflowkit/variables/region"):
        backend.get_variable("region")
